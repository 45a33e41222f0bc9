/* Streams int8 samples from stdin to stdout through the engine, for runs under sanitizers. */
#include <stdio.h>
#include <stdlib.h>

#include "model_data.h"

int main(void) {
    /* Exactly as large as promised: a write past the end is one past the allocation. */
    uint32_t *state = malloc(MW_MODEL_STATE_BYTES);
    mw_engine engine;
    if (mw_engine_init(&engine, &mw_model_data, state, MW_MODEL_STATE_BYTES) != MW_OK) {
        return 1;
    }
    int8_t in[MW_MODEL_INPUTS];
    int8_t out[MW_MODEL_OUTPUTS];
    while (fread(in, sizeof in, 1, stdin) == 1) {
        mw_engine_step(&engine, in, out);
        if (fwrite(out, sizeof out, 1, stdout) != 1) {
            return 1;
        }
    }
    free(state);
    return 0;
}
