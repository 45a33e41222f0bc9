/* The wire protocol's constants and fixed-size frame heads, packed and unpacked.
 *
 * Generated from host/myowave/wire/wire.toml by `python -m myowave.wire.generate`:
 * do not edit. PROTOCOL.md describes the frames. */
#ifndef MW_WIRE_FORMAT_H
#define MW_WIRE_FORMAT_H

#include <stdint.h>
#include <string.h>

#define MW_WIRE_VERSION 2u
#define MW_WIRE_MAX_PAYLOAD 512u
#define MW_WIRE_BATCH_SAMPLES 20u
#define MW_WIRE_REPLAY_BATCH 32u
#define MW_WIRE_REPLAY_WINDOW 64u
#define MW_WIRE_IMU_BATCH 32u
#define MW_WIRE_IMU_WINDOW 1024u
#define MW_WIRE_HEADER_SIZE 3u
#define MW_WIRE_CRC_SIZE 4u
#define MW_WIRE_MAX_FRAME 519u
#define MW_WIRE_MAX_ENCODED 522u

#define MW_WIRE_STATUS_OK 0u
#define MW_WIRE_STATUS_UNKNOWN_COMMAND 1u
#define MW_WIRE_STATUS_BAD_LENGTH 2u
#define MW_WIRE_STATUS_BAD_ARGUMENT 3u
#define MW_WIRE_STATUS_BUSY 4u
#define MW_WIRE_STATUS_OUT_OF_ORDER 5u
#define MW_WIRE_STATUS_NO_SENSOR 6u
#define MW_WIRE_STATUS_MOVING 7u
#define MW_WIRE_STATUS_NO_SAMPLES 8u

#define MW_WIRE_LEVEL_INFO 0u
#define MW_WIRE_LEVEL_WARNING 1u
#define MW_WIRE_LEVEL_ERROR 2u

#define MW_WIRE_MODE_IDLE 0u
#define MW_WIRE_MODE_SAMPLING 1u
#define MW_WIRE_MODE_REPLAYING 2u
#define MW_WIRE_MODE_CALIBRATING 3u

#define MW_WIRE_SELF_TEST_MODEL 1u
#define MW_WIRE_SELF_TEST_ENGINE 2u
#define MW_WIRE_SELF_TEST_IMU 4u
#define MW_WIRE_SELF_TEST_GRAVITY 8u

#define MW_WIRE_RESET_CAUSE_UNKNOWN 0u
#define MW_WIRE_RESET_CAUSE_POWER_ON 1u
#define MW_WIRE_RESET_CAUSE_PIN 2u
#define MW_WIRE_RESET_CAUSE_SOFTWARE 3u
#define MW_WIRE_RESET_CAUSE_WATCHDOG 4u
#define MW_WIRE_RESET_CAUSE_FAULT 5u

#define MW_WIRE_TURN_NONE 0u
#define MW_WIRE_TURN_180X 1u
#define MW_WIRE_TURN_180Y 2u
#define MW_WIRE_TURN_180Z 3u

#define MW_WIRE_DATA_FLAG_GAP 1u
#define MW_WIRE_DATA_FLAG_RAW 2u

#define MW_WIRE_TYPE_IDENTITY 1u
#define MW_WIRE_TYPE_DATA 2u
#define MW_WIRE_TYPE_STATISTICS 3u
#define MW_WIRE_TYPE_TEXT 4u
#define MW_WIRE_TYPE_ACKNOWLEDGE 5u
#define MW_WIRE_TYPE_PONG 6u
#define MW_WIRE_TYPE_REPLAY_RESULT 7u
#define MW_WIRE_TYPE_GYRO_BIAS 8u
#define MW_WIRE_TYPE_IDENTIFY 65u
#define MW_WIRE_TYPE_START 66u
#define MW_WIRE_TYPE_STOP 67u
#define MW_WIRE_TYPE_SET_RAW 68u
#define MW_WIRE_TYPE_RESET_COUNTERS 69u
#define MW_WIRE_TYPE_PING 70u
#define MW_WIRE_TYPE_GET_STATISTICS 71u
#define MW_WIRE_TYPE_REPLAY 72u
#define MW_WIRE_TYPE_REPLAY_SAMPLES 73u
#define MW_WIRE_TYPE_MEASURE_GYRO_BIAS 74u
#define MW_WIRE_TYPE_SET_CALIBRATION 75u
#define MW_WIRE_TYPE_IMU_DESCRIBE 96u
#define MW_WIRE_TYPE_IMU_SAMPLES 97u
#define MW_WIRE_TYPE_IMU_END 98u
#define MW_WIRE_TYPE_IMU_CREDIT 99u

