/* MyoWave engine: runs a causal int8 convolutional network one sample at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The network is a table of steps that `myowave compile` writes (model_data.h, model_data.c). Each
 * call of mw_engine_step() takes the newest input vector and gives the output vector that
 * tflite-micro's reference kernels would compute for the window that ends with it: the same
 * integers, for every sample, on every target.
 *
 * Properties that hold for every function here unless its text says otherwise:
 *   - no heap, no recursion, no floating point, no global or static mutable data;
 *   - all state lies in memory the caller owns, two engines never share any;
 *   - reentrant for different engines; one engine must not be used from two contexts at once;
 *   - every loop is bounded by a constant of the model.
 *
 * Typical use:
 *
 *     static uint32_t state[MW_MODEL_STATE_BYTES / MW_STATE_ALIGNMENT];
 *     mw_engine engine;
 *     if (mw_engine_init(&engine, &mw_model_data, state, sizeof state) != MW_OK) { ... }
 *     for (;;) {
 *       mw_engine_step(&engine, input, output);   // int8_t[MW_MODEL_INPUTS], [MW_MODEL_OUTPUTS]
 *     }
 */
#ifndef MW_ENGINE_H
#define MW_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of the tables below. mw_engine_init() refuses a model emitted for another one. */
#define MW_MODEL_FORMAT 3U

/* What a call that can fail returns. */
typedef enum {
    MW_OK = 0,
    MW_ERROR_NULL = 1,      /* a pointer argument is NULL */
    MW_ERROR_FORMAT = 2,    /* the model was emitted for another MW_MODEL_FORMAT */
    MW_ERROR_MODEL = 3,     /* the model's tables contradict one another: a step leaves its memory */
    MW_ERROR_SIZE = 4,      /* fewer state bytes than model->state_bytes */
    MW_ERROR_ALIGNMENT = 5, /* the state is not aligned to MW_STATE_ALIGNMENT */
} mw_status;

/* Alignment of the state memory, in bytes. An array of uint32_t has it. */
#define MW_STATE_ALIGNMENT 4U

/* ---- The model: constant tables, written by the compiler, normally in flash -------------------
 *
 * Vectors of one sample lie in a scratch area as values in the range of int8, and are named by
 * their offset in it, in values. Kernels read and write them in blocks of MW_BLOCK; the compiler
 * leaves room. A delay line keeps the past vectors a dilated convolution needs, as int8_t. All
 * tables are read only.
 *
 * What a value and a weight are, and how weights lie, is chosen for the core the tables are compiled
 * for; model_data.c holds both layouts and the preprocessor takes one. Weights lie in the order the
 * kernels read them: for each block of rows, for each group of columns, the group of every row of
 * the block. */
#define MW_BLOCK 4U

#if defined(__ARM_FEATURE_MVE) && !defined(MW_KERNELS_PORTABLE)
/* Helium: a vector register holds 16 values, one instruction multiplies and adds them all. */
#define MW_BYTE_WEIGHTS 1
#define MW_VALUE_BYTES 1U
#define MW_COLUMN_GROUP 16U
#define MW_COLUMN_BLOCK 16U
typedef int8_t mw_value;
typedef int8_t mw_weight;
/* Of a convolution's weights and sums in the folded form: see mw_scale. */
#define MW_FOLDED_FACTOR 1
#else
/* 16 bits: one 32-bit load feeds one dual multiply-accumulate (SMLAD). Costs flash (R: 14 KB more)
 * and saves the unpacking, a third of the instructions of the inner loop. */
#define MW_VALUE_BYTES 2U
#define MW_COLUMN_GROUP 2U
#define MW_COLUMN_BLOCK 8U /* the kernels' unrolling */
typedef int16_t mw_value;
typedef int16_t mw_weight;
#define MW_FOLDED_FACTOR 2
#endif

/* A number of a table in the folded form, and columns in whole blocks. */
#define MW_FOLDED(n) ((int32_t)((uint32_t)(n) * MW_FOLDED_FACTOR))
#define MW_COLUMNS(n) (((n) + MW_COLUMN_BLOCK - 1U) / MW_COLUMN_BLOCK * MW_COLUMN_BLOCK)

/* Bytes of state for blocks of up to `block` samples; model_data.h gives the other numbers. */
#define MW_STATE_BYTES(n_taps, scratch_values, line_bytes, block)                             \
    ((4U * (n_taps) + MW_VALUE_BYTES * (scratch_values) * (block) + (line_bytes) + 3U) / 4U * 4U)

/* A real factor in fixed point: mantissa * 2^(shift - 31), mantissa in [2^30, 2^31) or 0. */
typedef struct {
    int32_t mantissa;
    int8_t shift; /* -31 .. 30; positive shifts left before the product */
} mw_multiplier;

