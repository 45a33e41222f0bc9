/* TDK InvenSense ICM-42688-P: 1 kHz with a data-ready pulse, registers in banks.
 *
 * Source: data sheet DS-000347 rev. 1.7, tables 1 and 2 (scales), sections 5.3 (anti-alias filter)
 * and 14 to 16 (registers of banks 0 to 2). */
#include "imu_parts.h"

/* Bank 0 */
#define DEVICE_CONFIG 0x11u
#define INT_CONFIG 0x14u
#define ACCEL_DATA_X1 0x1Fu /* acc x y z, gyro x y z, high byte first */
#define PWR_MGMT0 0x4Eu
#define GYRO_CONFIG0 0x4Fu
#define ACCEL_CONFIG0 0x50u
#define GYRO_ACCEL_CONFIG0 0x52u
#define INT_CONFIG1 0x64u
#define INT_SOURCE0 0x65u
#define WHO_AM_I 0x75u
#define REG_BANK_SEL 0x76u /* in every bank */
/* Bank 1 */
#define GYRO_CONFIG_STATIC3 0x0Cu
#define GYRO_CONFIG_STATIC4 0x0Du
#define GYRO_CONFIG_STATIC5 0x0Eu
/* Bank 2 */
#define ACCEL_CONFIG_STATIC2 0x03u
#define ACCEL_CONFIG_STATIC3 0x04u
#define ACCEL_CONFIG_STATIC4 0x05u

#define SOFT_RESET 0x01u

static const mw_imu_register settings[] = {
    /* Anti-alias filters at 258 Hz: DELT 6, DELTSQR 36, BITSHIFT 10 (section 5.3). Only to be
     * changed while the sensors are off, as they are after a reset. */
    {REG_BANK_SEL, 1u},
    {GYRO_CONFIG_STATIC3, 6u},
    {GYRO_CONFIG_STATIC4, 36u},
    {GYRO_CONFIG_STATIC5, 10u << 4},
    {REG_BANK_SEL, 2u},
    {ACCEL_CONFIG_STATIC2, 6u << 1},
    {ACCEL_CONFIG_STATIC3, 36u},
    {ACCEL_CONFIG_STATIC4, 10u << 4},
    {REG_BANK_SEL, 0u},
    {INT_CONFIG, 0x03u},         /* INT1: pulses, push-pull, active high */
    {GYRO_CONFIG0, 0x26u},       /* ±1000 dps, 1 kHz */
    {ACCEL_CONFIG0, 0x26u},      /* ±8 g, 1 kHz */
    {GYRO_ACCEL_CONFIG0, 0x11u}, /* user interface filters: ODR/4 = 250 Hz */
    {INT_CONFIG1, 0x00u},        /* INT_ASYNC_RESET must be 0 for the pin to work */
    {INT_SOURCE0, 0x08u},        /* data ready on INT1 */
    {PWR_MGMT0, 0x0Fu},          /* both low noise; last, since 200 µs without a write follow */
};
#define FIRST_TO_VERIFY 9u /* after the banks: another bank would hide the sample's registers */

static void decode(const uint8_t *burst, int16_t counts[MW_IMU_AXES]) {
    for (size_t i = 0; i < MW_IMU_AXES; i++) {
        counts[i] = mw_big_endian(burst + 2u * i);
    }
}

const mw_imu_part mw_imu_icm42688p = {
    .name = "icm-42688-p",
    .addresses = {0x68, 0x69},
    .who_am_i = {WHO_AM_I, 0x47},
    .burst_register = ACCEL_DATA_X1,
    .burst_length = 12,
    .rate_millihertz = 1000000,
    .has_1khz_data_ready = true,
    .acc_lsb_m_s2 = MW_G_M_S2 / 4096.0f,
    .gyro_lsb_rad_s = MW_DEG_RAD / 32.8f,
    .acc_counts_per_g = 4096,
    .reset = {DEVICE_CONFIG, SOFT_RESET},
    .reset_limit_us = 10000,
    .settings = settings,
    .settings_count = MW_COUNT(settings),
    .verify_from = FIRST_TO_VERIFY,
    .bank_register = REG_BANK_SEL,
    .settle_us = 50000, /* gyro start-up 30 ms, and 45 ms before it may be switched off again */
    .decode = decode,
};
