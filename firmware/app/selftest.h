/* Self-test at boot: are the model's tables those the compiler wrote, and does this chip compute
 * what the laptop computed? The expected values are in model_data.h. */
#ifndef MW_SELFTEST_H
#define MW_SELFTEST_H

#include <stdbool.h>

#include "pipeline.h"

/* Whether the CRC-32 of weights, biases, scales and lookup tables is the compiler's. Reads each byte
 * once: about 20 cycles a byte. The tables' dimensions must have been checked before, which
 * mw_pipeline_init does. */
bool mw_self_test_model(void);

/* Whether MW_MODEL_SELF_TEST_SAMPLES pseudo-random inputs give outputs with the CRC-32 that was
 * computed when the model was compiled. Leaves the pipeline reset. */
bool mw_self_test_engine(mw_pipeline *pipeline);

#endif
