/* What moves the simulated IMU: raw counts, one row after another at a constant rate. */
#ifndef MW_SIMULATED_TRUTH_H
#define MW_SIMULATED_TRUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRUTH_AXES 6u

typedef struct {
    const int16_t *counts; /* rows of acc x y z, gyro x y z at ±8 g and ±1000 dps */
    uint64_t rows;
    uint64_t row_ns; /* how long a row lasts */
    bool loop;         /* begin again at the end; otherwise the last row stays */
    uint64_t begin_ns; /* of row 0; before it the IMU sees row 0 as well */
} truth;

/* Reads a file of little-endian int16; exits with a message when it is not whole rows. */
void truth_load(truth *movement, const char *path);

/* What axis `axis` sees at `time_ns`. */
int16_t truth_at(const truth *movement, uint64_t time_ns, uint32_t axis);

#endif
