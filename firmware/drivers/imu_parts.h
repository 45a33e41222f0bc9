/* The parts' rows; outside the drivers they are reached through mw_imu_parts. */
#ifndef MW_IMU_PARTS_H
#define MW_IMU_PARTS_H

#include "imu.h"

#define MW_G_M_S2 9.80665f
#define MW_DEG_RAD 0.017453292519943295f

#define MW_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* 16-bit numbers from two bytes. */
static inline int16_t mw_little_endian(const uint8_t *bytes) {
    return (int16_t)(uint16_t)(bytes[0] | (bytes[1] << 8));
}

static inline int16_t mw_big_endian(const uint8_t *bytes) {
    return (int16_t)(uint16_t)((bytes[0] << 8) | bytes[1]);
}

extern const mw_imu_part mw_imu_lsm6ds3tr_c;
extern const mw_imu_part mw_imu_lsm6dso;
extern const mw_imu_part mw_imu_mpu6050;
extern const mw_imu_part mw_imu_mpu6500;
extern const mw_imu_part mw_imu_mpu9250;
extern const mw_imu_part mw_imu_icm42688p;

#endif
