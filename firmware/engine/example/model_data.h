/* Written by `myowave compile`; do not edit. Network 41f77a8c77dc7dfb. */
#ifndef MW_MODEL_DATA_H
#define MW_MODEL_DATA_H

#include "mw_engine.h"

#define MW_MODEL_SHA256 "41f77a8c77dc7dfba397949a314a148d71a2241505d6565f28d417a65cf554e3"
#define MW_MODEL_INPUTS 1
#define MW_MODEL_OUTPUTS 2
#define MW_MODEL_RECEPTIVE_FIELD 127
#define MW_MODEL_BLOCK_STATE_BYTES(block) \
  MW_STATE_BYTES(6U, 48U, 994U, block)
#define MW_MODEL_STATE_BYTES MW_MODEL_BLOCK_STATE_BYTES(1U)
#define MW_MODEL_MACS 1000

/* real = (q - zero point) * scale, for the caller; nothing in the engine computes with it. */
#define MW_MODEL_INPUT_SCALE 7.812500000e-03F
#define MW_MODEL_INPUT_ZERO_POINT (0)
#define MW_MODEL_OUTPUT_SCALES {3.906250000e-03F, 3.906250000e-03F}
#define MW_MODEL_OUTPUT_ZERO_POINTS {-128, -128}

#ifdef __cplusplus
extern "C" {
#endif

extern const mw_model mw_model_data;

#ifdef __cplusplus
}
#endif

#endif /* MW_MODEL_DATA_H */
