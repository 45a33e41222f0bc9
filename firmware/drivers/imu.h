/* The IMUs: which one is there, its set-up, and what its bytes mean.
 *
 * A part is one row of constants and one function that decodes a burst; imu.c does the rest alike
 * for all. Every part is set to ±8 g and ±1000 dps, a bandwidth near 200 Hz and the lowest rate of
 * at least 1 kHz. There is no state but the caller's mw_imu, and a part without a 1 kHz rate runs
 * faster and is read at 1 kHz all the same. */
#ifndef MW_IMU_H
#define MW_IMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus.h"

#define MW_IMU_AXES 6u           /* acc x y z, gyro x y z */
#define MW_IMU_MAX_BURST_LENGTH 14u

typedef enum {
    MW_IMU_OK = 0,
    MW_IMU_BUS_ERROR,         /* mw_imu.bus_status says which */
    MW_IMU_NOT_FOUND,         /* no part known here answers */
    MW_IMU_CONFIGURATION_LOST /* a register does not hold what was written: the part was reset */
} mw_imu_status;

/* One register and what is written to it. */
typedef struct {
    uint8_t address;
    uint8_t value;
} mw_imu_register;

typedef struct mw_imu_part {
    const char *name;      /* as in host/myowave/imu.py */
    uint8_t addresses[2];  /* on the bus, by the level of the part's address pin */
    mw_imu_register who_am_i;
    uint8_t burst_register; /* a sample is burst_length bytes from here */
    uint8_t burst_length;   /* at most MW_IMU_MAX_BURST_LENGTH */
    uint32_t rate_millihertz;
    bool has_1khz_data_ready; /* a pulse on the interrupt pin for each sample, 1000 a second */
    float acc_lsb_m_s2;
    float gyro_lsb_rad_s;
    uint16_t acc_counts_per_g;

    /* Set-up: `reset` is written, its bits clear themselves within reset_limit_us, `settings` are
     * written in order and read back, and after settle_us samples are valid. */
    mw_imu_register reset;
    uint32_t reset_limit_us;
    const mw_imu_register *settings;
    uint8_t settings_count;
    uint8_t verify_from;   /* settings from this one on can be read while sampling */
    uint8_t bank_register; /* selects what the other addresses mean; 0 when the part has one bank */
    uint32_t settle_us;

    /* Turns a burst into counts of acc x y z, gyro x y z. Interrupt safe. */
    void (*decode)(const uint8_t *burst, int16_t counts[MW_IMU_AXES]);
} mw_imu_part;

/* The IMU of a board. */
typedef struct {
    const mw_imu_part *part; /* NULL until one is found */
    uint8_t address;
    mw_bus_status bus_status; /* of the last failure */
} mw_imu;

/* Every part there is, NULL at the end. */
extern const mw_imu_part *const mw_imu_parts[];

/* Looks for every part at both of its addresses by its WHO_AM_I; fills in `imu`. MW_IMU_NOT_FOUND
 * when the bus works and none is there, MW_IMU_BUS_ERROR when a transfer failed in any other way
 * than by nobody answering. */
mw_imu_status mw_imu_detect(const mw_bus *bus, mw_imu *imu);

/* Resets the part that was found, sets it up, reads every register back. When it returns MW_IMU_OK
 * samples are valid; that takes up to 200 ms. After a failure call it again, at the latest when
 * reset_limit_us is over: a part that was left in a reset may not answer before. MW_IMU_NOT_FOUND
 * when another part answers at its address: detect again. */
mw_imu_status mw_imu_configure(const mw_bus *bus, mw_imu *imu);

/* Reads the configuration: is it still there? At most 0.6 ms of bus time, so that it fits between
 * two bursts; what a burst reads is not disturbed. */
mw_imu_status mw_imu_verify(const mw_bus *bus, mw_imu *imu);

/* Whether `counts`, taken at rest, hold an acceleration of 0.5 to 1.5 g. */
bool mw_imu_gravity_is_plausible(const mw_imu_part *part, const int16_t counts[MW_IMU_AXES]);

#endif
