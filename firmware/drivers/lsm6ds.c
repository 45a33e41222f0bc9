/* ST LSM6DS3TR-C and LSM6DSL (one WHO_AM_I, one register map), LSM6DSO and LSM6DSOX (likewise).
 *
 * They have 833 and 1660 Hz but no 1 kHz: they run at 1660 Hz and a timer reads them, so some
 * samples are skipped and none is read twice. Sources: LSM6DS3TR-C data sheet DocID030071, tables 3
 * and 4 (scales, turn-on time) and section 9 (registers); LSM6DSO data sheet DS12140, tables 2 and 3
 * and section 9. Table numbers below are of these sections. */
#include "imu_parts.h"

#define WHO_AM_I 0x0Fu
#define CTRL1_XL 0x10u
#define CTRL2_G 0x11u
#define CTRL3_C 0x12u
#define CTRL4_C 0x13u
#define CTRL5_C 0x14u
#define CTRL6_C 0x15u
#define CTRL7_G 0x16u
#define CTRL8_XL 0x17u
#define CTRL9_XL 0x18u
#define OUTX_L_G 0x22u /* gyro x y z, then acc x y z, low byte first */

#define SW_RESET 0x01u

/* ODR_XL, ODR_G: 1.66 kHz. FS_XL: ±8 g. FS_G: ±1000 dps. */
#define ODR_1660_HZ 0x80u
#define FS_XL_8_G 0x0Cu
#define FS_G_1000_DPS 0x08u
#define BDU 0x40u    /* no half of a new number in a burst */
#define IF_INC 0x04u /* the register number counts up in a burst */
#define LPF1_SEL_G 0x02u

/* Turn-on time of the gyro 70 ms, and then a few samples for the filters. */
#define SETTLE_US 80000u

static const mw_imu_register lsm6ds3tr_c_settings[] = {
    {CTRL1_XL, ODR_1660_HZ | FS_XL_8_G | 0x01u}, /* BW0_XL: analog bandwidth 400 Hz */
    {CTRL2_G, ODR_1660_HZ | FS_G_1000_DPS},
    {CTRL3_C, BDU | IF_INC},
    {CTRL4_C, LPF1_SEL_G},
    {CTRL5_C, 0x00u},
    {CTRL6_C, 0x01u},  /* FTYPE 01: LPF1 at 224 Hz; high performance */
    {CTRL7_G, 0x00u},  /* high performance, no high-pass filter */
    {CTRL8_XL, 0xC8u}, /* LPF2 on, HPCF 10: ODR/9 = 184 Hz, behind ODR/4 */
};

static const mw_imu_register lsm6dso_settings[] = {
    {CTRL1_XL, ODR_1660_HZ | FS_XL_8_G | 0x02u}, /* LPF2 on */
    {CTRL2_G, ODR_1660_HZ | FS_G_1000_DPS},
    {CTRL3_C, BDU | IF_INC},
    {CTRL4_C, LPF1_SEL_G},
    {CTRL5_C, 0x00u},
    {CTRL6_C, 0x01u},  /* FTYPE 001: LPF1 at 220.7 Hz (table 60); high performance */
    {CTRL7_G, 0x00u},  /* high performance, no high-pass filter */
    {CTRL8_XL, 0x20u}, /* HPCF 001: LPF2 at ODR/10 = 166 Hz (table 65) */
    {CTRL9_XL, 0xE2u}, /* as after reset, and I3C off, as recommended for I2C */
};

static void decode(const uint8_t *burst, int16_t counts[MW_IMU_AXES]) {
    for (size_t i = 0; i < 3u; i++) {
        counts[i] = mw_little_endian(burst + 6u + 2u * i);
        counts[3u + i] = mw_little_endian(burst + 2u * i);
    }
}

#define LSM6DS_PART                                                                                \
    .addresses = {0x6A, 0x6B}, .burst_register = OUTX_L_G, .burst_length = 12,                     \
    .rate_millihertz = 1660000, .has_1khz_data_ready = false,                                      \
    .acc_lsb_m_s2 = 0.244e-3f * MW_G_M_S2, .gyro_lsb_rad_s = 35e-3f * MW_DEG_RAD,                  \
    .acc_counts_per_g = 4098, .reset = {CTRL3_C, SW_RESET}, .reset_limit_us = 10000,               \
    .settle_us = SETTLE_US, .decode = decode

const mw_imu_part mw_imu_lsm6ds3tr_c = {
    .name = "lsm6ds3tr-c",
    .who_am_i = {WHO_AM_I, 0x6A},
    .settings = lsm6ds3tr_c_settings,
    .settings_count = MW_COUNT(lsm6ds3tr_c_settings),
    LSM6DS_PART,
};

const mw_imu_part mw_imu_lsm6dso = {
    .name = "lsm6dso",
    .who_am_i = {WHO_AM_I, 0x6C},
    .settings = lsm6dso_settings,
    .settings_count = MW_COUNT(lsm6dso_settings),
    LSM6DS_PART,
};
