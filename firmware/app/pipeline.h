/* From a raw IMU sample to predictions: scaling, then the network. Keeps track of warm-up. */
#ifndef MW_PIPELINE_H
#define MW_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "inference.h"
#include "model_data.h"

#ifndef MW_MODEL_HAS_INFO
#error "the firmware needs a model compiled with its card (model.json): 'myowave train' writes one"
#endif

typedef struct {
    mw_inference inference;
    uint32_t samples; /* since the last reset, up to the receptive field */
} mw_pipeline;

/* Prepares the network; returns the network's reason when the model is not usable. */
mw_status mw_pipeline_init(mw_pipeline *pipeline);

/* Forgets all past samples: the next MW_MODEL_RECEPTIVE_FIELD - 1 are warm-up. */
void mw_pipeline_reset(mw_pipeline *pipeline);

/* Takes the newest sample, `counts[6]`, and writes its predictions to `out[MW_MODEL_OUTPUTS]`.
 * Returns whether they are warm-up, which means that they depend on samples before the reset. */
bool mw_pipeline_step(mw_pipeline *pipeline, const int16_t *counts, int8_t *out);

#endif
