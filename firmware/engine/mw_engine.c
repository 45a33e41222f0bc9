/* The streaming engine: checks of the tables, state, and the steps of one sample.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Arithmetic is that of tflite-micro's int8 reference kernels (double rounding); the Python twin
 * of the helpers is host/myowave/compiler/arithmetic.py. What a core with DSP instructions does in
 * its own way is in mw_kernels.h. */
#include "mw_engine.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "mw_kernels.h"

/* Right shifts of negative numbers must be arithmetic: the rounding below relies on it. */
/* cppcheck-suppress shiftNegativeLHS ; that it is defined by the compiler is what is asserted */
static_assert((-1 >> 1) == -1, "this compiler does not shift signed numbers arithmetically");
static_assert(CHAR_BIT == 8, "bytes have eight bits");
static_assert(sizeof(mw_step) == 12U, "steps are packed without holes");

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

/* x + zero_point clamped; the sum wraps as it does in the reference, where x is near the limits. */
static inline int32_t to_output(int32_t x, int32_t zero_point) {
    return mw_clamp8((int32_t)((uint32_t)x + (uint32_t)zero_point));
}

static inline int32_t requantize_general(int32_t x, const mw_scale *s) {
    return to_output(scale(x, s->mantissa, s->shift), s->offset);
}

/* dst[i] = src[i]. Plain loops here and below: four values a word with SXTB16, UXTB16 and the
 * packing around them take as many instructions, unrolled ones save 0.4 % of a sample of R. */
static inline void widen(const int8_t *src, int16_t *dst, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        dst[i] = (int16_t)src[i];
    }
}

/* dst[i] = line[i] = src[i]; src holds values in the range of int8. */
static inline void store_newest(const int16_t *src, int16_t *dst, int8_t *line, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        dst[i] = src[i];
        line[i] = (int8_t)src[i];
    }
}

static MW_NO_INLINE void step_taps(const mw_taps *taps, uint32_t *position, int8_t *line,
                                   const int16_t *newest, int16_t *dst) {
    const uint32_t width = taps->width;
    const uint32_t length = (uint32_t)(taps->taps - 1U) * taps->dilation;
    int8_t *oldest = line + (size_t)*position * width;
    uint32_t vector = *position;
    for (uint32_t tap = 1; tap < taps->taps; ++tap) {
        widen(line + (size_t)vector * width, dst, width);
        dst += width;
        vector += taps->dilation;
        if (vector >= length) {
            vector -= length;
        }
    }
    /* The newest vector takes the place of the oldest, which nothing needs any more. */
    store_newest(newest, dst, oldest, width);
    *position = *position + 1U == length ? 0U : *position + 1U;
}

static MW_NO_INLINE void conv_general(const mw_conv *conv, const int16_t *x, int16_t *dst,
                                      uint32_t rows) {
    const int16_t *weights = conv->weights;
    const mw_rows *block = conv->rows;
    const int16_t *const end = dst + rows;
    do {
        int32_t sums[MW_BLOCK];
        weights = mw_dot_block(x, weights, conv->columns, block->bias, sums);
        for (uint32_t i = 0; i < MW_BLOCK; ++i) {
            dst[i] = (int16_t)block->table[requantize_general(sums[i], &block->scales[i])];
        }
        ++block;
        dst += MW_BLOCK;
    } while (dst < end);
}

/* Elementwise steps may work in whole blocks: what they write behind a vector nobody needs. */

static MW_NO_INLINE void step_add(const mw_add *add, const int16_t *a, const int16_t *b,
                                  int16_t *dst, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        /* Both fit: |q + offset| is at most 255. */
        const int32_t wide = (a[i] + add->a_offset) * (1 << (ADD_LEFT_SHIFT - 1));
        const int32_t narrow = scale((b[i] + add->b_offset) * (1 << ADD_LEFT_SHIFT),
                                     add->b.mantissa, add->b.shift);
        const int32_t scaled = scale(wide + narrow, add->output.mantissa, add->output.shift);
        dst[i] = (int16_t)to_output(scaled, add->zero_point);
    }
}

