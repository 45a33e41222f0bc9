/* Motor monitor: from one accelerometer channel, how strongly a motor hums and whether it knocks.
 *
 * The example of a program around the engine: this and monitor.c would go into a firmware. There is
 * one monitor, in static memory; it must not be called from two contexts at once. */
#ifndef MONITOR_H
#define MONITOR_H

#include <stdint.h>

#include "mw_engine.h"

/* Samples the sensor's FIFO hands over at once. */
#define MONITOR_FIFO 32U

typedef struct {
    uint8_t hum, knock; /* 0 for none to 255 for full scale */
    uint8_t valid;      /* 0 during warm-up, the first MW_MODEL_RECEPTIVE_FIELD - 1 samples */
} monitor_levels;

/* Begin, or begin anew. After anything but MW_OK (tables of another engine's format, or damaged)
 * nothing else may be called. */
mw_status monitor_begin(void);

/* Take one raw sample, of 1600 a second; return the levels at it. */
monitor_levels monitor_sample(int16_t count);

/* Take a whole FIFO, oldest first; give the levels at each sample: those monitor_sample() would. */
void monitor_fifo(const int16_t counts[MONITOR_FIFO], monitor_levels levels[MONITOR_FIFO]);

#endif /* MONITOR_H */
