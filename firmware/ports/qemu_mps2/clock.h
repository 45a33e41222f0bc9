/* Time and the sample clock's interrupt, over the timers the SoC has. */
#ifndef MW_CLOCK_H
#define MW_CLOCK_H

#include <stdint.h>

/* Starts the clock that mw_port_time_us reads. */
void mw_clock_init(void);

/* Makes mw_sample_clock_interrupt come every `period_us` from now on. */
void mw_clock_start_interrupt(uint32_t period_us);
void mw_clock_stop_interrupt(void);

/* To be called first in mw_sample_clock_interrupt. */
void mw_clock_acknowledge(void);

#endif
