/* Streams int8 samples from stdin to stdout through the engine, for runs under sanitizers.
 *
 * program            one sample a call of mw_engine_step()
 * program CALL BLOCK CALL samples a call of mw_engine_step_block(), on an engine for blocks of BLOCK */
#include <stdio.h>
#include <stdlib.h>

#include "model_data.h"

int main(int argc, char **argv) {
    const size_t call = argc == 3 ? strtoul(argv[1], NULL, 10) : 1U;
    const uint32_t block = argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1U;
    /* Exactly as large as promised: a write past the end is one past the allocation. */
    const size_t state_bytes = MW_MODEL_BLOCK_STATE_BYTES(block);
    uint32_t *state = malloc(state_bytes);
    int8_t *in = malloc(call * MW_MODEL_INPUTS);
    int8_t *out = malloc(call * MW_MODEL_OUTPUTS);
    mw_engine engine;
    if (state == NULL || in == NULL || out == NULL ||
        mw_engine_init_block(&engine, &mw_model_data, state, state_bytes, block) != MW_OK) {
        return 1;
    }
    size_t samples;
    while ((samples = fread(in, MW_MODEL_INPUTS, call, stdin)) != 0U) {
        if (argc == 3) {
            mw_engine_step_block(&engine, in, out, samples);
        } else {
            mw_engine_step(&engine, in, out);
        }
        if (fwrite(out, MW_MODEL_OUTPUTS, samples, stdout) != samples) {
            return 1;
        }
    }
    free(out);
    free(in);
    free(state);
    return 0;
}
