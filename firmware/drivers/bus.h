/* A blocking register bus, such as I2C: how a driver reaches its part for set-up and recovery.
 *
 * A board's port fills in the functions; each waits until the transfer has ended and is bounded in
 * time. Samples do not come this way: the port reads those by DMA (app/acquisition.h). The caller
 * sees to it that no DMA transfer runs at the same time. */
#ifndef MW_BUS_H
#define MW_BUS_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    MW_BUS_OK = 0,
    MW_BUS_NACK_ADDRESS,     /* no part answers at this address */
    MW_BUS_NACK_DATA,        /* the part refused a byte */
    MW_BUS_ARBITRATION_LOST, /* somebody else drove SDA */
    MW_BUS_STUCK,            /* SDA held low: `recover` is next */
    MW_BUS_TIMEOUT           /* the transfer did not end in time */
} mw_bus_status;

typedef struct {
    void *context; /* given to every function */

    /* Writes `length` bytes, at least one: the register, then values for it and those after. */
    mw_bus_status (*write)(void *context, uint8_t address, const uint8_t *bytes, size_t length);

    /* Reads `length` registers from `first_register` on, after a repeated start. `bytes` is only
     * to be looked at after MW_BUS_OK. */
    mw_bus_status (*read)(void *context, uint8_t address, uint8_t first_register, uint8_t *bytes,
                          size_t length);

    /* Gives up to nine clocks and a stop, so that a part that was cut off in the middle of a byte
     * lets go of SDA; MW_BUS_STUCK when SDA stays low. */
    mw_bus_status (*recover)(void *context);

    /* Waits at least `us` microseconds; interrupts run meanwhile. */
    void (*delay_us)(void *context, uint32_t us);
} mw_bus;

#endif
