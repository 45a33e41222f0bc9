/* What the application asks of a board. Each folder of firmware/ports implements it.
 *
 * The other direction, what a port's interrupts tell the application, is in app.h. */
#ifndef MW_PORT_H
#define MW_PORT_H

#include <stdint.h>

/* PlatformIO's name of the board. */
const char *mw_port_board(void);

/* Why the board started: one of MW_WIRE_RESET_CAUSE_*, the same answer until the next reset. */
uint8_t mw_port_reset_cause(void);

/* What the board's light shows. */
typedef enum {
    MW_LED_READY,    /* idle, self-test passed */
    MW_LED_SAMPLING, /* also while it calibrates */
    MW_LED_FAULT     /* the self-test failed: the identity frame says which part */
} mw_led;

/* Shows `state`; does nothing on a board without a light. Main loop only. */
void mw_port_led(mw_led state);

/* Microseconds since boot, monotonic, from a clock that runs through sleep. Safe in interrupts. */
uint64_t mw_port_time_us(void);

/* Starts the sample clock: from now on the port calls mw_app_on_tick once every
 * 1000000 / rate_hz microseconds, in order, for every tick, also when it is late. */
void mw_port_sample_clock_start(uint32_t rate_hz);

/* Stops the sample clock; when it returns no further mw_app_on_tick comes. */
void mw_port_sample_clock_stop(void);

/* Says that mw_app_next_byte has bytes for the serial line. */
void mw_port_serial_kick(void);

/* Masks all interrupts that call into the application; returns what restore wants back. */
uint32_t mw_port_irq_save(void);
void mw_port_irq_restore(uint32_t saved);

/* Sleeps until an interrupt is pending. Called with interrupts masked, so that one that arrives
 * between the look for work and the sleep still wakes; its handler runs after restore. */
void mw_port_sleep(void);

#endif