/* From a sum x to a result, before the clamp to int8. Two forms, of which the short one is used
 * wherever the compiler proves it equal to the general one:
 *   general  x * mantissa * 2^(shift - 31) rounded as the reference does, plus offset, the zero
 *            point; shift -31 .. 30.
 *   folded   (offset - (x < 0) + round(2 * x * mantissa / 2^32)) >> shift is the result: zero point
 *            and rounding lie in the offset; shift 1 .. 31. With MW_FOLDED_FACTOR 2, weights and
 *            biases are doubled already and x comes as 2 * x. */
typedef struct {
    int32_t mantissa;
    int32_t offset;
    int32_t shift;
} mw_scale;

/* MW_BLOCK rows of a convolution. Arrays, so that a kernel loads each with one instruction. */
typedef struct {
    int32_t biases[MW_BLOCK]; /* the input's zero point already folded in */
    int32_t offsets[MW_BLOCK], mantissas[MW_BLOCK], shifts[MW_BLOCK]; /* as in mw_scale */
    const int8_t *table; /* of 256 entries, at the one for 0; applied to the results. Never
                          * NULL: asking costs more than a table that changes nothing */
} mw_rows;

/* Delay line of a convolution over time with `taps` taps, `dilation` samples apart.
 * Gathers x[t-(taps-1)*dilation], ..., x[t-dilation], x[t] side by side and stores x[t]. */
typedef struct {
    uint32_t line_offset; /* of the line in the line area, bytes */
    uint16_t width;       /* values of one vector */
    uint16_t taps;        /* 2 or more */
    uint16_t dilation;    /* 1 or more; the line holds (taps-1)*dilation vectors */
    int8_t fill;          /* what the past holds after a reset: the tensor's zero point */
} mw_taps;

/* Matrix times vector, requantized per row: the convolution's work for one sample. Rows and columns
 * are padded with zeros to whole blocks. */
typedef struct {
    /* [row blocks][columns / MW_COLUMN_GROUP][MW_BLOCK][MW_COLUMN_GROUP], aligned to 4 bytes;
     * times MW_FOLDED_FACTOR if folded */
    const mw_weight *weights;
    const mw_rows *rows; /* [row blocks]; biases times MW_FOLDED_FACTOR if folded */
    uint16_t columns;    /* multiple of MW_COLUMN_BLOCK */
    uint8_t folded;      /* 1: all rows have the folded form of mw_scale, 0: the general one */
    uint8_t plain;       /* 1: no row's table changes anything; a kernel may leave them out */
} mw_conv;

/* Elementwise sum as the reference does it: both operands are scaled to twice the larger of their
 * scales, with 20 more bits. `a` is the operand of the larger scale, whose factor is exactly one
 * half: a shift. */
typedef struct {
    mw_multiplier b, output; /* no shift is positive */
    int16_t a_offset, b_offset; /* minus the operands' zero points */
    int8_t zero_point;
} mw_add;

/* Elementwise sum where (a * qa + b * qb + offset) >> shift is the same for all pairs of operands,
 * which the compiler has tried out. */
typedef struct {
    int32_t a, b, offset;
    uint8_t shift; /* 0 .. 31 */
} mw_sum;

/* Elementwise product. */
typedef struct {
    mw_scale scale;
    int16_t a_offset, b_offset; /* minus the operands' zero points */
    uint8_t folded;             /* as in mw_conv */
} mw_mul;

/* dst, a and b are vectors in the scratch area. */
typedef enum {
    MW_STEP_TAPS = 0,  /* dst[taps*width] = past and present of a[width]; index into taps */
    MW_STEP_CONV = 1,  /* dst[count] = convolution of a[columns]; index into convs */
    MW_STEP_ADD = 2,   /* dst[count] = a[count] + b[count]; index into adds */
    MW_STEP_SUM = 3,   /* the same in its short form; index into sums */
    MW_STEP_MUL = 4,   /* dst[count] = a[count] * b[count]; index into muls */
    MW_STEP_TABLE = 5, /* dst[count] = table[a[count]]; index into tables */
    MW_STEP_COPY = 6,  /* dst[count] = a[count] */
} mw_step_kind;

/* One step; a, b and dst are offsets in the scratch area, a and dst of MW_STEP_CONV multiples of
 * MW_BLOCK. dst is written in whole blocks, except by MW_STEP_COPY. */
typedef struct {
    uint16_t kind; /* mw_step_kind */
    uint16_t index;
    uint16_t a, b, dst;
    uint16_t count; /* values of dst */
} mw_step;

typedef struct {
    uint16_t format; /* MW_MODEL_FORMAT */
    uint16_t n_inputs, n_outputs;
    uint16_t input, output;   /* scratch offsets of the input and output vectors */
    uint16_t n_steps, n_taps, n_convs, n_adds, n_sums, n_muls, n_tables;
    uint32_t receptive_field; /* samples; the first receptive_field - 1 outputs are warm-up */
    uint32_t scratch_values;  /* multiple of MW_BLOCK */
    uint32_t line_bytes;      /* sum of the delay lines */
    uint32_t state_bytes;     /* MW_STATE_BYTES for a block of one sample */
    const mw_step *steps;
    const mw_taps *taps;
    const mw_conv *convs;
    const mw_add *adds;
    const mw_sum *sums;
    const mw_mul *muls;
    const int8_t (*tables)[256]; /* entry for q at index q + 128 */
} mw_model;

