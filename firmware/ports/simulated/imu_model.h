/* Register-level models of the IMUs, written from their data sheets and not from the drivers.
 *
 * A model is a function of time: it holds registers, and what its output registers read follows from
 * them, from the movement and from when it is asked. Written wrong, it shows: another range scales
 * the counts, another rate repeats samples, without block data update a number can be torn, a part
 * that is asleep or has just woken gives no samples, and reserved bits do not stick. Filters are
 * registers only; the movement is not filtered. */
#ifndef MW_SIMULATED_IMU_MODEL_H
#define MW_SIMULATED_IMU_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "truth.h"

#define IMU_MODEL_BANKS 3u
#define IMU_MODEL_REGISTERS 256u

typedef uint8_t imu_model_registers[IMU_MODEL_BANKS][IMU_MODEL_REGISTERS];

/* Acc or gyro as the registers set it. */
typedef struct {
    bool on;
    uint64_t period_ps;
    int32_t gain_log2; /* counts are those at ±8 g or ±1000 dps times 2^this */
} imu_model_sensor;

typedef struct {
    imu_model_sensor acc;
    imu_model_sensor gyro;
    bool increments;    /* the register number counts up within a transfer */
    bool block_updates; /* both bytes of a number are of one sample */
    bool little_endian;
    bool data_ready; /* a pulse on the interrupt pin for each sample */
} imu_model_settings;

/* One register that is not zero and read only. */
typedef struct {
    uint8_t bank;
    uint8_t address;
    uint8_t reset;
    uint8_t writable; /* bits */
} imu_model_register;

typedef struct {
    const char *name;
    const imu_model_register *registers;
    size_t register_count;
    imu_model_settings (*settings)(const imu_model_registers *registers);
    /* Whether the part takes a write of this register now; NULL: always. */
    bool (*accepts)(const imu_model_registers *registers, uint8_t bank, uint8_t address,
                    uint64_t since_power_ns);
    uint32_t reset_ns;     /* how long it does not answer after a reset */
    uint32_t acc_start_ns; /* from switched on to the first sample */
    uint32_t gyro_start_ns;
    int16_t no_sample;     /* what a sensor that is off reads */
    uint8_t addresses[2];
    uint8_t bank_register; /* 0: one bank */
    uint8_t reset_register;
    uint8_t reset_bit;
    uint8_t data_first;  /* first output register */
    uint8_t data_length; /* bytes */
    uint8_t acc_offset;  /* of acc x from the first */
    uint8_t gyro_offset;
    bool whole_burst; /* all numbers of a burst are of one sample */
} imu_model_part;

typedef struct {
    const imu_model_part *part;
    uint8_t address;
    const truth *movement;
    int32_t rate_error_ppm; /* of the part's own clock */

    imu_model_registers registers;
    imu_model_settings settings;
    uint64_t power_ns;     /* when acc or gyro was last switched on or off */
    uint64_t answers_ns;   /* from when on it answers after a reset */
    uint64_t frozen_ns;    /* outputs stay as at this time; UINT64_MAX: they do not */
    uint64_t unplugged_ns; /* does not answer until then */

    uint64_t burst_ns; /* when the transfer began */
    int16_t latch;     /* number whose first byte has been read */
    uint8_t latch_of;  /* register of that first byte */
    uint8_t pointer;   /* register of the next byte */
} imu_model;

extern const imu_model_part imu_model_parts[];
extern const size_t imu_model_part_count;

/* A part of this name, as after power on; false when there is none. */
bool imu_model_init(imu_model *imu, const char *name, bool second_address, const truth *movement);

/* What a dip of the supply does: registers as after power on. */
void imu_model_reset(imu_model *imu, uint64_t now_ns);

/* Whether it acknowledges `address`. */
bool imu_model_answers(const imu_model *imu, uint8_t address, uint64_t now_ns);

/* A transfer begins: the next byte written is the register number. */
void imu_model_select(imu_model *imu, uint8_t first_register, uint64_t now_ns);
void imu_model_write(imu_model *imu, uint8_t value, uint64_t now_ns);
uint8_t imu_model_read(imu_model *imu, uint64_t now_ns);

/* Time of the first data-ready pulse after `after_ns`; UINT64_MAX when none will come as it is. */
uint64_t imu_model_next_pulse_ns(const imu_model *imu, uint64_t after_ns);

#endif
