/* Time and the sample clock, over HFXO and TIMER0, or the IMU's data-ready line over GPIOTE. */
#ifndef MW_CLOCK_H
#define MW_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "acquisition.h"

/* Starts the crystal and the clock that mw_port_time_us reads, and wakes the core every 10 ms from
 * now on. Returns false when the crystal did not start: time is then off by some percent. */
bool mw_clock_init(mw_acquisition *acquisition);

/* From now on mw_acquisition_on_clock is called every `period_us`, or at every pulse of the IMU. */
void mw_clock_start_timer(uint32_t period_us);
void mw_clock_start_data_ready(void);

/* Stops both; when it returns no further call comes. */
void mw_clock_stop(void);

#endif
