/* The registers of each modelled IMU, from its data sheet.
 *
 * Register numbers are written out here rather than shared with the drivers, so that a wrong one
 * shows. Sources: LSM6DS3TR-C DocID030071 section 9, LSM6DSO DS12140 section 9; MPU-6050
 * RM-MPU-6000A-00, MPU-6500 RM-MPU-6500A-00, MPU-9250 RM-MPU-9250A-00; ICM-42688-P DS-000347
 * sections 14 to 16. */
#include "imu_model.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS 1000000u /* in ns */

static uint64_t period_ps(uint64_t rate_millihertz) {
    return UINT64_C(1000000000000000) / rate_millihertz;
}

/* ---- ST LSM6DS ------------------------------------------------------------------------------- */

static const imu_model_register lsm6ds3tr_c_registers[] = {
    {0, 0x0D, 0x00, 0xFF}, /* INT1_CTRL */
    {0, 0x0F, 0x6A, 0x00}, /* WHO_AM_I */
    {0, 0x10, 0x00, 0xFF}, /* CTRL1_XL */
    {0, 0x11, 0x00, 0xFE}, /* CTRL2_G */
    {0, 0x12, 0x04, 0xFF}, /* CTRL3_C */
    {0, 0x13, 0x00, 0xFE}, /* CTRL4_C */
    {0, 0x14, 0x00, 0xFF}, /* CTRL5_C */
    {0, 0x15, 0x00, 0xFB}, /* CTRL6_C */
    {0, 0x16, 0x00, 0xF4}, /* CTRL7_G */
    {0, 0x17, 0x00, 0xFD}, /* CTRL8_XL */
    {0, 0x18, 0xE0, 0xFC}, /* CTRL9_XL */
};

static const imu_model_register lsm6dso_registers[] = {
    {0, 0x0D, 0x00, 0xFF}, /* INT1_CTRL */
    {0, 0x0F, 0x6C, 0x00}, /* WHO_AM_I */
    {0, 0x10, 0x00, 0xFE}, /* CTRL1_XL */
    {0, 0x11, 0x00, 0xFE}, /* CTRL2_G */
    {0, 0x12, 0x04, 0xFD}, /* CTRL3_C */
    {0, 0x13, 0x00, 0x6E}, /* CTRL4_C */
    {0, 0x14, 0x00, 0xEF}, /* CTRL5_C */
    {0, 0x15, 0x00, 0xFF}, /* CTRL6_C */
    {0, 0x16, 0x00, 0xF2}, /* CTRL7_G */
    {0, 0x17, 0x00, 0xFD}, /* CTRL8_XL */
    {0, 0x18, 0xE0, 0xFE}, /* CTRL9_XL */
};

static imu_model_sensor lsm6ds_sensor(uint8_t rate_code, int32_t gain_log2) {
    static const uint32_t rates_millihertz[] = {0,      12500,  26000,   52000,   104000, 208000,
                                                416000, 833000, 1660000, 3330000, 6660000};
    if (rate_code == 0u || rate_code >= COUNT(rates_millihertz)) {
        return (imu_model_sensor){0};
    }
    return (imu_model_sensor){
        .on = true,
        .period_ps = period_ps(rates_millihertz[rate_code]),
        .gain_log2 = gain_log2,
    };
}

static imu_model_settings lsm6ds_settings(const imu_model_registers *registers) {
    const uint8_t *r = (*registers)[0];
    static const int32_t acc_gain[] = {2, -1, 1, 0};  /* ±2, ±16, ±4, ±8 g */
    static const int32_t gyro_gain[] = {2, 1, 0, -1}; /* ±250, ±500, ±1000, ±2000 dps */
    uint8_t ctrl1_xl = r[0x10];
    uint8_t ctrl2_g = r[0x11];
    bool fs_125 = (ctrl2_g & 0x02u) != 0u;
    return (imu_model_settings){
        .acc = lsm6ds_sensor(ctrl1_xl >> 4, acc_gain[(ctrl1_xl >> 2) & 3u]),
        .gyro = lsm6ds_sensor(ctrl2_g >> 4, fs_125 ? 3 : gyro_gain[(ctrl2_g >> 2) & 3u]),
        .increments = (r[0x12] & 0x04u) != 0u,
        .block_updates = (r[0x12] & 0x40u) != 0u,
        .little_endian = true,
        .data_ready = (r[0x0D] & 0x02u) != 0u,
    };
}

/* Until the first sample: data sheet tables of turn-on time, gyro 70 ms. */
#define LSM6DS_MODEL                                                                               \
    .addresses = {0x6A, 0x6B}, .reset_register = 0x12, .reset_bit = 0x01, .reset_ns = 50000,       \
    .data_first = 0x22, .data_length = 12, .gyro_offset = 0, .acc_offset = 6,                      \
    .acc_start_ns = 5u * MS, .gyro_start_ns = 70u * MS, .settings = lsm6ds_settings

