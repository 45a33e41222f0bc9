/* Consecutive samples with their predictions, gathered into one data frame. */
#include "batch.h"

void mw_batch_begin(mw_batch *batch, uint32_t tick, uint64_t time_us, uint32_t gap_ticks) {
    batch->head = (mw_wire_data){
        .first_tick = tick,
        .time_us = time_us,
        .gap_ticks = gap_ticks,
        .flags = (uint8_t)(gap_ticks > 0u ? MW_WIRE_DATA_FLAG_GAP : 0u),
        .outputs = MW_MODEL_OUTPUTS,
    };
}

bool mw_batch_add(mw_batch *batch, const int16_t *counts, const int8_t *predictions,
                  bool warm_up) {
    uint32_t at = batch->head.count;
    if (at == MW_WIRE_BATCH_SAMPLES) {
        return false;
    }
    memcpy(batch->predictions[at], predictions, MW_MODEL_OUTPUTS);
    memcpy(batch->counts[at], counts, sizeof batch->counts[at]);
    batch->head.count++;
    if (warm_up) {
        /* A reset begins a batch, so warm-up samples are always its first ones. */
        batch->head.warm_up++;
    }
    return true;
}

uint8_t *mw_batch_write(const mw_batch *batch, uint8_t *at, bool raw) {
    mw_wire_data head = batch->head;
    if (raw) {
        head.flags = (uint8_t)(head.flags | MW_WIRE_DATA_FLAG_RAW);
    }
    at = mw_wire_put_data(at, &head);
    memcpy(at, batch->predictions, (size_t)head.count * MW_MODEL_OUTPUTS);
    at += (size_t)head.count * MW_MODEL_OUTPUTS;
    if (raw) {
        for (uint32_t i = 0; i < head.count; i++) {
            for (uint32_t channel = 0; channel < MW_IMU_CHANNELS; channel++) {
                at = mw_wire_put_u(at, (uint16_t)batch->counts[i][channel], 2u);
            }
        }
    }
    return at;
}