static inline uint8_t *mw_wire_put_u(uint8_t *at, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> (8u * i));
    }
    return at + bytes;
}

static inline uint64_t mw_wire_get_u(const uint8_t *at, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)at[i] << (8u * i);
    }
    return value;
}

static inline uint8_t *mw_wire_put_f32(uint8_t *at, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return mw_wire_put_u(at, bits, 4u);
}

static inline float mw_wire_get_f32(const uint8_t *at) {
    uint32_t bits = (uint32_t)mw_wire_get_u(at, 4u);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A length byte and the text, which is cut at 255 bytes. */
static inline uint8_t *mw_wire_put_string(uint8_t *at, const char *text) {
    size_t length = strlen(text);
    if (length > 255u) {
        length = 255u;
    }
    *at = (uint8_t)length;
    memcpy(at + 1, text, length);
    return at + 1 + length;
}

/* Who the board is; the answer to `identify`, also sent once after boot. */
#define MW_WIRE_IDENTITY_HEAD_SIZE 71u

typedef struct {
    uint8_t protocol_version; /* `version` of this definition */
    uint8_t firmware_major; /* firmware version */
    uint8_t firmware_minor;
    uint8_t firmware_patch;
    uint8_t model_sha256[32]; /* of the `.tflite` */
    uint16_t rate_hz; /* samples a second */
    uint16_t receptive_field; /* samples; the first receptive_field - 1 after a start or gap are warm-up */
    uint8_t outputs; /* predictions a sample, one a muscle */
    float output_scale; /* envelope = (prediction - output_zero_point) * output_scale */
    int8_t output_zero_point;
    float acc_lsb_m_s2; /* m/s² a raw count */
    float gyro_lsb_rad_s; /* rad/s a raw count */
    uint8_t running; /* 1 while sampling */
    uint8_t raw; /* 1 when data frames hold raw counts */
    uint32_t imu_rate_millihertz; /* outputs a second of the IMU, times 1000; 0 without one */
    uint8_t self_test_run; /* self_test bits of what was tested at boot */
    uint8_t self_test_failed; /* self_test bits of what failed */
    uint8_t reset_cause; /* reset_cause */
    uint8_t calibrated; /* 1 when the host has set a calibration since boot */
    uint8_t turn; /* turn; samples are turned back before the network */
    int16_t gyro_bias_x; /* raw counts, subtracted before the network; raw counts in data frames are as read */
    int16_t gyro_bias_y;
    int16_t gyro_bias_z;
} mw_wire_identity;

static inline uint8_t *mw_wire_put_identity(uint8_t *at, const mw_wire_identity *head) {
    at = mw_wire_put_u(at, head->protocol_version, 1u);
    at = mw_wire_put_u(at, head->firmware_major, 1u);
    at = mw_wire_put_u(at, head->firmware_minor, 1u);
    at = mw_wire_put_u(at, head->firmware_patch, 1u);
    memcpy(at, head->model_sha256, 32u);
    at += 32;
    at = mw_wire_put_u(at, head->rate_hz, 2u);
    at = mw_wire_put_u(at, head->receptive_field, 2u);
    at = mw_wire_put_u(at, head->outputs, 1u);
    at = mw_wire_put_f32(at, head->output_scale);
    at = mw_wire_put_u(at, (uint8_t)head->output_zero_point, 1u);
    at = mw_wire_put_f32(at, head->acc_lsb_m_s2);
    at = mw_wire_put_f32(at, head->gyro_lsb_rad_s);
    at = mw_wire_put_u(at, head->running, 1u);
    at = mw_wire_put_u(at, head->raw, 1u);
    at = mw_wire_put_u(at, head->imu_rate_millihertz, 4u);
    at = mw_wire_put_u(at, head->self_test_run, 1u);
    at = mw_wire_put_u(at, head->self_test_failed, 1u);
    at = mw_wire_put_u(at, head->reset_cause, 1u);
    at = mw_wire_put_u(at, head->calibrated, 1u);
    at = mw_wire_put_u(at, head->turn, 1u);
    at = mw_wire_put_u(at, (uint16_t)head->gyro_bias_x, 2u);
    at = mw_wire_put_u(at, (uint16_t)head->gyro_bias_y, 2u);
    at = mw_wire_put_u(at, (uint16_t)head->gyro_bias_z, 2u);
    return at;
}

/* Consecutive samples, none missing between them. */
#define MW_WIRE_DATA_HEAD_SIZE 20u

typedef struct {
    uint32_t first_tick; /* ticks of the sample clock from start to the first sample */
    uint64_t time_us; /* device time of the first sample's tick */
    uint32_t gap_ticks; /* ticks without a sample just before the first one */
    uint8_t flags; /* data_flags */
    uint8_t warm_up; /* how many of the first samples are warm-up */
    uint8_t count; /* samples */
    uint8_t outputs; /* predictions a sample */
} mw_wire_data;

static inline uint8_t *mw_wire_put_data(uint8_t *at, const mw_wire_data *head) {
    at = mw_wire_put_u(at, head->first_tick, 4u);
    at = mw_wire_put_u(at, head->time_us, 8u);
    at = mw_wire_put_u(at, head->gap_ticks, 4u);
    at = mw_wire_put_u(at, head->flags, 1u);
    at = mw_wire_put_u(at, head->warm_up, 1u);
    at = mw_wire_put_u(at, head->count, 1u);
    at = mw_wire_put_u(at, head->outputs, 1u);
    return at;
}

/* Counters since boot or `reset_counters`; once a second while sampling and on request. */
#define MW_WIRE_STATISTICS_HEAD_SIZE 121u

typedef struct {
    uint64_t time_us; /* device time */
    uint8_t mode; /* mode; sampling ends with a statistics frame that says idle */
    uint32_t processed; /* samples through the network */
    uint32_t missed; /* ticks at which the IMU had no sample */
    uint32_t dropped; /* samples lost because the queue was full */
    uint32_t overruns; /* ticks served more than one period late, or that found the read before still under way */
    uint32_t gaps; /* places where the network started anew */
    uint32_t tx_frames; /* frames handed to the UART */
    uint32_t tx_dropped_batches; /* data frames dropped because the UART was backlogged */
    uint32_t tx_dropped_frames; /* other frames dropped for the same reason */
    uint32_t rx_frames; /* good frames received */
    uint32_t rx_crc_errors; /* frames with a wrong checksum */
    uint32_t rx_malformed; /* runs of bytes that are no frame */
    uint32_t rx_overflow; /* bytes lost because the receive buffer was full */
    uint32_t longest_step_us; /* longest time from queue to prediction of one sample */
    uint16_t cpu_load_permille; /* share of time not asleep since the last statistics frame */
    uint16_t queue_high_water; /* most samples ever waiting */
    uint32_t bus_nacks; /* transfers the IMU did not acknowledge */
    uint32_t bus_arbitration_lost; /* transfers in which somebody else drove the bus */
    uint32_t bus_stuck; /* times SDA was held low */
    uint32_t bus_timeouts; /* transfers that could not begin or did not end in time */
    uint32_t bus_recoveries; /* times the bus was freed again (nine clocks and a stop) */
    uint32_t longest_recovery_us; /* longest time from a fault of the bus to the first sample after it */
    uint32_t imu_lost_configurations; /* times the IMU was found without its configuration */
    uint32_t imu_configurations; /* times the configuration was sent again */
    uint32_t imu_frozen; /* times the IMU's output stood still */
    uint32_t clock_silent; /* times the sample clock or data-ready line went silent */
    uint32_t imu_repeated; /* samples equal to the one before */
    uint32_t imu_skipped; /* outputs of the IMU that were never read, by its nominal rate */
    uint32_t jitter_max_us; /* largest deviation of a tick's time from the ideal one */
    uint32_t jitter_mean_ns; /* mean absolute deviation */
} mw_wire_statistics;

static inline uint8_t *mw_wire_put_statistics(uint8_t *at, const mw_wire_statistics *head) {
    at = mw_wire_put_u(at, head->time_us, 8u);
    at = mw_wire_put_u(at, head->mode, 1u);
    at = mw_wire_put_u(at, head->processed, 4u);
    at = mw_wire_put_u(at, head->missed, 4u);
    at = mw_wire_put_u(at, head->dropped, 4u);
    at = mw_wire_put_u(at, head->overruns, 4u);
    at = mw_wire_put_u(at, head->gaps, 4u);
    at = mw_wire_put_u(at, head->tx_frames, 4u);
    at = mw_wire_put_u(at, head->tx_dropped_batches, 4u);
    at = mw_wire_put_u(at, head->tx_dropped_frames, 4u);
    at = mw_wire_put_u(at, head->rx_frames, 4u);
    at = mw_wire_put_u(at, head->rx_crc_errors, 4u);
    at = mw_wire_put_u(at, head->rx_malformed, 4u);
    at = mw_wire_put_u(at, head->rx_overflow, 4u);
    at = mw_wire_put_u(at, head->longest_step_us, 4u);
    at = mw_wire_put_u(at, head->cpu_load_permille, 2u);
    at = mw_wire_put_u(at, head->queue_high_water, 2u);
    at = mw_wire_put_u(at, head->bus_nacks, 4u);
    at = mw_wire_put_u(at, head->bus_arbitration_lost, 4u);
    at = mw_wire_put_u(at, head->bus_stuck, 4u);
    at = mw_wire_put_u(at, head->bus_timeouts, 4u);
    at = mw_wire_put_u(at, head->bus_recoveries, 4u);
    at = mw_wire_put_u(at, head->longest_recovery_us, 4u);
    at = mw_wire_put_u(at, head->imu_lost_configurations, 4u);
    at = mw_wire_put_u(at, head->imu_configurations, 4u);
    at = mw_wire_put_u(at, head->imu_frozen, 4u);
    at = mw_wire_put_u(at, head->clock_silent, 4u);
    at = mw_wire_put_u(at, head->imu_repeated, 4u);
    at = mw_wire_put_u(at, head->imu_skipped, 4u);
    at = mw_wire_put_u(at, head->jitter_max_us, 4u);
    at = mw_wire_put_u(at, head->jitter_mean_ns, 4u);
    return at;
}

/* A line for a person. */
#define MW_WIRE_TEXT_HEAD_SIZE 1u

typedef struct {
    uint8_t level; /* level */
} mw_wire_text;

static inline uint8_t *mw_wire_put_text(uint8_t *at, const mw_wire_text *head) {
    at = mw_wire_put_u(at, head->level, 1u);
    return at;
}

/* The answer to every command that has no other. */
#define MW_WIRE_ACKNOWLEDGE_HEAD_SIZE 4u

typedef struct {
    uint8_t command; /* type of the command frame */
    uint16_t command_sequence; /* its sequence number */
    uint8_t status; /* status */
} mw_wire_acknowledge;

static inline uint8_t *mw_wire_put_acknowledge(uint8_t *at, const mw_wire_acknowledge *head) {
    at = mw_wire_put_u(at, head->command, 1u);
    at = mw_wire_put_u(at, head->command_sequence, 2u);
    at = mw_wire_put_u(at, head->status, 1u);
    return at;
}

/* The answer to `ping`. */
#define MW_WIRE_PONG_HEAD_SIZE 12u

typedef struct {
    uint32_t token; /* as sent */
    uint64_t time_us; /* device time */
} mw_wire_pong;

static inline uint8_t *mw_wire_put_pong(uint8_t *at, const mw_wire_pong *head) {
    at = mw_wire_put_u(at, head->token, 4u);
    at = mw_wire_put_u(at, head->time_us, 8u);
    return at;
}

/* Predictions for one replay_samples frame; frees its place in the window. */
#define MW_WIRE_REPLAY_RESULT_HEAD_SIZE 7u

typedef struct {
    uint32_t first; /* as sent */
    uint8_t warm_up; /* how many of the first samples are warm-up */
    uint8_t count; /* samples */
    uint8_t outputs; /* predictions a sample */
} mw_wire_replay_result;

static inline uint8_t *mw_wire_put_replay_result(uint8_t *at, const mw_wire_replay_result *head) {
    at = mw_wire_put_u(at, head->first, 4u);
    at = mw_wire_put_u(at, head->warm_up, 1u);
    at = mw_wire_put_u(at, head->count, 1u);
    at = mw_wire_put_u(at, head->outputs, 1u);
    return at;
}

/* What `measure_gyro_bias` has found, a second after it was acknowledged. */
#define MW_WIRE_GYRO_BIAS_HEAD_SIZE 13u

typedef struct {
    uint8_t status; /* ok, moving or no_samples; not ok: the values say nothing */
    uint16_t samples; /* number of samples the mean is of */
    int16_t x; /* raw counts */
    int16_t y;
    int16_t z;
    uint16_t gyro_range; /* largest difference of two samples of one gyroscope axis, raw counts */
    uint16_t acc_range; /* the same of the accelerometer */
} mw_wire_gyro_bias;

static inline uint8_t *mw_wire_put_gyro_bias(uint8_t *at, const mw_wire_gyro_bias *head) {
    at = mw_wire_put_u(at, head->status, 1u);
    at = mw_wire_put_u(at, head->samples, 2u);
    at = mw_wire_put_u(at, (uint16_t)head->x, 2u);
    at = mw_wire_put_u(at, (uint16_t)head->y, 2u);
    at = mw_wire_put_u(at, (uint16_t)head->z, 2u);
    at = mw_wire_put_u(at, head->gyro_range, 2u);
    at = mw_wire_put_u(at, head->acc_range, 2u);
    return at;
}

/* Raw counts in data frames on or off. */
#define MW_WIRE_SET_RAW_HEAD_SIZE 1u

typedef struct {
    uint8_t on; /* 0 or 1 */
} mw_wire_set_raw;

static inline const uint8_t *mw_wire_get_set_raw(const uint8_t *at, mw_wire_set_raw *head) {
    head->on = (uint8_t)mw_wire_get_u(at, 1u);
    at += 1;
    return at;
}

/* Ask for a pong with the device time. */
#define MW_WIRE_PING_HEAD_SIZE 4u

typedef struct {
    uint32_t token; /* comes back */
} mw_wire_ping;

static inline const uint8_t *mw_wire_get_ping(const uint8_t *at, mw_wire_ping *head) {
    head->token = (uint32_t)mw_wire_get_u(at, 4u);
    at += 4;
    return at;
}

/* Recorded raw counts; the board answers with a replay_result at its own speed. */
#define MW_WIRE_REPLAY_SAMPLES_HEAD_SIZE 5u

typedef struct {
    uint32_t first; /* index of the first sample; frames follow each other without a hole */
    uint8_t count; /* samples, 1 to replay_batch */
} mw_wire_replay_samples;

static inline const uint8_t *mw_wire_get_replay_samples(const uint8_t *at, mw_wire_replay_samples *head) {
    head->first = (uint32_t)mw_wire_get_u(at, 4u);
    at += 4;
    head->count = (uint8_t)mw_wire_get_u(at, 1u);
    at += 1;
    return at;
}

/* Subtract this bias from the gyroscope and turn all axes back, from the next start on; not in a replay. Refused while sampling. */
#define MW_WIRE_SET_CALIBRATION_HEAD_SIZE 7u

typedef struct {
    uint8_t turn; /* turn */
    int16_t gyro_bias_x; /* raw counts, before turning */
    int16_t gyro_bias_y;
    int16_t gyro_bias_z;
} mw_wire_set_calibration;

static inline const uint8_t *mw_wire_get_set_calibration(const uint8_t *at, mw_wire_set_calibration *head) {
    head->turn = (uint8_t)mw_wire_get_u(at, 1u);
    at += 1;
    head->gyro_bias_x = (int16_t)mw_wire_get_u(at, 2u);
    at += 2;
    head->gyro_bias_y = (int16_t)mw_wire_get_u(at, 2u);
    at += 2;
    head->gyro_bias_z = (int16_t)mw_wire_get_u(at, 2u);
    at += 2;
    return at;
}

/* Which part the emulated IMU is; sent first. The board refuses one its model is not for. */
#define MW_WIRE_IMU_DESCRIBE_HEAD_SIZE 8u

typedef struct {
    float acc_lsb_m_s2; /* m/s² a raw count */
    float gyro_lsb_rad_s; /* rad/s a raw count */
} mw_wire_imu_describe;

static inline const uint8_t *mw_wire_get_imu_describe(const uint8_t *at, mw_wire_imu_describe *head) {
    head->acc_lsb_m_s2 = mw_wire_get_f32(at);
    at += 4;
    head->gyro_lsb_rad_s = mw_wire_get_f32(at);
    at += 4;
    return at;
}

/* What the emulated IMU measures at consecutive ticks. Samples of another play are stale. */
#define MW_WIRE_IMU_SAMPLES_HEAD_SIZE 6u

typedef struct {
    uint8_t play; /* as in the newest imu_credit */
    uint32_t first; /* tick of the first sample */
    uint8_t count; /* samples, 1 to imu_batch */
} mw_wire_imu_samples;

static inline const uint8_t *mw_wire_get_imu_samples(const uint8_t *at, mw_wire_imu_samples *head) {
    head->play = (uint8_t)mw_wire_get_u(at, 1u);
    at += 1;
    head->first = (uint32_t)mw_wire_get_u(at, 4u);
    at += 4;
    head->count = (uint8_t)mw_wire_get_u(at, 1u);
    at += 1;
    return at;
}

/* The recording ends: the board stops sampling there. */
#define MW_WIRE_IMU_END_HEAD_SIZE 5u

typedef struct {
    uint8_t play; /* as in the newest imu_credit */
    uint32_t total; /* tick after the last sample */
} mw_wire_imu_end;

static inline const uint8_t *mw_wire_get_imu_end(const uint8_t *at, mw_wire_imu_end *head) {
    head->play = (uint8_t)mw_wire_get_u(at, 1u);
    at += 1;
    head->total = (uint32_t)mw_wire_get_u(at, 4u);
    at += 4;
    return at;
}

/* How far the sample clock is: samples before next + imu_window are welcome. */
#define MW_WIRE_IMU_CREDIT_HEAD_SIZE 5u

typedef struct {
    uint8_t play; /* counts how often the recording has begun anew; every stop of the sample clock rewinds it */
    uint32_t next; /* tick the board takes next */
} mw_wire_imu_credit;

static inline uint8_t *mw_wire_put_imu_credit(uint8_t *at, const mw_wire_imu_credit *head) {
    at = mw_wire_put_u(at, head->play, 1u);
    at = mw_wire_put_u(at, head->next, 4u);
    return at;
}

#endif
