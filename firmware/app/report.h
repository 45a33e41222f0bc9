/* Frames about the board itself: who it is, its counters, answers, lines for a person.
 *
 * For the application's own files; ports use app.h. Main loop only. */
#ifndef MW_REPORT_H
#define MW_REPORT_H

#include "app.h"

/* Sends the frame whose payload, in the transmitter, ends at `end`; counts it, sent or dropped. */
void mw_report(mw_app *app, uint8_t type, const uint8_t *end);

/* Sends the counters, and begins a new period for the CPU load. */
void mw_report_statistics(mw_app *app);

/* Answers a command; `status` is one of MW_WIRE_STATUS_*. */
void mw_report_acknowledge(mw_app *app, const mw_wire_frame *command, uint8_t status);

/* Sends what a measurement of the gyroscope's bias has found. */
void mw_report_gyro_bias(mw_app *app, uint8_t status, const mw_bias_result *result);

#endif
