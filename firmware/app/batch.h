/* Consecutive samples with their predictions, gathered into one data frame. */
#ifndef MW_BATCH_H
#define MW_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "model_data.h"
#include "sample_queue.h"
#include "wire_format.h"

_Static_assert(MW_WIRE_DATA_HEAD_SIZE + MW_WIRE_BATCH_SAMPLES *
                           (MW_MODEL_OUTPUTS + 2u * MW_IMU_CHANNELS) <=
                   MW_WIRE_MAX_PAYLOAD,
               "a full data frame with raw counts fits a payload");

typedef struct {
    mw_wire_data head;
    int8_t predictions[MW_WIRE_BATCH_SAMPLES][MW_MODEL_OUTPUTS];
    int16_t counts[MW_WIRE_BATCH_SAMPLES][MW_IMU_CHANNELS];
} mw_batch;

/* Makes the batch empty, to begin with the sample of `tick`, after `gap_ticks` lost ones. */
void mw_batch_begin(mw_batch *batch, uint32_t tick, uint64_t time_us, uint32_t gap_ticks);

/* Adds a sample that follows the last one. Returns false, and adds nothing, when it is full. */
bool mw_batch_add(mw_batch *batch, const int16_t *counts, const int8_t *predictions, bool warm_up);

/* Writes the payload of the data frame and returns its end; MW_WIRE_MAX_PAYLOAD bytes suffice. */
uint8_t *mw_batch_write(const mw_batch *batch, uint8_t *at, bool raw);

#endif
