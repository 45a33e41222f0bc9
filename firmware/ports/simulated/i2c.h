/* A simulated I2C bus with one IMU: wire time at 400 kHz, and everything that goes wrong on it. */
#ifndef MW_SIMULATED_I2C_H
#define MW_SIMULATED_I2C_H

#include <stddef.h>
#include <stdint.h>

#include "bus.h"
#include "imu_model.h"

#define I2C_BIT_NS UINT64_C(2500) /* 400 kHz */

typedef struct {
    imu_model *imu;
    uint64_t (*now_ns)(void);
    void (*advance_to)(uint64_t time_ns); /* passes time; interrupts run meanwhile */
    bool busy;                            /* with a blocking transfer */

    /* Faults: how many transfers from now on go wrong in this way. */
    uint32_t nack_address;
    uint32_t nack_data;
    uint32_t arbitration_lost;
    uint32_t hang;        /* the controller never says that it has ended */
    uint32_t hold_clocks; /* the IMU holds SDA low until it has seen as many clocks */
} i2c_bus;

/* One transfer: bytes out, then, after a repeated start, bytes in. */
typedef struct {
    uint8_t address;
    uint8_t out[16];
    size_t out_length;
    uint8_t *in;
    size_t in_length;
    uint64_t begin_ns;
    uint64_t end_ns; /* UINT64_MAX: it hangs */
    mw_bus_status status;
} i2c_transfer;

/* The transfer starts now: sets when it will end, by wire time and faults. */
void i2c_begin(i2c_bus *bus, i2c_transfer *transfer);

/* It has ended: moves the bytes; returns its status. */
mw_bus_status i2c_end(i2c_bus *bus, i2c_transfer *transfer);

/* The blocking bus of the drivers. */
mw_bus i2c_interface(i2c_bus *bus);

#endif
