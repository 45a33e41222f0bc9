/* The interrupt handlers of this port, for its vector table. */
#ifndef MW_HANDLERS_H
#define MW_HANDLERS_H

void mw_serial_interrupt(void);
void mw_imu_interrupt(void);
void mw_sample_clock_interrupt(void);
void mw_time_interrupt(void);

#endif
