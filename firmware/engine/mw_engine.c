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

static inline int32_t requantize_general(int32_t x, int32_t mantissa, int32_t offset,
                                         int32_t shift) {
    return to_output(scale(x, mantissa, shift), offset);
}

static MW_NO_INLINE void step_taps(const mw_taps *taps, uint32_t *position, int8_t *line,
                                   const mw_value *newest, mw_value *dst) {
    /* Copies: the compiler cannot know that the stores below leave the table alone. */
    const uint32_t width = taps->width;
    const uint32_t dilation = taps->dilation;
    const uint32_t length = (uint32_t)(taps->taps - 1U) * dilation;
    const uint32_t now = *position;
    const mw_value *const last = dst + (size_t)(taps->taps - 1U) * width;
    uint32_t vector = now;
    do {
        mw_from_bytes(line + (size_t)vector * width, dst, width);
        dst += width;
        vector += dilation;
        vector -= vector >= length ? length : 0U;
    } while (dst != last);
    /* The newest vector takes the place of the oldest, which nothing needs any more. */
    mw_store_newest(newest, dst, line + (size_t)now * width, width);
    *position = now + 1U == length ? 0U : now + 1U;
}

static MW_NO_INLINE void conv_general(const mw_conv *conv, const mw_value *x, mw_value *dst,
                                      uint32_t rows) {
    const mw_weight *weights = conv->weights;
    const mw_rows *block = conv->rows;
    const mw_value *const end = dst + rows;
    do {
        int32_t sums[MW_BLOCK];
        weights = mw_dot_block(x, weights, conv->columns, block->biases, sums);
        for (uint32_t i = 0; i < MW_BLOCK; ++i) {
            dst[i] = (mw_value)block->table[requantize_general(
                sums[i], block->mantissas[i], block->offsets[i], block->shifts[i])];
        }
        ++block;
        dst += MW_BLOCK;
    } while (dst < end);
}

/* Elementwise steps may work in whole blocks: what they write behind a vector nobody needs. */

static MW_NO_INLINE void step_add(const mw_add *add, const mw_value *a, const mw_value *b,
                                  mw_value *dst, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        /* Both fit: |q + offset| is at most 255. */
        const int32_t wide = (a[i] + add->a_offset) * (1 << (ADD_LEFT_SHIFT - 1));
        const int32_t narrow = scale((b[i] + add->b_offset) * (1 << ADD_LEFT_SHIFT),
                                     add->b.mantissa, add->b.shift);
        const int32_t scaled = scale(wide + narrow, add->output.mantissa, add->output.shift);
        dst[i] = (mw_value)to_output(scaled, add->zero_point);
    }
}

static MW_NO_INLINE void multiply_general(const mw_mul *mul, const mw_value *a, const mw_value *b,
                                          mw_value *dst, uint32_t count) {
    const mw_scale *s = &mul->scale;
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t product = (a[i] + mul->a_offset) * (b[i] + mul->b_offset);
        dst[i] = (mw_value)requantize_general(product, s->mantissa, s->offset, s->shift);
    }
}

