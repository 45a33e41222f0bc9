/* From a raw IMU sample to predictions: scaling, then the network. */
#include "pipeline.h"

_Static_assert(MW_MODEL_INPUTS == 6, "the pipeline feeds the six channels of one IMU");

mw_status mw_pipeline_init(mw_pipeline *pipeline) {
    pipeline->samples = 0;
    return mw_inference_init(&pipeline->inference);
}

void mw_pipeline_reset(mw_pipeline *pipeline) {
    pipeline->samples = 0;
    mw_inference_reset(&pipeline->inference);
}

bool mw_pipeline_step(mw_pipeline *pipeline, const int16_t *counts, int8_t *out) {
    int8_t in[MW_MODEL_INPUTS];
    mw_scale_input(&mw_model_info.input, counts, in);
    mw_inference_step(&pipeline->inference, in, out);
    if (pipeline->samples < MW_MODEL_RECEPTIVE_FIELD) {
        pipeline->samples++;
    }
    return pipeline->samples < MW_MODEL_RECEPTIVE_FIELD;
}