static MW_NO_INLINE void step_sum(const mw_sum *sum, const int16_t *a, const int16_t *b,
                                  int16_t *dst, uint32_t count) {
    const mw_sum s = *sum;
    const int16_t *const end = dst + count;
    do {
        MW_UNROLL for (uint32_t i = 0; i < MW_BLOCK; ++i) {
            dst[i] = (int16_t)mw_clamp8((s.offset + a[i] * s.a + b[i] * s.b) >> s.shift);
        }
        a += MW_BLOCK;
        b += MW_BLOCK;
        dst += MW_BLOCK;
    } while (dst < end);
}

static MW_NO_INLINE void multiply_folded(const mw_mul *mul, const int16_t *a, const int16_t *b,
                                         int16_t *dst, uint32_t count) {
    const mw_mul m = *mul;
    const int16_t *const end = dst + count;
    do {
        MW_UNROLL for (uint32_t i = 0; i < MW_BLOCK; ++i) {
            const int32_t doubled = (a[i] + m.a_offset) * (2 * b[i] + m.b_offset);
            dst[i] = (int16_t)mw_requantize_folded(doubled, &m.scale);
        }
        a += MW_BLOCK;
        b += MW_BLOCK;
        dst += MW_BLOCK;
    } while (dst < end);
}

static MW_NO_INLINE void step_mul(const mw_mul *mul, const int16_t *a, const int16_t *b,
                                  int16_t *dst, uint32_t count) {
    if (mul->folded) {
        multiply_folded(mul, a, b, dst, count);
        return;
    }
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t product = (a[i] + mul->a_offset) * (b[i] + mul->b_offset);
        dst[i] = (int16_t)requantize_general(product, &mul->scale);
    }
}

static MW_NO_INLINE void step_table(const int8_t *table, const int16_t *a, int16_t *dst,
                                    uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        dst[i] = (int16_t)table[a[i] + 128];
    }
}

static uint32_t in_blocks(uint32_t values) {
    return (values + MW_BLOCK - 1U) / MW_BLOCK * MW_BLOCK;
}

/* Whether `values` from `offset`, in whole blocks, lie in the scratch area. */
static int in_scratch(const mw_model *model, uint32_t offset, uint32_t values) {
    return offset <= model->scratch_values &&
           in_blocks(values) <= model->scratch_values - offset;
}

static int shift_valid(int32_t shift, int32_t most) { return shift >= -31 && shift <= most; }

static int scale_valid(const mw_scale *s, uint8_t folded) {
    return folded ? s->shift >= 1 && s->shift <= 31 : shift_valid(s->shift, 30);
}

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
    if (conv->weights == NULL || (uintptr_t)conv->weights % sizeof(int32_t) != 0U ||
        conv->rows == NULL || conv->columns == 0U ||
        conv->columns % MW_COLUMN_BLOCK != 0U ||
        step->a % MW_BLOCK != 0U || !in_scratch(model, step->a, conv->columns)) {
        return 0;
    }
    for (uint32_t row = 0; row < in_blocks(step->count); ++row) {
        const mw_rows *block = &conv->rows[row / MW_BLOCK];
        if (block->table == NULL || !scale_valid(&block->scales[row % MW_BLOCK], conv->folded)) {
            return 0;
        }
    }
    return 1;
}

static int operands_valid(const mw_model *model, const mw_step *step) {
    return in_scratch(model, step->a, step->count) && in_scratch(model, step->b, step->count);
}

static int add_valid(const mw_model *model, const mw_step *step) {
    return step->index < model->n_adds && operands_valid(model, step) &&
           shift_valid(model->adds[step->index].b.shift, 0) &&
           shift_valid(model->adds[step->index].output.shift, 0);
}

static int sum_valid(const mw_model *model, const mw_step *step) {
    return step->index < model->n_sums && operands_valid(model, step) &&
           model->sums[step->index].shift <= 31U;
}

static int mul_valid(const mw_model *model, const mw_step *step) {
    return step->index < model->n_muls && operands_valid(model, step) &&
           scale_valid(&model->muls[step->index].scale, model->muls[step->index].folded);
}

