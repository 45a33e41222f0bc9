/* The streaming engine as the network behind the pipeline. */
#include "inference.h"

#ifndef MW_INFERENCE_TFLM

mw_status mw_inference_init(mw_inference *inference) {
    return mw_engine_init(&inference->engine, &mw_model_data, inference->state,
                          sizeof inference->state);
}

void mw_inference_reset(mw_inference *inference) { mw_engine_reset(&inference->engine); }

void mw_inference_step(mw_inference *inference, const int8_t *in, int8_t *out) {
    mw_engine_step(&inference->engine, in, out);
}

#endif
