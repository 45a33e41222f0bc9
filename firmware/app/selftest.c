/* Self-test at boot. */
#include "selftest.h"

#include "wire.h"

#ifndef MW_MODEL_TABLES_CRC
#error "model_data.h is of an older compiler: run 'myowave compile' on its .tflite again"
#endif

/* The padding of rows and columns is part of the tables: kernels multiply with it. */
bool mw_self_test_model(void) {
    const mw_model *model = &mw_model_data;
    uint32_t crc = 0;
    for (uint32_t i = 0; i < model->n_steps; i++) {
        const mw_step *step = &model->steps[i];
        if (step->kind != MW_STEP_CONV) {
            continue;
        }
        const mw_conv *conv = &model->convs[step->index];
        size_t blocks = (step->count + MW_BLOCK - 1u) / MW_BLOCK;
        crc = mw_wire_crc32_more(crc, (const uint8_t *)conv->weights,
                                 blocks * MW_BLOCK * conv->columns * sizeof *conv->weights);
        for (size_t block = 0; block < blocks; block++) {
            /* All but the pointer to its lookup table, which the linker chose. */
            crc = mw_wire_crc32_more(crc, (const uint8_t *)&conv->rows[block],
                                     offsetof(mw_rows, table));
        }
    }
    crc = mw_wire_crc32_more(crc, (const uint8_t *)model->tables,
                             model->n_tables * sizeof model->tables[0]);
    return crc == MW_MODEL_TABLES_CRC;
}

/* Marsaglia, Xorshift RNGs, J. Stat. Software 8(14), 2003; as in compiler/selftest.py. */
static int8_t next_input(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return (int8_t)(*state >> 24);
}

bool mw_self_test_engine(mw_pipeline *pipeline) {
    mw_pipeline_reset(pipeline);
    uint32_t state = MW_MODEL_SELF_TEST_SEED;
    uint32_t crc = 0;
    for (uint32_t i = 0; i < MW_MODEL_SELF_TEST_SAMPLES; i++) {
        int8_t in[MW_MODEL_INPUTS];
        for (uint32_t channel = 0; channel < MW_MODEL_INPUTS; channel++) {
            in[channel] = next_input(&state);
        }
        int8_t out[MW_MODEL_OUTPUTS];
        mw_inference_step(&pipeline->inference, in, out);
        crc = mw_wire_crc32_more(crc, (const uint8_t *)out, sizeof out);
    }
    mw_pipeline_reset(pipeline);
    return crc == MW_MODEL_SELF_TEST_CRC;
}
