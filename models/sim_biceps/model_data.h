/* Written by `myowave compile`; do not edit. Network d1cd378281ac7aed. */
#ifndef MW_MODEL_DATA_H
#define MW_MODEL_DATA_H

#include "mw_engine.h"

#define MW_MODEL_SHA256 "d1cd378281ac7aed3734515154d3fb1611a9b2ee4c4df37ce84030d3a4ecc9b3"
#define MW_MODEL_INPUTS 6
#define MW_MODEL_OUTPUTS 1
#define MW_MODEL_RECEPTIVE_FIELD 1024
#define MW_MODEL_STATE_BYTES 16640
#define MW_MODEL_MACS 10768

#ifdef __cplusplus
extern "C" {
#endif

extern const mw_model mw_model_data;

/* The model card's part a device tells its host. */
#define MW_MODEL_HAS_INFO 1
extern const mw_info mw_model_info;

#ifdef __cplusplus
}
#endif

#endif /* MW_MODEL_DATA_H */
