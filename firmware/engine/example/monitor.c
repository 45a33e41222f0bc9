/* The motor monitor on the streaming engine. */
#include "monitor.h"

#include "model_data.h"

/* network.py trains on counts / 2048, whose int8 steps are 16 counts: (count * 1 + 8) >> 4. */
static const int16_t multiplier = 1;
static const mw_input_scaling scaling = {
    .multipliers = &multiplier, .channels = MW_MODEL_INPUTS, .shift = 4, .zero_point = 0};

/* Room for whole FIFOs. With single samples only, MW_MODEL_STATE_BYTES and mw_engine_init() do. */
static uint32_t state[MW_MODEL_BLOCK_STATE_BYTES(MONITOR_FIFO) / sizeof(uint32_t)];
static mw_engine engine;
static uint32_t warm_up; /* samples whose outputs are not valid yet */

/* A sigmoid's output is (q + 128) / 256. */
static uint8_t to_level(int8_t q) { return (uint8_t)(q + 128); }

mw_status monitor_begin(void) {
    warm_up = MW_MODEL_RECEPTIVE_FIELD - 1U;
    return mw_engine_init_block(&engine, &mw_model_data, state, sizeof state, MONITOR_FIFO);
}

int monitor_sample(int16_t count, monitor_levels *levels) {
    int8_t in[MW_MODEL_INPUTS];
    int8_t out[MW_MODEL_OUTPUTS];
    mw_scale_input(&scaling, &count, in);
    mw_engine_step(&engine, in, out);
    levels->hum = to_level(out[0]);
    levels->knock = to_level(out[1]);
    if (warm_up > 0U) {
        --warm_up;
        return 0;
    }
    return 1;
}

size_t monitor_fifo(const int16_t *counts, size_t samples, monitor_levels *levels) {
    int8_t in[MONITOR_FIFO][MW_MODEL_INPUTS];
    int8_t out[MONITOR_FIFO][MW_MODEL_OUTPUTS];
    if (samples > MONITOR_FIFO) {
        samples = MONITOR_FIFO;
    }
    ...
}
