/* Commands of the host: checked, obeyed, answered.
 *
 * For the application's own files; ports use app.h. Main loop only. */
#ifndef MW_COMMANDS_H
#define MW_COMMANDS_H

#include "app.h"

/* Does what `frame` asks for and answers it, whatever its type, length and content. */
void mw_app_obey(mw_app *app, const mw_wire_frame *frame);

/* ---- What commands ask of app.c: a status of an acknowledge frame each. ----------------------- */

/* Starts the sample clock at tick 0 with a fresh network. */
uint8_t mw_app_start(mw_app *app);

/* Starts the sample clock for a measurement of the gyroscope's bias, which ends by itself. */
uint8_t mw_app_start_calibrating(mw_app *app);

/* Ends whatever runs; what is batched is sent. */
void mw_app_stop(mw_app *app);

/* Steps the network and keeps time of it. Returns whether the predictions are warm-up. */
bool mw_app_step(mw_app *app, const int16_t *counts, int8_t *predictions);

#endif
