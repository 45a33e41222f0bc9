/* Wire time by counting bits, and faults. */
#include "i2c.h"

#include <string.h>

/* In 64 bits, as times are. */
#define BYTE_BITS UINT64_C(9) /* with the acknowledge */
#define TIMEOUT_NS 2000000u   /* after which the blocking bus gives a transfer up */
#define CLOCK_NS UINT64_C(10000) /* of recovery, by hand at 100 kHz */
#define RECOVERY_CLOCKS 9u

static bool happens(uint32_t *fault) {
    if (*fault == 0u) {
        return false;
    }
    (*fault)--;
    return true;
}

static void ends_after(i2c_transfer *transfer, uint64_t bits, mw_bus_status status) {
    transfer->status = status;
    transfer->end_ns = transfer->begin_ns + bits * I2C_BIT_NS;
}

void i2c_begin(i2c_bus *bus, i2c_transfer *transfer) {
    transfer->begin_ns = bus->now_ns();
    const uint64_t start = 1;
    const uint64_t stop = 1;
    if (bus->hold_clocks > 0u) {
        ends_after(transfer, start + BYTE_BITS, MW_BUS_STUCK);
    } else if (happens(&bus->hang)) {
        transfer->status = MW_BUS_TIMEOUT;
        transfer->end_ns = UINT64_MAX;
    } else if (happens(&bus->arbitration_lost)) {
        ends_after(transfer, start + BYTE_BITS, MW_BUS_ARBITRATION_LOST);
    } else if (!imu_model_answers(bus->imu, transfer->address, transfer->begin_ns) ||
               happens(&bus->nack_address)) {
        ends_after(transfer, start + BYTE_BITS + stop, MW_BUS_NACK_ADDRESS);
    } else if (happens(&bus->nack_data)) {
        ends_after(transfer, start + 2u * BYTE_BITS + stop, MW_BUS_NACK_DATA);
    } else {
        uint64_t bits = start + BYTE_BITS * (1u + transfer->out_length) + stop;
        if (transfer->in_length > 0u) {
            bits += start + BYTE_BITS * (1u + transfer->in_length);
        }
        ends_after(transfer, bits, MW_BUS_OK);
    }
}

mw_bus_status i2c_end(i2c_bus *bus, i2c_transfer *transfer) {
    if (transfer->status != MW_BUS_OK) {
        return transfer->status;
    }
    if (bus->hold_clocks > 0u) {
        return MW_BUS_STUCK; /* since the middle of the transfer */
    }
    if (!imu_model_answers(bus->imu, transfer->address, transfer->end_ns)) {
        return MW_BUS_NACK_DATA; /* it was reset or unplugged in the middle */
    }
    uint64_t time_ns = transfer->begin_ns + (1u + 2u * BYTE_BITS) * I2C_BIT_NS;
    imu_model_select(bus->imu, transfer->out[0], time_ns);
    for (size_t i = 1; i < transfer->out_length; i++) {
        time_ns += BYTE_BITS * I2C_BIT_NS;
        imu_model_write(bus->imu, transfer->out[i], time_ns);
    }
    time_ns += (1u + BYTE_BITS) * I2C_BIT_NS;
    for (size_t i = 0; i < transfer->in_length; i++) {
        transfer->in[i] = imu_model_read(bus->imu, time_ns);
        time_ns += BYTE_BITS * I2C_BIT_NS;
    }
    return MW_BUS_OK;
}

static mw_bus_status blocking(i2c_bus *bus, i2c_transfer *transfer) {
    i2c_begin(bus, transfer);
    if (transfer->end_ns == UINT64_MAX) {
        transfer->end_ns = transfer->begin_ns + TIMEOUT_NS;
    }
    bus->busy = true;
    bus->advance_to(transfer->end_ns);
    bus->busy = false;
    return i2c_end(bus, transfer);
}

static mw_bus_status bus_write(void *context, uint8_t address, const uint8_t *bytes,
                               size_t length) {
    i2c_transfer transfer = {.address = address, .out_length = length};
    if (length == 0u || length > sizeof transfer.out) {
        return MW_BUS_TIMEOUT;
    }
    memcpy(transfer.out, bytes, length);
    return blocking(context, &transfer);
}

static mw_bus_status bus_read(void *context, uint8_t address, uint8_t first_register,
                              uint8_t *bytes, size_t length) {
    i2c_transfer transfer = {
        .address = address,
        .out = {first_register},
        .out_length = 1,
        .in = bytes,
        .in_length = length,
    };
    return blocking(context, &transfer);
}

static mw_bus_status bus_recover(void *context) {
    i2c_bus *bus = context;
    bus->advance_to(bus->now_ns() + (RECOVERY_CLOCKS + 1u) * CLOCK_NS);
    bus->hold_clocks -= bus->hold_clocks < RECOVERY_CLOCKS ? bus->hold_clocks : RECOVERY_CLOCKS;
    return bus->hold_clocks > 0u ? MW_BUS_STUCK : MW_BUS_OK;
}

static void bus_delay_us(void *context, uint32_t us) {
    i2c_bus *bus = context;
    bus->advance_to(bus->now_ns() + 1000u * (uint64_t)us);
}

mw_bus i2c_interface(i2c_bus *bus) {
    return (mw_bus){
        .context = bus,
        .write = bus_write,
        .read = bus_read,
        .recover = bus_recover,
        .delay_us = bus_delay_us,
    };
}