/* ---- InvenSense MPU -------------------------------------------------------------------------- */

static const imu_model_register mpu6050_registers[] = {
    {0, 0x19, 0x00, 0xFF}, /* SMPLRT_DIV */
    {0, 0x1A, 0x00, 0x3F}, /* CONFIG */
    {0, 0x1B, 0x00, 0xF8}, /* GYRO_CONFIG */
    {0, 0x1C, 0x00, 0xF8}, /* ACCEL_CONFIG */
    {0, 0x37, 0x00, 0xFE}, /* INT_PIN_CFG */
    {0, 0x38, 0x00, 0x19}, /* INT_ENABLE */
    {0, 0x6B, 0x40, 0xEF}, /* PWR_MGMT_1: asleep */
    {0, 0x6C, 0x00, 0xFF}, /* PWR_MGMT_2 */
    {0, 0x75, 0x68, 0x00}, /* WHO_AM_I */
};

#define MPU6500_REGISTERS(who_am_i)                                                                \
    {0, 0x19, 0x00, 0xFF},         /* SMPLRT_DIV */                                                \
        {0, 0x1A, 0x00, 0x7F},     /* CONFIG */                                                    \
        {0, 0x1B, 0x00, 0xFB},     /* GYRO_CONFIG */                                               \
        {0, 0x1C, 0x00, 0xF8},     /* ACCEL_CONFIG */                                              \
        {0, 0x1D, 0x00, 0x0F},     /* ACCEL_CONFIG2 */                                             \
        {0, 0x37, 0x00, 0xFE},     /* INT_PIN_CFG */                                               \
        {0, 0x38, 0x00, 0x59},     /* INT_ENABLE */                                                \
        {0, 0x6B, 0x01, 0xFF},     /* PWR_MGMT_1: awake */                                         \
        {0, 0x6C, 0x00, 0xFF},     /* PWR_MGMT_2 */                                                \
        {0, 0x75, who_am_i, 0x00}, /* WHO_AM_I */

static const imu_model_register mpu6500_registers[] = {MPU6500_REGISTERS(0x70)};
static const imu_model_register mpu9250_registers[] = {MPU6500_REGISTERS(0x71)};

static imu_model_settings mpu_settings(const imu_model_registers *registers) {
    const uint8_t *r = (*registers)[0];
    static const int32_t gain[] = {2, 1, 0, -1}; /* ±250 to ±2000 dps, ±2 to ±16 g */
    bool awake = (r[0x6B] & 0x60u) == 0u;        /* neither SLEEP nor CYCLE */
    uint8_t filter = r[0x1A] & 7u;
    bool filtered = filter != 0u && filter != 7u && (r[0x1B] & 3u) == 0u;
    /* The divider works behind the filter; without it the gyro runs at 8 kHz. */
    uint64_t rate = filtered ? 1000000u / (1u + r[0x19]) : 8000000u;
    return (imu_model_settings){
        .acc = {awake && (r[0x6C] & 0x38u) == 0u, period_ps(filtered ? rate : 1000000u),
                gain[(r[0x1C] >> 3) & 3u]},
        .gyro = {awake && (r[0x6C] & 0x07u) == 0u, period_ps(rate), gain[(r[0x1B] >> 3) & 3u]},
        .increments = true,
        .block_updates = true,
        .little_endian = false,
        .data_ready = (r[0x38] & 0x01u) != 0u,
    };
}

#define MPU_MODEL                                                                                  \
    .addresses = {0x68, 0x69}, .reset_register = 0x6B, .reset_bit = 0x80, .reset_ns = 30u * MS,    \
    .data_first = 0x3B, .data_length = 14, .acc_offset = 0, .gyro_offset = 8,                      \
    .whole_burst = true, .acc_start_ns = 20u * MS, .gyro_start_ns = 35u * MS,                      \
    .settings = mpu_settings

/* ---- TDK ICM-42688-P ------------------------------------------------------------------------- */

