/* The interrupt handlers of this port, for its vector table. */
#ifndef MW_HANDLERS_H
#define MW_HANDLERS_H

void mw_timer_interrupt(void);      /* TIMER0: the sample clock, the wake-up tick */
void mw_data_ready_interrupt(void); /* GPIOTE: the IMU has a sample */
void mw_i2c_interrupt(void);        /* TWIM0: a burst has ended */
void mw_serial_interrupt(void);     /* UARTE0, and TIMER2 when the line has gone quiet */
void mw_fault_handler(void);        /* HardFault, and every exception nobody asked for */

#endif
