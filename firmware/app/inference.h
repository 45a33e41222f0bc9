/* The network behind the pipeline: a sample in, predictions out. One of two backends, chosen at
 * compile time; both give tflite-micro's integers on the same .tflite.
 *
 * The streaming engine is the default: one step a sample, constant time.
 *
 * With MW_INFERENCE_TFLM tflite-micro's interpreter runs the whole window (ports and drivers know
 * nothing of it; the environments named *_tflm set it). That takes a few thousand times the work of
 * a step, so it runs only for every MW_TFLM_HOP-th sample; predictions in between repeat the last
 * one. Meanwhile samples wait in the queue: MW_SAMPLE_QUEUE_SIZE must hold what one run takes. */
#ifndef MW_INFERENCE_H
#define MW_INFERENCE_H

#include <stdint.h>

#include "model_data.h"
#include "mw_engine.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef MW_INFERENCE_TFLM

#ifndef MW_TFLM_HOP
#define MW_TFLM_HOP 1000u
#endif

typedef struct {
    int8_t window[MW_MODEL_RECEPTIVE_FIELD][MW_MODEL_INPUTS]; /* the newest samples, a ring */
    uint32_t next;                                            /* row the next sample goes to */
    uint32_t until_run;                                       /* samples up to the next run */
    int8_t held[MW_MODEL_OUTPUTS];                            /* predictions of the last run */
} mw_inference;

#else

typedef struct {
    mw_engine engine;
    uint32_t state[(MW_MODEL_STATE_BYTES + 3u) / 4u];
} mw_inference;

#endif

/* Prepares the network. Returns MW_OK, or the backend's reason when the model is not usable. */
mw_status mw_inference_init(mw_inference *inference);

/* Forgets all past samples. */
void mw_inference_reset(mw_inference *inference);

/* Takes the newest sample, `in[MW_MODEL_INPUTS]`, and writes `out[MW_MODEL_OUTPUTS]`. */
void mw_inference_step(mw_inference *inference, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
