/* Calibration of raw counts, and the measurement of the gyroscope's bias. */
#include "calibration.h"

#include <string.h>

#include "wire_format.h"

/* In 2^-20 rad/s and m/s^2. */
#define GYRO_RANGE_LIMIT 91508u /* 5 deg/s */
#define GYRO_BIAS_LIMIT 457539u /* 25 deg/s */
#define ACC_RANGE_LIMIT 822640u /* 0.08 g */

/* Whether a turn changes the sign of x, y, z. A turn by 180 degrees keeps its own axis. */
static const bool negated[][3] = {
    [MW_WIRE_TURN_NONE] = {false, false, false},
    [MW_WIRE_TURN_180X] = {false, true, true},
    [MW_WIRE_TURN_180Y] = {true, false, true},
    [MW_WIRE_TURN_180Z] = {true, true, false},
};

void mw_calibration_apply(const mw_calibration *calibration, const int16_t *counts, int16_t *out) {
    for (uint32_t i = 0; i < MW_IMU_CHANNELS; i++) {
        int32_t value = counts[i];
        if (i >= 3u) {
            value -= calibration->gyro_bias[i - 3u];
        }
        if (negated[calibration->turn][i % 3u]) {
            value = -value;
        }
        if (value > INT16_MAX) {
            value = INT16_MAX;
        } else if (value < INT16_MIN) {
            value = INT16_MIN;
        }
        out[i] = (int16_t)value;
    }
}

void mw_bias_meter_add(mw_bias_meter *meter, const int16_t *counts) {
    if (meter->samples == MW_CALIBRATION_SAMPLES) {
        return;
    }
    for (uint32_t i = 0; i < MW_IMU_CHANNELS; i++) {
        if (meter->samples == 0u || counts[i] < meter->low[i]) {
            meter->low[i] = counts[i];
        }
        if (meter->samples == 0u || counts[i] > meter->high[i]) {
            meter->high[i] = counts[i];
        }
    }
    for (uint32_t axis = 0; axis < 3u; axis++) {
        meter->gyro_sum[axis] += counts[3u + axis];
    }
    meter->samples++;
}

/* The largest range of three channels from `first` on. */
static uint16_t largest_range(const mw_bias_meter *meter, uint32_t first) {
    uint16_t largest = 0;
    for (uint32_t i = first; i < first + 3u; i++) {
        uint16_t range = (uint16_t)(meter->high[i] - meter->low[i]);
        if (range > largest) {
            largest = range;
        }
    }
    return largest;
}

/* Whether `counts`, up to 65535, times `lsb` are at most `limit` * 2^-20. In integers, since most cores
 * have no floating point: lsb is mantissa * 2^-shift. */
static bool is_within(uint32_t counts, float lsb, uint32_t limit) {
    uint32_t bits;
    memcpy(&bits, &lsb, sizeof bits);
    uint64_t mantissa = (bits & 0x7FFFFFu) | 0x800000u;
    int32_t shift = 150 - (int32_t)((bits >> 23) & 0x1FFu);
    /* From 2^-20 to 2^22, positive: what a count is worth. Nothing below overflows 64 bits. */
    if (shift < 1 || shift > 43) {
        return false;
    }
    return (counts * mantissa) << 20 <= (uint64_t)limit << shift;
}

mw_bias_result mw_bias_meter_result(const mw_bias_meter *meter, float acc_lsb_m_s2,
                                    float gyro_lsb_rad_s) {
    mw_bias_result result = {
        .samples = meter->samples,
        .gyro_range = largest_range(meter, 3u),
        .acc_range = largest_range(meter, 0u),
    };
    if (meter->samples == 0u) {
        return result;
    }
    result.at_rest = is_within(result.gyro_range, gyro_lsb_rad_s, GYRO_RANGE_LIMIT) &&
                     is_within(result.acc_range, acc_lsb_m_s2, ACC_RANGE_LIMIT);
    int32_t samples = (int32_t)meter->samples;
    for (uint32_t axis = 0; axis < 3u; axis++) {
        int32_t sum = meter->gyro_sum[axis];
        /* To the nearest count: division rounds towards zero. */
        int32_t bias = (sum + (sum < 0 ? -samples : samples) / 2) / samples;
        result.bias[axis] = (int16_t)bias;
        uint32_t size = (uint32_t)(bias < 0 ? -bias : bias);
        result.at_rest = result.at_rest && is_within(size, gyro_lsb_rad_s, GYRO_BIAS_LIMIT);
    }
    return result;
}
