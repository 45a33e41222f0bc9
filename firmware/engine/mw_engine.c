/* The streaming engine's portable form: the specification every faster form is tested against.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Arithmetic is that of tflite-micro's int8 reference kernels (double rounding); the Python twin
 * of the helpers is host/myowave/compiler/arithmetic.py. */
#include "mw_engine.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

/* Right shifts of negative numbers must be arithmetic: the rounding below relies on it. */
/* cppcheck-suppress shiftNegativeLHS ; that it is defined by the compiler is what is asserted */
static_assert((-1 >> 1) == -1, "this compiler does not shift signed numbers arithmetically");
static_assert(CHAR_BIT == 8, "bytes have eight bits");
static_assert(sizeof(mw_step) == 12U, "steps are packed without holes");

#ifdef __GNUC__
#define NO_INLINE __attribute__((noinline))
#else
#define NO_INLINE
#endif

enum { ADD_LEFT_SHIFT = 20 };

/* Round(a * b / 2^31). A mantissa is never INT32_MIN, so nothing saturates. */
static inline int32_t high_multiply(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

/* x / 2^exponent, rounded half away from zero; exponent 1 .. 31, x not INT32_MIN or INT32_MAX.
 * Half away from zero is half up, except that a negative tie goes down: one less than a negative x
 * has the same quotient otherwise. */
static inline int32_t rounding_shift(int32_t x, uint32_t exponent) {
    return (((x - (x < 0 ? 1 : 0)) >> (exponent - 1U)) + 1) >> 1;
}

/* x * mantissa * 2^(shift - 31), rounded by the product and again by the shift. A left shift wraps
 * modulo 2^32 as it does in the reference. */
static inline int32_t scale(int32_t x, int32_t mantissa, int32_t shift) {
    if (shift >= 0) {
        return high_multiply((int32_t)((uint32_t)x << (uint32_t)shift), mantissa);
    }
    /* |high_multiply| < 2^31 - 1, for a mantissa below 2^31. */
    return rounding_shift(high_multiply(x, mantissa), (uint32_t)-shift);
}

static inline int8_t clamp(int32_t x, int32_t low, int32_t high) {
    const int32_t at_least = x < low ? low : x;
    return (int8_t)(at_least > high ? high : at_least);
}

/* x + zero_point clamped; the sum wraps, as it does in the reference, where x is near the limits. */
static inline int8_t to_output(int32_t x, int32_t zero_point, int32_t low, int32_t high) {
    return clamp((int32_t)((uint32_t)x + (uint32_t)zero_point), low, high);
}

static inline int8_t look_up(const int8_t *table, int8_t q) { return table[(int32_t)q + 128]; }

static void step_taps(const mw_taps *taps, uint32_t *position, int8_t *line,
                      const int8_t *newest, int8_t *dst) {
    const uint32_t length = (uint32_t)(taps->taps - 1U) * taps->dilation;
    uint32_t vector = *position;
    for (uint32_t tap = 1; tap < taps->taps; ++tap) {
        memcpy(dst, line + (size_t)vector * taps->width, taps->width);
        dst += taps->width;
        vector += taps->dilation;
        if (vector >= length) {
            vector -= length;
        }
    }
    memcpy(dst, newest, taps->width);
    /* The newest vector takes the place of the oldest, which nothing needs any more. */
    memcpy(line + (size_t)*position * taps->width, newest, taps->width);
    *position = *position + 1U == length ? 0U : *position + 1U;
}

enum { ROWS = 4 }; /* rows of a pass: each input is loaded once for as many products */

/* Add the products of four rows of weights with the inputs to their sums. A function of its own:
 * the loop then has the registers of a small core to itself. */
static NO_INLINE void four_rows(const int8_t *restrict x, const int8_t *restrict weights,
                                uint32_t columns, int32_t sums[restrict ROWS]) {
    const int8_t *restrict w0 = weights;
    const int8_t *restrict w1 = w0 + columns;
    const int8_t *restrict w2 = w1 + columns;
    const int8_t *restrict w3 = w2 + columns;
    int32_t sum0 = 0;
    int32_t sum1 = 0;
    int32_t sum2 = 0;
    int32_t sum3 = 0;
    for (uint32_t column = 0; column < columns; ++column) {
        sum0 += (int32_t)x[column] * w0[column];
        sum1 += (int32_t)x[column] * w1[column];
        sum2 += (int32_t)x[column] * w2[column];
        sum3 += (int32_t)x[column] * w3[column];
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

static void one_row(const int8_t *restrict x, const int8_t *restrict weights, uint32_t columns,
                    int32_t *restrict sum) {
    int32_t total = 0;
    for (uint32_t column = 0; column < columns; ++column) {
        total += (int32_t)x[column] * weights[column];
    }
    *sum = total;
}

static void step_conv(const mw_conv *conv, const int8_t *restrict a, int8_t *restrict dst,
                      uint32_t rows) {
    const mw_conv c = *conv;
    const int8_t *weights = c.weights;
    for (uint32_t row = 0; row < rows;) {
        int32_t sums[ROWS];
        uint32_t count = ROWS;
        if (rows - row >= ROWS) {
            four_rows(a, weights, c.columns, sums);
        } else {
            count = 1U;
            one_row(a, weights, c.columns, sums);
        }
        weights += (size_t)count * c.columns;
        for (uint32_t i = 0; i < count; ++i, ++row) {
            const int32_t scaled = scale(sums[i] + c.bias[row], c.mantissa[row], c.shift[row]);
            dst[row] = to_output(scaled, c.zero_point, c.low, c.high);
        }
    }
    if (c.table != NULL) {
        for (uint32_t row = 0; row < rows; ++row) {
            dst[row] = look_up(c.table, dst[row]);
        }
    }
}

static void step_add(const mw_add *add, const int8_t *a, const int8_t *b, int8_t *dst,
                     uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        /* Both fit: |q + offset| is at most 255. */
        const int32_t wide = (a[i] + add->a_offset) * (1 << (ADD_LEFT_SHIFT - 1));
        const int32_t narrow = scale((b[i] + add->b_offset) * (1 << ADD_LEFT_SHIFT),
                                     add->b.mantissa, add->b.shift);
        const int32_t scaled = scale(wide + narrow, add->output.mantissa, add->output.shift);
        dst[i] = to_output(scaled, add->zero_point, add->low, add->high);
    }
}

static void step_mul(const mw_mul *mul, const int8_t *a, const int8_t *b, int8_t *dst,
                     uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t product = (a[i] + mul->a_offset) * (b[i] + mul->b_offset);
        const int32_t scaled = scale(product, mul->output.mantissa, mul->output.shift);
        dst[i] = to_output(scaled, mul->zero_point, mul->low, mul->high);
    }
}

/* Whether `bytes` from `offset` lie in the scratch area. */
static int in_scratch(const mw_model *model, uint32_t offset, uint32_t bytes) {
    return offset <= model->scratch_bytes && bytes <= model->scratch_bytes - offset;
}

static int shift_valid(int32_t shift, int32_t most) { return shift >= -31 && shift <= most; }

static int taps_valid(const mw_model *model, const mw_step *step) {
    if (step->index >= model->n_taps) {
        return 0;
    }
    const mw_taps *taps = &model->taps[step->index];
    if (taps->taps < 2U || taps->dilation < 1U || taps->width < 1U) {
        return 0;
    }
    /* 16-bit factors: the products need 64 bits before they are compared. */
    const uint64_t line = (uint64_t)(taps->taps - 1U) * taps->dilation * taps->width;
    return (uint32_t)taps->taps * taps->width == step->count &&
           line <= model->line_bytes && taps->line_offset <= model->line_bytes - line &&
           in_scratch(model, step->a, taps->width);
}

static int conv_valid(const mw_model *model, const mw_step *step) {
    if (step->index >= model->n_convs) {
        return 0;
    }
    const mw_conv *conv = &model->convs[step->index];
    if (conv->weights == NULL || conv->bias == NULL || conv->mantissa == NULL ||
        conv->shift == NULL || !in_scratch(model, step->a, conv->columns)) {
        return 0;
    }
    for (uint32_t row = 0; row < step->count; ++row) {
        if (!shift_valid(conv->shift[row], 30)) {
            return 0;
        }
    }
    return 1;
}

static int add_valid(const mw_model *model, const mw_step *step) {
    if (step->index >= model->n_adds) {
        return 0;
    }
    const mw_add *add = &model->adds[step->index];
    return in_scratch(model, step->a, step->count) && in_scratch(model, step->b, step->count) &&
           shift_valid(add->b.shift, 0) && shift_valid(add->output.shift, 0);
}

static int mul_valid(const mw_model *model, const mw_step *step) {
    return step->index < model->n_muls && in_scratch(model, step->a, step->count) &&
           in_scratch(model, step->b, step->count) &&
           shift_valid(model->muls[step->index].output.shift, 30);
}

static int step_valid(const mw_model *model, const mw_step *step) {
    if (!in_scratch(model, step->dst, step->count)) {
        return 0;
    }
    switch (step->kind) {
        case MW_STEP_TAPS:
            return taps_valid(model, step);
        case MW_STEP_CONV:
            return conv_valid(model, step);
        case MW_STEP_ADD:
            return add_valid(model, step);
        case MW_STEP_MUL:
            return mul_valid(model, step);
        case MW_STEP_TABLE:
            return step->index < model->n_tables && in_scratch(model, step->a, step->count);
        case MW_STEP_COPY:
            return in_scratch(model, step->a, step->count);
        default:
            return 0;
    }
}

static int model_valid(const mw_model *model) {
    const uint64_t state =
        4U * (uint64_t)model->n_taps + model->scratch_bytes + (uint64_t)model->line_bytes;
    if (model->scratch_bytes % MW_STATE_ALIGNMENT != 0U || state > model->state_bytes ||
        !in_scratch(model, model->input, model->n_inputs) ||
        !in_scratch(model, model->output, model->n_outputs) ||
        (model->n_steps != 0U && model->steps == NULL) ||
        (model->n_taps != 0U && model->taps == NULL) ||
        (model->n_convs != 0U && model->convs == NULL) ||
        (model->n_adds != 0U && model->adds == NULL) ||
        (model->n_muls != 0U && model->muls == NULL) ||
        (model->n_tables != 0U && model->tables == NULL)) {
        return 0;
    }
    for (uint32_t i = 0; i < model->n_steps; ++i) {
        if (!step_valid(model, &model->steps[i])) {
            return 0;
        }
    }
    return 1;
}

mw_status mw_engine_init(mw_engine *engine, const mw_model *model, void *state,
                         size_t state_bytes) {
    if (engine == NULL) {
        return MW_ERROR_NULL;
    }
    engine->model = NULL;
    if (model == NULL || state == NULL) {
        return MW_ERROR_NULL;
    }
    if (model->format != MW_MODEL_FORMAT) {
        return MW_ERROR_FORMAT;
    }
    if (!model_valid(model)) {
        return MW_ERROR_MODEL;
    }
    if (state_bytes < model->state_bytes) {
        return MW_ERROR_SIZE;
    }
    if ((uintptr_t)state % MW_STATE_ALIGNMENT != 0U) {
        return MW_ERROR_ALIGNMENT;
    }
    engine->model = model;
    engine->positions = (uint32_t *)state;
    engine->scratch = (int8_t *)state + sizeof(uint32_t) * model->n_taps;
    engine->lines = engine->scratch + model->scratch_bytes;
    mw_engine_reset(engine);
    return MW_OK;
}

void mw_engine_reset(mw_engine *engine) {
    const mw_model *model = engine->model;
    memset(engine->scratch, 0, model->scratch_bytes);
    for (uint32_t i = 0; i < model->n_taps; ++i) {
        const mw_taps *taps = &model->taps[i];
        engine->positions[i] = 0U;
        memset(engine->lines + taps->line_offset, taps->fill,
           (size_t)(taps->taps - 1U) * taps->dilation * taps->width);
    }
}

void mw_engine_step(mw_engine *engine, const int8_t *in, int8_t *out) {
    const mw_model *model = engine->model;
    int8_t *scratch = engine->scratch;
    memcpy(scratch + model->input, in, model->n_inputs);
    for (uint32_t i = 0; i < model->n_steps; ++i) {
        const mw_step *step = &model->steps[i];
        const int8_t *a = scratch + step->a;
        const int8_t *b = scratch + step->b;
        int8_t *dst = scratch + step->dst;
        switch (step->kind) {
            case MW_STEP_TAPS: {
                const mw_taps *taps = &model->taps[step->index];
                step_taps(taps, &engine->positions[step->index], engine->lines + taps->line_offset, a,
                          dst);
                break;
            }
            case MW_STEP_CONV:
                step_conv(&model->convs[step->index], a, dst, step->count);
                break;
            case MW_STEP_ADD:
                step_add(&model->adds[step->index], a, b, dst, step->count);
                break;
            case MW_STEP_MUL:
                step_mul(&model->muls[step->index], a, b, dst, step->count);
                break;
            case MW_STEP_TABLE: {
                const int8_t *table = model->tables[step->index];
                for (uint32_t j = 0; j < step->count; ++j) {
                    dst[j] = look_up(table, a[j]);
                }
                break;
            }
            case MW_STEP_COPY:
                memcpy(dst, a, step->count);
                break;
            default: /* mw_engine_init() let none through */
                break;
        }
    }
    memcpy(out, scratch + model->output, model->n_outputs);
}

void mw_scale_input(const mw_input_scaling *scaling, const int16_t *counts, int8_t *out) {
    const int32_t half = (int32_t)1 << (scaling->shift - 1);
    for (uint32_t i = 0; i < scaling->channels; ++i) {
        /* 2^30 + 2^29 at most: no overflow. */
        const int32_t product = (int32_t)counts[i] * scaling->multipliers[i];
        out[i] = clamp(((product + half) >> scaling->shift) + scaling->zero_point, -128, 127);
    }
}
