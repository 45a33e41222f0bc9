/* InvenSense MPU-6050, MPU-6500 and MPU-9250 (its magnetometer is left off): 1 kHz with a data-ready
 * pulse.
 *
 * They have no block data update: their registers hold one sample while a burst reads them. Sources:
 * MPU-6000/6050 register map RM-MPU-6000A-00 rev. 4.2 and specification PS-MPU-6000A-00 rev. 3.4;
 * MPU-6500 register map RM-MPU-6500A-00 rev. 2.1; MPU-9250 register map RM-MPU-9250A-00 rev. 1.6. */
#include "imu_parts.h"

#define SMPLRT_DIV 0x19u
#define CONFIG 0x1Au
#define GYRO_CONFIG 0x1Bu
#define ACCEL_CONFIG 0x1Cu
#define ACCEL_CONFIG2 0x1Du
#define INT_PIN_CFG 0x37u
#define INT_ENABLE 0x38u
#define ACCEL_XOUT_H 0x3Bu /* acc x y z, temperature, gyro x y z, high byte first */
#define PWR_MGMT_1 0x6Bu
#define WHO_AM_I 0x75u

#define DEVICE_RESET 0x80u
#define CLOCK_OF_GYRO 0x01u /* CLKSEL 1: more accurate than the internal oscillator */
#define DLPF_184_HZ 0x01u   /* DLPF_CFG 1: acc 184 Hz, gyro 188 Hz, 1 kHz */
#define FS_1000_DPS 0x10u
#define FS_8_G 0x10u
#define DATA_RDY_EN 0x01u

/* Gyro start-up 30 ms (6050) or 35 ms (6500, 9250), and the filter. */
#define SETTLE_US 50000u
/* A reset takes up to 100 ms (RM-MPU-6000A-00, register 107). */
#define RESET_LIMIT_US 100000u

static const mw_imu_register mpu6050_settings[] = {
    {PWR_MGMT_1, CLOCK_OF_GYRO}, /* first: it ends sleep */
    {SMPLRT_DIV, 0x00u},         /* 1 kHz undivided */
    {CONFIG, DLPF_184_HZ},
    {GYRO_CONFIG, FS_1000_DPS},
    {ACCEL_CONFIG, FS_8_G},
    {INT_PIN_CFG, 0x00u}, /* 50 µs pulses, active high, push-pull */
    {INT_ENABLE, DATA_RDY_EN},
};

/* From the MPU-6500 on CONFIG filters the gyro only, and the acc has its own register. */
static const mw_imu_register mpu6500_settings[] = {
    {PWR_MGMT_1, CLOCK_OF_GYRO},
    {SMPLRT_DIV, 0x00u},
    {CONFIG, DLPF_184_HZ},
    {GYRO_CONFIG, FS_1000_DPS},
    {ACCEL_CONFIG, FS_8_G},
    {ACCEL_CONFIG2, DLPF_184_HZ}, /* A_DLPF_CFG 1: 184 Hz (6500), 218 Hz (9250) */
    {INT_PIN_CFG, 0x00u},
    {INT_ENABLE, DATA_RDY_EN},
};

static void decode(const uint8_t *burst, int16_t counts[MW_IMU_AXES]) {
    for (size_t i = 0; i < 3u; i++) {
        counts[i] = mw_big_endian(burst + 2u * i);
        counts[3u + i] = mw_big_endian(burst + 8u + 2u * i);
    }
}

#define MPU_PART                                                                                   \
    .addresses = {0x68, 0x69}, .burst_register = ACCEL_XOUT_H, .burst_length = 14,                 \
    .rate_millihertz = 1000000, .has_1khz_data_ready = true, .acc_lsb_m_s2 = MW_G_M_S2 / 4096.0f,  \
    .gyro_lsb_rad_s = MW_DEG_RAD / 32.8f, .acc_counts_per_g = 4096,                                \
    .reset = {PWR_MGMT_1, DEVICE_RESET}, .reset_limit_us = RESET_LIMIT_US, .settle_us = SETTLE_US, \
    .decode = decode

const mw_imu_part mw_imu_mpu6050 = {
    .name = "mpu-6050",
    .who_am_i = {WHO_AM_I, 0x68},
    .settings = mpu6050_settings,
    .settings_count = MW_COUNT(mpu6050_settings),
    MPU_PART,
};

const mw_imu_part mw_imu_mpu6500 = {
    .name = "mpu-6500",
    .who_am_i = {WHO_AM_I, 0x70},
    .settings = mpu6500_settings,
    .settings_count = MW_COUNT(mpu6500_settings),
    MPU_PART,
};

const mw_imu_part mw_imu_mpu9250 = {
    .name = "mpu-9250",
    .who_am_i = {WHO_AM_I, 0x71},
    .settings = mpu6500_settings,
    .settings_count = MW_COUNT(mpu6500_settings),
    MPU_PART,
};
