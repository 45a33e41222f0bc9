/* The chip itself: regulator, debug port, why it was reset, watchdog. */
#ifndef MW_SYSTEM_H
#define MW_SYSTEM_H

/* Call once, first at boot, after mw_fault_init. */
void mw_system_init(void);

/* The watchdog resets the chip when this is not called for two seconds. */
void mw_watchdog_start(void);
void mw_watchdog_feed(void);

#endif