static const imu_model_register icm42688p_registers[] = {
    {0, 0x11, 0x00, 0x11}, /* DEVICE_CONFIG */
    {0, 0x13, 0x05, 0x3F}, /* DRIVE_CONFIG */
    {0, 0x14, 0x00, 0x3F}, /* INT_CONFIG */
    {0, 0x4C, 0x30, 0xF3}, /* INTF_CONFIG0 */
    {0, 0x4D, 0x91, 0x0F}, /* INTF_CONFIG1 */
    {0, 0x4E, 0x00, 0x3F}, /* PWR_MGMT0 */
    {0, 0x4F, 0x06, 0xEF}, /* GYRO_CONFIG0 */
    {0, 0x50, 0x06, 0xEF}, /* ACCEL_CONFIG0 */
    {0, 0x51, 0x16, 0xEF}, /* GYRO_CONFIG1 */
    {0, 0x52, 0x11, 0xFF}, /* GYRO_ACCEL_CONFIG0 */
    {0, 0x53, 0x0D, 0x1E}, /* ACCEL_CONFIG1 */
    {0, 0x63, 0x00, 0x3F}, /* INT_CONFIG0 */
    {0, 0x64, 0x10, 0x70}, /* INT_CONFIG1 */
    {0, 0x65, 0x10, 0x7F}, /* INT_SOURCE0 */
    {0, 0x75, 0x47, 0x00}, /* WHO_AM_I */
    {0, 0x76, 0x00, 0x07}, /* REG_BANK_SEL, in every bank */
    {1, 0x0B, 0xA0, 0x03}, /* GYRO_CONFIG_STATIC2 */
    {1, 0x0C, 0x0D, 0x3F}, /* GYRO_CONFIG_STATIC3 */
    {1, 0x0D, 0xAA, 0xFF}, /* GYRO_CONFIG_STATIC4 */
    {1, 0x0E, 0x80, 0xFF}, /* GYRO_CONFIG_STATIC5 */
    {2, 0x03, 0x30, 0x7F}, /* ACCEL_CONFIG_STATIC2 */
    {2, 0x04, 0x40, 0xFF}, /* ACCEL_CONFIG_STATIC3 */
    {2, 0x05, 0x62, 0xFF}, /* ACCEL_CONFIG_STATIC4 */
};

static uint64_t icm42688p_period_ps(uint8_t code) {
    static const uint32_t rates_millihertz[16] = {
        0,      32000000, 16000000, 8000000, 4000000, 2000000, 1000000, 200000,
        100000, 50000,    25000,    12500,   0,       0,       0,       500000,
    };
    uint32_t rate = rates_millihertz[code & 15u];
    return rate == 0u ? 0u : period_ps(rate);
}

static imu_model_sensor icm42688p_sensor(uint8_t mode, uint8_t config) {
    uint64_t period = icm42688p_period_ps(config);
    return (imu_model_sensor){
        .on = mode == 3u && period != 0u, /* low noise */
        .period_ps = period,
        .gain_log2 = (config >> 5) - 1, /* ±16 g and ±2000 dps first */
    };
}

static imu_model_settings icm42688p_settings(const imu_model_registers *registers) {
    const uint8_t *r = (*registers)[0];
    uint8_t power = r[0x4E];
    return (imu_model_settings){
        .acc = icm42688p_sensor(power & 3u, r[0x50]),
        .gyro = icm42688p_sensor((power >> 2) & 3u, r[0x4F]),
        .increments = true,
        .block_updates = true,
        .little_endian = (r[0x4C] & 0x10u) == 0u,
        .data_ready = (r[0x65] & 0x08u) != 0u && (r[0x64] & 0x10u) == 0u,
    };
}

/* After the sensors are switched on no register may be written for 200 µs (section 14.36), and the
 * anti-alias filters are only to be changed while they are off: such writes are lost. */
static bool icm42688p_accepts(const imu_model_registers *registers, uint8_t bank, uint8_t address,
                              uint64_t since_power_ns) {
    bool on = (*registers)[0][0x4E] != 0u;
    bool selects_bank = address == 0x76u;
    return !on || (since_power_ns >= 200000u && (bank == 0u || selects_bank));
}

/* ---- All ------------------------------------------------------------------------------------- */

const imu_model_part imu_model_parts[] = {
    {
        .name = "lsm6ds3tr-c",
        .registers = lsm6ds3tr_c_registers,
        .register_count = COUNT(lsm6ds3tr_c_registers),
        LSM6DS_MODEL,
    },
    {
        .name = "lsm6dso",
        .registers = lsm6dso_registers,
        .register_count = COUNT(lsm6dso_registers),
        LSM6DS_MODEL,
    },
    {
        .name = "mpu-6050",
        .registers = mpu6050_registers,
        .register_count = COUNT(mpu6050_registers),
        MPU_MODEL,
    },
    {
        .name = "mpu-6500",
        .registers = mpu6500_registers,
        .register_count = COUNT(mpu6500_registers),
        MPU_MODEL,
    },
    {
        .name = "mpu-9250",
        .registers = mpu9250_registers,
        .register_count = COUNT(mpu9250_registers),
        MPU_MODEL,
    },
    {
        .name = "icm-42688-p",
        .addresses = {0x68, 0x69},
        .registers = icm42688p_registers,
        .register_count = COUNT(icm42688p_registers),
        .bank_register = 0x76,
        .reset_register = 0x11,
        .reset_bit = 0x01,
        .reset_ns = 1u * MS,
        .data_first = 0x1F,
        .data_length = 12,
        .acc_offset = 0,
        .gyro_offset = 6,
        .whole_burst = true,
        .no_sample = INT16_MIN,
        .acc_start_ns = 20u * MS,
        .gyro_start_ns = 45u * MS,
        .settings = icm42688p_settings,
        .accepts = icm42688p_accepts,
    },
};
const size_t imu_model_part_count = COUNT(imu_model_parts);