static MW_NO_INLINE void step_table(const int8_t *table, const mw_value *a, mw_value *dst,
                                    uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        dst[i] = (mw_value)table[a[i] + 128];
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

static int scale_valid(int32_t shift, uint8_t folded) {
    return folded ? shift >= 1 && shift <= 31 : shift_valid(shift, 30);
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
        step->a % MW_BLOCK != 0U || step->dst % MW_BLOCK != 0U ||
        !in_scratch(model, step->a, conv->columns)) {
        return 0;
    }
    for (uint32_t row = 0; row < in_blocks(step->count); ++row) {
        const mw_rows *block = &conv->rows[row / MW_BLOCK];
        if (block->table == NULL || !scale_valid(block->shifts[row % MW_BLOCK], conv->folded)) {
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
           scale_valid(model->muls[step->index].scale.shift, model->muls[step->index].folded);
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

/* MW_STATE_BYTES without its limits. */
static uint64_t state_bytes_of(const mw_model *model, uint32_t block) {
    return MW_STATE_BYTES((uint64_t)model->n_taps, (uint64_t)model->scratch_values,
                          model->line_bytes, block);
}

static int model_valid(const mw_model *model) {
    if (model->scratch_values % MW_BLOCK != 0U || state_bytes_of(model, 1U) > model->state_bytes ||
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

mw_status mw_engine_init_block(mw_engine *engine, const mw_model *model, void *state,
                               size_t state_bytes, uint32_t block) {
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
    if (block == 0U || state_bytes < state_bytes_of(model, block)) {
        return MW_ERROR_SIZE;
    }
    if ((uintptr_t)state % MW_STATE_ALIGNMENT != 0U) {
        return MW_ERROR_ALIGNMENT;
    }
    engine->model = model;
    engine->positions = (uint32_t *)state;
    engine->scratch = (mw_value *)(engine->positions + model->n_taps);
    engine->lines = (int8_t *)(engine->scratch + (size_t)block * model->scratch_values);
    engine->block = block;
    mw_engine_reset(engine);
    return MW_OK;
}

mw_status mw_engine_init(mw_engine *engine, const mw_model *model, void *state,
                         size_t state_bytes) {
    return mw_engine_init_block(engine, model, state, state_bytes, 1U);
}

void mw_engine_reset(mw_engine *engine) {
    const mw_model *model = engine->model;
    memset(engine->scratch, 0, sizeof(mw_value) * model->scratch_values * engine->block);
    for (uint32_t i = 0; i < model->n_taps; ++i) {
        const mw_taps *taps = &model->taps[i];
        engine->positions[i] = 0U;
        memset(engine->lines + taps->line_offset, taps->fill,
               (size_t)(taps->taps - 1U) * taps->dilation * taps->width);
    }
}

/* One step for one sample, whose vectors lie in `scratch`. */
static MW_INLINE void run_step(const mw_engine *engine, const mw_step *step, mw_value *scratch) {
    const mw_model *model = engine->model;
    const mw_value *a = scratch + step->a;
    const mw_value *b = scratch + step->b;
    mw_value *dst = scratch + step->dst;
    switch (step->kind) {
        case MW_STEP_TAPS: {
            const mw_taps *taps = &model->taps[step->index];
            step_taps(taps, &engine->positions[step->index], engine->lines + taps->line_offset, a,
                      dst);
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
            mw_sum_vectors(&model->sums[step->index], a, b, dst, step->count);
            break;
        case MW_STEP_MUL:
            if (model->muls[step->index].folded) {
                mw_multiply_folded(&model->muls[step->index], a, b, dst, step->count);
            } else {
                multiply_general(&model->muls[step->index], a, b, dst, step->count);
            }
            break;
        case MW_STEP_TABLE:
            step_table(model->tables[step->index], a, dst, step->count);
            break;
        case MW_STEP_COPY:
            memcpy(dst, a, sizeof(mw_value) * step->count);
            break;
        default: /* mw_engine_init() let none through */
            break;
    }
}

void mw_engine_step(mw_engine *engine, const int8_t *in, int8_t *out) {
    const mw_model *model = engine->model;
    mw_value *scratch = engine->scratch;
    mw_from_bytes(in, scratch + model->input, model->n_inputs);
    const mw_step *const end = model->steps + model->n_steps;
    for (const mw_step *step = model->steps; step != end; ++step) {
        run_step(engine, step, scratch);
    }
    mw_to_bytes(scratch + model->output, out, model->n_outputs);
}

/* At most engine->block samples, step by step. */
static void run_block(const mw_engine *engine, const int8_t *in, int8_t *out, uint32_t samples) {
    const mw_model *model = engine->model;
    const size_t stride = model->scratch_values;
    mw_value *const first = engine->scratch;
    for (uint32_t i = 0; i < samples; ++i) {
        mw_from_bytes(in + (size_t)i * model->n_inputs, first + i * stride + model->input,
                      model->n_inputs);
    }
    const mw_step *const end = model->steps + model->n_steps;
    for (const mw_step *step = model->steps; step != end; ++step) {
        mw_value *const a = first + step->a;
        mw_value *const b = first + step->b;
        mw_value *const dst = first + step->dst;
        if (step->kind == MW_STEP_CONV && model->convs[step->index].folded) {
            mw_conv_folded_block(&model->convs[step->index], a, dst, step->count, stride, samples);
        } else if (step->kind == MW_STEP_SUM) {
            mw_sum_vectors_block(&model->sums[step->index], a, b, dst, step->count, stride,
                                 samples);
        } else if (step->kind == MW_STEP_MUL && model->muls[step->index].folded) {
            mw_multiply_folded_block(&model->muls[step->index], a, b, dst, step->count, stride,
                                     samples);
        } else {
            for (uint32_t i = 0; i < samples; ++i) {
                run_step(engine, step, first + i * stride);
            }
        }
    }
    for (uint32_t i = 0; i < samples; ++i) {
        mw_to_bytes(first + i * stride + model->output, out + (size_t)i * model->n_outputs,
                    model->n_outputs);
    }
}

void mw_engine_step_block(mw_engine *engine, const int8_t *in, int8_t *out, size_t samples) {
    while (samples != 0U) {
        const uint32_t now = samples < engine->block ? (uint32_t)samples : engine->block;
        run_block(engine, in, out, now);
        in += (size_t)now * engine->model->n_inputs;
        out += (size_t)now * engine->model->n_outputs;
        samples -= now;
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
