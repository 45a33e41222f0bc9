/* Calibration: what is put right in raw counts before the network, and how a bias is measured.
 *
 * All in integers, alike in Python (host/myowave/calibration.py): a log of raw counts and the
 * identity frame give the network's input again to the bit. */
#ifndef MW_CALIBRATION_H
#define MW_CALIBRATION_H

#include <stdbool.h>
#include <stdint.h>

#include "sample_queue.h"

#define MW_CALIBRATION_SAMPLES 1000u

typedef struct {
    bool set;             /* by the host, since boot */
    uint8_t turn;         /* MW_WIRE_TURN_* */
    int16_t gyro_bias[3]; /* raw counts */
} mw_calibration;

/* out = turned(counts - bias), saturated to int16; `out` may be `counts`. */
void mw_calibration_apply(const mw_calibration *calibration, const int16_t *counts, int16_t *out);

/* A measurement of the gyroscope's bias under way. */
typedef struct {
    uint32_t samples;
    int32_t gyro_sum[3]; /* of at most MW_CALIBRATION_SAMPLES int16 values: fits */
    int16_t low[MW_IMU_CHANNELS];
    int16_t high[MW_IMU_CHANNELS];
} mw_bias_meter;

typedef struct {
    bool at_rest;
    uint32_t samples;
    int16_t bias[3];
    uint16_t gyro_range; /* largest difference between two samples of one axis */
    uint16_t acc_range;
} mw_bias_result;

/* Takes one more sample; those after MW_CALIBRATION_SAMPLES are not looked at. */
void mw_bias_meter_add(mw_bias_meter *meter, const int16_t *counts);

/* The mean and whether the sensor was at rest: no gyroscope axis changed by over 5 deg/s, no
 * accelerometer axis by over 0.08 g, which a slow turn at a constant rate would do, and no bias is
 * over 25 deg/s, more than any part's datasheet allows. The arguments say what a count is worth. */
mw_bias_result mw_bias_meter_result(const mw_bias_meter *meter, float acc_lsb_m_s2,
                                    float gyro_lsb_rad_s);

#endif
