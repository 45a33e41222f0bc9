/* Written by `myowave compile`; do not edit. Network 574cc05e3df9c139. */
#ifndef MW_MODEL_DATA_H
#define MW_MODEL_DATA_H

#include "mw_engine.h"

#define MW_MODEL_SHA256 "574cc05e3df9c13997e1bf4f5826fcc406cb3b44e6a9d6afc1b5295c86e1cfde"
#define MW_MODEL_INPUTS 6
#define MW_MODEL_OUTPUTS 1
#define MW_MODEL_RECEPTIVE_FIELD 1024
#define MW_MODEL_BLOCK_STATE_BYTES(block) \
  MW_STATE_BYTES(7U, 196U, 16218U, block)
#define MW_MODEL_STATE_BYTES MW_MODEL_BLOCK_STATE_BYTES(1U)
#define MW_MODEL_MACS 10768

/* real = (q - zero point) * scale, for the caller; nothing in the engine computes with it. */
#define MW_MODEL_INPUT_SCALE 7.843137719e-03F
#define MW_MODEL_INPUT_ZERO_POINT (-1)
#define MW_MODEL_OUTPUT_SCALES {4.025220871e-03F}
#define MW_MODEL_OUTPUT_ZERO_POINTS {-128}

#ifdef __cplusplus
extern "C" {
#endif

extern const mw_model mw_model_data;

/* The model card's part a device tells its host. */
#define MW_MODEL_HAS_INFO 1
extern const mw_info mw_model_info;

/* For the self-test: CRC-32 of the convolutions' weights and rows and of the lookup tables, and of
 * the outputs for so many pseudo-random inputs. */
#ifdef MW_BYTE_WEIGHTS
#define MW_MODEL_TABLES_CRC 0xbd245df6U
#else
#define MW_MODEL_TABLES_CRC 0xce59b1a0U
#endif
#define MW_MODEL_SELF_TEST_SEED 0x2545f491U
#define MW_MODEL_SELF_TEST_SAMPLES 278U
#define MW_MODEL_SELF_TEST_CRC 0x6a7d1949U

#ifdef __cplusplus
}
#endif

#endif /* MW_MODEL_DATA_H */