static int step_valid(const mw_model *model, const mw_step *step) {
    if (step->count == 0U || !in_scratch(model, step->dst, step->count)) {
        return 0;
    }
    switch (step->kind) {
        case MW_STEP_TAPS:
            return taps_valid(model, step);
        case MW_STEP_CONV:
            return conv_valid(model, step);
        case MW_STEP_ADD:
            return add_valid(model, step);
        case MW_STEP_SUM:
            return sum_valid(model, step);
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
        4U * (uint64_t)model->n_taps + 2U * (uint64_t)model->scratch_values + model->line_bytes;
    if (model->scratch_values % MW_BLOCK != 0U || state > model->state_bytes ||
        !in_scratch(model, model->input, model->n_inputs) ||
        !in_scratch(model, model->output, model->n_outputs) ||
        (model->n_steps != 0U && model->steps == NULL) ||
        (model->n_taps != 0U && model->taps == NULL) ||
        (model->n_convs != 0U && model->convs == NULL) ||
        (model->n_adds != 0U && model->adds == NULL) ||
        (model->n_sums != 0U && model->sums == NULL) ||
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
    engine->scratch = (int16_t *)(engine->positions + model->n_taps);
    engine->lines = (int8_t *)(engine->scratch + model->scratch_values);
    mw_engine_reset(engine);
    return MW_OK;
}

void mw_engine_reset(mw_engine *engine) {
    const mw_model *model = engine->model;
    memset(engine->scratch, 0, sizeof(int16_t) * model->scratch_values);
    for (uint32_t i = 0; i < model->n_taps; ++i) {
        const mw_taps *taps = &model->taps[i];
        engine->positions[i] = 0U;
        memset(engine->lines + taps->line_offset, taps->fill,
           (size_t)(taps->taps - 1U) * taps->dilation * taps->width);
    }
}

void mw_engine_step(mw_engine *engine, const int8_t *in, int8_t *out) {
    const mw_model *model = engine->model;
    int16_t *scratch = engine->scratch;
    widen(in, scratch + model->input, model->n_inputs);
    const mw_step *const end = model->steps + model->n_steps;
    for (const mw_step *step = model->steps; step != end; ++step) {
        const int16_t *a = scratch + step->a;
        const int16_t *b = scratch + step->b;
        int16_t *dst = scratch + step->dst;
        switch (step->kind) {
            case MW_STEP_TAPS: {
                const mw_taps *taps = &model->taps[step->index];
                step_taps(taps, &engine->positions[step->index], engine->lines + taps->line_offset,
                          a, dst);
                break;
            }
            case MW_STEP_CONV:
                if (model->convs[step->index].folded) {
                    mw_conv_folded(&model->convs[step->index], a, dst, step->count);
                } else {
                    conv_general(&model->convs[step->index], a, dst, step->count);
                }
                break;
            case MW_STEP_ADD:
                step_add(&model->adds[step->index], a, b, dst, step->count);
                break;
            case MW_STEP_SUM:
                step_sum(&model->sums[step->index], a, b, dst, step->count);
                break;
            case MW_STEP_MUL:
                step_mul(&model->muls[step->index], a, b, dst, step->count);
                break;
            case MW_STEP_TABLE:
                step_table(model->tables[step->index], a, dst, step->count);
                break;
            case MW_STEP_COPY:
                memcpy(dst, a, sizeof(int16_t) * step->count);
                break;
            default: /* mw_engine_init() let none through */
                break;
        }
    }
    for (uint32_t i = 0; i < model->n_outputs; ++i) {
        out[i] = (int8_t)scratch[model->output + i];
    }
}

void mw_scale_input(const mw_input_scaling *scaling, const int16_t *counts, int8_t *out) {
    const int32_t half = (int32_t)1 << (scaling->shift - 1);
    for (uint32_t i = 0; i < scaling->channels; ++i) {
        /* 2^30 + 2^29 at most: no overflow. */
        const int32_t product = (int32_t)counts[i] * scaling->multipliers[i];
        out[i] = (int8_t)mw_clamp8(((product + half) >> scaling->shift) + scaling->zero_point);
    }
}
