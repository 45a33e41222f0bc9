/* Motor monitor: from one accelerometer channel, how strongly a motor hums and whether it knocks.
 *
 * The example of a program around the engine: what would go into a firmware. One monitor, static
 * memory, not to be called from two contexts at once. */
#ifndef MONITOR_H
#define MONITOR_H

#include <stddef.h>
#include <stdint.h>

#include "mw_engine.h"

/* Samples the sensor's FIFO gives at once, at most. */
#define MONITOR_FIFO 32U

/* From 0 for none to 255 for full scale. */
typedef struct {
    uint8_t hum;
    uint8_t knock;
} monitor_levels;

/* Begin, or begin anew. Anything but MW_OK means that the tables were compiled for another engine
 * or are damaged: nothing else may be called then. */
mw_status monitor_begin(void);

/* Take one raw sample of 1600 a second; give the levels at it. Returns 1 when they are valid, 0
 * during warm-up, the first MW_MODEL_RECEPTIVE_FIELD - 1 samples. */
int monitor_sample(int16_t count, monitor_levels *levels);

/* The same for `samples` raw samples at once, at most MONITOR_FIFO; give the levels at each. The
 * levels are those of as many calls of monitor_sample(). Returns how many of the newest are valid. */
size_t monitor_fifo(const int16_t *counts, size_t samples, monitor_levels *levels);

#endif /* MONITOR_H */
