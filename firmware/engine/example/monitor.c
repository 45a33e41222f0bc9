/* The motor monitor: raw counts to int8, the engine, int8 to levels. */
#include "monitor.h"

#include "model_data.h"

/* network.py trains on counts / 2048; an int8 step of that is 16 counts: (count * 1 + 8) >> 4. */
static const int16_t multiplier = 1;
static const mw_input_scaling scaling = {
    .multipliers = &multiplier, .channels = MW_MODEL_INPUTS, .shift = 4, .zero_point = 0};

/* For single samples only, MW_MODEL_STATE_BYTES and mw_engine_init() would do. */
static uint32_t state[MW_MODEL_BLOCK_STATE_BYTES(MONITOR_FIFO) / MW_STATE_ALIGNMENT];
static mw_engine engine;
static uint32_t warm_up; /* samples whose levels are not valid yet */

static monitor_levels to_levels(const int8_t out[MW_MODEL_OUTPUTS]) {
    /* The network ends in a sigmoid, whose int8 output q stands for (q + 128) / 256. */
    const monitor_levels levels = {
        .hum = (uint8_t)(out[0] + 128), .knock = (uint8_t)(out[1] + 128), .valid = warm_up == 0U};
    warm_up -= warm_up != 0U;
    return levels;
}

mw_status monitor_begin(void) {
    warm_up = MW_MODEL_RECEPTIVE_FIELD - 1U;
    return mw_engine_init_block(&engine, &mw_model_data, state, sizeof state, MONITOR_FIFO);
}

monitor_levels monitor_sample(int16_t count) {
    int8_t in[MW_MODEL_INPUTS];
    int8_t out[MW_MODEL_OUTPUTS];
    mw_scale_input(&scaling, &count, in);
    mw_engine_step(&engine, in, out);
    return to_levels(out);
}

void monitor_fifo(const int16_t counts[MONITOR_FIFO], monitor_levels levels[MONITOR_FIFO]) {
    int8_t in[MONITOR_FIFO][MW_MODEL_INPUTS];
    int8_t out[MONITOR_FIFO][MW_MODEL_OUTPUTS];
    for (uint32_t i = 0; i < MONITOR_FIFO; ++i) {
        mw_scale_input(&scaling, &counts[i], in[i]);
    }
    mw_engine_step_block(&engine, in[0], out[0], MONITOR_FIFO);
    for (uint32_t i = 0; i < MONITOR_FIFO; ++i) {
        levels[i] = to_levels(out[i]);
    }
}