/* Fixed-point scaling from raw int16 counts to the network's int8 input. The Python twin is
 * myowave.scaling.InputScaling.apply. */
typedef struct {
    const int16_t *multipliers; /* [channels], -32767 .. 32767 */
    uint16_t channels;
    uint8_t shift; /* 1 .. 30 */
    int8_t zero_point;
} mw_input_scaling;

/* What a device tells a host about the network it runs; emitted when the compiler has the model
 * card. Strings are UTF-8. The scale is data for the host, nothing here computes with it. */
typedef struct {
    uint8_t sha256[32];         /* of the .tflite file */
    const char *name;           /* of the model */
    const char *imu;            /* part the input scaling is for, as in myowave.imu.IMUS */
    const char *const *muscles; /* [n_muscles], in the order of the outputs */
    mw_input_scaling input;
    float output_scale; /* envelope = (q - output_zero_point) * output_scale */
    int16_t output_zero_point;
    uint16_t n_muscles;
    uint16_t rate_hz;
    uint32_t receptive_field;
} mw_info;

/* ---- The engine -------------------------------------------------------------------------------*/

/* One running network. Opaque: only the functions below read or write its members. */
typedef struct {
    const mw_model *model;
    uint32_t *positions; /* [n_taps] oldest vector of each delay line */
    mw_value *scratch;   /* [block][scratch_values] */
    int8_t *lines;
    uint32_t block; /* samples one pass over the steps takes at most */
} mw_engine;

/* Prepare `engine` to run `model` in the caller's `state` memory, and reset it.
 *
 * Checks the model's tables once, so that no step can leave its memory later. `model`, everything
 * it points to, and `state` must outlive the engine and must not be written by anyone else.
 *
 * engine      object to fill; may be uninitialized
 * model       tables from model_data.c
 * state       at least model->state_bytes, aligned to MW_STATE_ALIGNMENT; content is overwritten
 * state_bytes size of `state`
 *
 * Returns MW_OK, or a reason; after a reason the engine must not be used (its model is NULL unless
 * `engine` itself was). Time: proportional to the number of steps and to state_bytes. */
mw_status mw_engine_init(mw_engine *engine, const mw_model *model, void *state,
                         size_t state_bytes);

/* The same, with room for blocks of up to `block` samples in mw_engine_step_block().
 *
 * state  at least MW_MODEL_BLOCK_STATE_BYTES(block) of model_data.h
 * block  1 or more; MW_ERROR_SIZE if 0 */
mw_status mw_engine_init_block(mw_engine *engine, const mw_model *model, void *state,
                               size_t state_bytes, uint32_t block);

/* Forget every past sample: all delay lines hold their zero points, as after mw_engine_init().
 *
 * engine  initialized
 *
 * Call it at the start of a recording and after a gap. The next receptive_field - 1 outputs are
 * warm-up again. Time: proportional to state_bytes. */
void mw_engine_reset(mw_engine *engine);

/* Take one sample and compute the output at that sample.
 *
 * engine  initialized
 * in      int8_t[model->n_inputs], the newest input vector
 * out     int8_t[model->n_outputs]; may be the same memory as `in`
 *
 * Cannot fail. Time: the same work for every input; the instructions differ only by compare-select
 * of clamping. Safe to call from an interrupt handler. */
void mw_engine_step(mw_engine *engine, const int8_t *in, int8_t *out);

/* Take `samples` samples, oldest first, and compute the output at each: what as many calls of
 * mw_engine_step() give. Each step works on a whole block before the next one begins, so a step's
 * fixed work is done once a block and its weights are read once, as far as registers and caches
 * hold them. Worth it on a computer, and on a board that gets its samples in batches.
 *
 * engine   initialized; takes as many samples at a time as mw_engine_init_block() was given
 * in       int8_t[samples][model->n_inputs]
 * out      int8_t[samples][model->n_outputs]; must not overlap `in`
 * samples  any number
 *
 * Cannot fail. Time: proportional to `samples`. */
void mw_engine_step_block(mw_engine *engine, const int8_t *in, int8_t *out, size_t samples);

/* Scale one vector of raw counts to network inputs:
 * q = clamp(((count * multiplier + 2^(shift-1)) >> shift) + zero_point, -128, 127).
 *
 * scaling  from mw_info, shift 1 .. 30
 * counts   int16_t[scaling->channels]
 * out      int8_t[scaling->channels]
 *
 * Cannot fail; 32-bit arithmetic never overflows. */
void mw_scale_input(const mw_input_scaling *scaling, const int16_t *counts, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif /* MW_ENGINE_H */
