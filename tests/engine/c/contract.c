/* What mw_engine.h promises about mw_engine_init(): each wrong argument has its reason, each table
 * that contradicts itself is refused, and nothing outside the state is written. */
#include <stdio.h>
#include <string.h>

#include "model_data.h"

static int failures;

#define EXPECT(expected, call)                                                          \
    do {                                                                                \
        const mw_status found = (call);                                                 \
        if (found != (expected)) {                                                      \
            printf("line %d: %s gave %d, expected %d\n", __LINE__, #call, (int)found,  \
                   (int)(expected));                                                    \
            failures++;                                                                 \
        }                                                                               \
    } while (0)

static uint32_t state[MW_MODEL_STATE_BYTES / sizeof(uint32_t) + 1U];
static mw_engine engine;

static mw_status init(const mw_model *model) {
    return mw_engine_init(&engine, model, state, MW_MODEL_STATE_BYTES);
}

/* The first step of a kind; the model given to this program has each. */
static uint32_t find(uint32_t kind) {
    for (uint32_t i = 0; i < mw_model_data.n_steps; ++i) {
        if (mw_model_data.steps[i].kind == kind) {
            return i;
        }
    }
    printf("the model has no step of kind %u\n", (unsigned)kind);
    failures++;
    return 0;
}

static void refuse_step(uint32_t at, mw_step broken) {
    static mw_step steps[4096];
    memcpy(steps, mw_model_data.steps, mw_model_data.n_steps * sizeof(mw_step));
    steps[at] = broken;
    mw_model model = mw_model_data;
    model.steps = steps;
    EXPECT(MW_ERROR_MODEL, init(&model));
}

static void arguments(void) {
    EXPECT(MW_OK, init(&mw_model_data));
    EXPECT(MW_ERROR_NULL, mw_engine_init(NULL, &mw_model_data, state, sizeof state));
    EXPECT(MW_ERROR_NULL, mw_engine_init(&engine, NULL, state, sizeof state));
    EXPECT(MW_ERROR_NULL, mw_engine_init(&engine, &mw_model_data, NULL, sizeof state));
    EXPECT(MW_ERROR_SIZE,
           mw_engine_init(&engine, &mw_model_data, state, MW_MODEL_STATE_BYTES - 1U));
    EXPECT(MW_ERROR_ALIGNMENT,
           mw_engine_init(&engine, &mw_model_data, (char *)state + 1, MW_MODEL_STATE_BYTES));
    if (engine.model != NULL) {
        printf("a refused engine keeps its model\n");
        failures++;
    }
}

static void model_fields(void) {
    mw_model model = mw_model_data;
    model.format = MW_MODEL_FORMAT + 1U;
    EXPECT(MW_ERROR_FORMAT, init(&model));
    model = mw_model_data;
    model.state_bytes -= 4U;
    EXPECT(MW_ERROR_MODEL, init(&model));
    model = mw_model_data;
    model.scratch_values -= 1U;
    EXPECT(MW_ERROR_MODEL, init(&model));
    model = mw_model_data;
    model.output = (uint16_t)(model.scratch_values - model.n_outputs + 1U);
    EXPECT(MW_ERROR_MODEL, init(&model));
    model = mw_model_data;
    model.steps = NULL;
    EXPECT(MW_ERROR_MODEL, init(&model));
    model = mw_model_data;
    model.convs = NULL;
    EXPECT(MW_ERROR_MODEL, init(&model));
}

static void steps(void) {
    for (uint32_t kind = MW_STEP_TAPS; kind <= MW_STEP_COPY; ++kind) {
        const uint32_t at = find(kind);
        const mw_step step = mw_model_data.steps[at];
        mw_step broken = step;
        broken.dst = 0xFFFFU;
        refuse_step(at, broken);
        broken = step;
        broken.a = 0xFFFFU;
        refuse_step(at, broken);
        broken = step;
        broken.count = 0xFFFFU;
        refuse_step(at, broken);
        broken = step;
        broken.kind = MW_STEP_COPY + 1U;
        refuse_step(at, broken);
        if (kind != MW_STEP_COPY) {
            broken = step;
            broken.index = 0xFFFFU;
            refuse_step(at, broken);
        }
    }
}

static void tables(void) {
    mw_taps taps[64];
    memcpy(taps, mw_model_data.taps, mw_model_data.n_taps * sizeof taps[0]);
    mw_model model = mw_model_data;
    model.taps = taps;
    const uint32_t at = mw_model_data.steps[find(MW_STEP_TAPS)].index;
    taps[at].dilation = 0xFFFFU;
    EXPECT(MW_ERROR_MODEL, init(&model));
    taps[at] = mw_model_data.taps[at];
    taps[at].line_offset = 0xFFFFFFFFU;
    EXPECT(MW_ERROR_MODEL, init(&model));
    taps[at] = mw_model_data.taps[at];
    taps[at].taps = 1U;
    EXPECT(MW_ERROR_MODEL, init(&model));
}

static void refuse_conv(mw_conv broken) {
    mw_conv convs[64];
    const uint32_t at = mw_model_data.steps[find(MW_STEP_CONV)].index;
    memcpy(convs, mw_model_data.convs, mw_model_data.n_convs * sizeof convs[0]);
    convs[at] = broken;
    mw_model model = mw_model_data;
    model.convs = convs;
    EXPECT(MW_ERROR_MODEL, init(&model));
}

static void convolutions(void) {
    const mw_conv conv = mw_model_data.convs[mw_model_data.steps[find(MW_STEP_CONV)].index];
    mw_conv broken = conv;
    broken.weights = conv.weights + 1; /* word loads need their alignment */
    refuse_conv(broken);
    broken = conv;
    broken.rows = NULL;
    refuse_conv(broken);
    broken = conv;
    broken.columns = 0U;
    refuse_conv(broken);
    broken.columns = (uint16_t)(conv.columns + MW_BLOCK); /* half a block of columns */
    refuse_conv(broken);
    broken.columns = 0xFFF8U; /* past the scratch area */
    refuse_conv(broken);
    mw_rows rows[16];
    broken = conv;
    broken.rows = rows;
    memcpy(rows, conv.rows, sizeof rows[0]);
    rows[0].table = NULL;
    refuse_conv(broken);
    memcpy(rows, conv.rows, sizeof rows[0]);
    rows[0].shifts[0] = 32;
    refuse_conv(broken);
}

int main(void) {
    const uint32_t guard = 0xA5A5A5A5U;
    state[MW_MODEL_STATE_BYTES / sizeof(uint32_t)] = guard;
    arguments();
    model_fields();
    steps();
    tables();
    convolutions();
    if (init(&mw_model_data) != MW_OK || state[MW_MODEL_STATE_BYTES / sizeof(uint32_t)] != guard) {
        printf("written past the state\n");
        failures++;
    }
    return failures != 0;
}
