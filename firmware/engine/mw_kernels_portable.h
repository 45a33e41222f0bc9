/* The kernels in plain C: the specification of every other form, and what a form uses where it has
 * none of its own (MW_OWN_...).
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by mw_kernels.h only. */
#ifndef MW_KERNELS_PORTABLE_H
#define MW_KERNELS_PORTABLE_H

#include <stddef.h>

#include "mw_engine.h"

/* dst[i] = src[i]; src holds values in the range of int8. */
#ifndef MW_OWN_TO_BYTES
static inline void mw_to_bytes(const mw_value *src, int8_t *dst, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        dst[i] = (int8_t)src[i];
    }
}
#endif

/* dst[i] = src[i]. */
#ifndef MW_OWN_COPIES
static inline void mw_from_bytes(const int8_t *src, mw_value *dst, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        dst[i] = (mw_value)src[i];
    }
}

/* dst[i] = line[i] = src[i]. */
static inline void mw_store_newest(const mw_value *src, mw_value *dst, int8_t *line,
                                   uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        dst[i] = src[i];
        line[i] = (int8_t)src[i];
    }
}
#endif

/* round(x * m / 2^32), for a mantissa m. */
#ifndef MW_OWN_HIGH_PRODUCT
static inline int32_t mw_high_product(int32_t x, int32_t m) {
    return (int32_t)(((int64_t)x * m + INT64_C(0x80000000)) >> 32);
}
#endif

/* The result of 2 * x in the folded form of mw_scale. `doubled` and the sum of offset and product
 * stay in 32 bits: the compiler has proven it. */
#ifndef MW_OWN_REQUANTIZE_FOLDED
static inline int32_t mw_requantize_folded(int32_t doubled, int32_t mantissa, int32_t offset,
                                           int32_t shift) {
    const int32_t high = mw_high_product(doubled, mantissa);
    return mw_clamp8((offset - (doubled < 0 ? 1 : 0) + high) >> shift);
}
#endif

/* sums[r] = biases[r] + weights of row r times x, for one block of rows. Returns the weights of the
 * next block. `columns` is a multiple of MW_COLUMN_BLOCK and not 0. */
#ifndef MW_OWN_DOT_BLOCK
static inline const mw_weight *mw_dot_block(const mw_value *x, const mw_weight *weights,
                                            uint32_t columns, const int32_t biases[MW_BLOCK],
                                            int32_t sums[MW_BLOCK]) {
    int32_t sum0 = biases[0];
    int32_t sum1 = biases[1];
    int32_t sum2 = biases[2];
    int32_t sum3 = biases[3];
    const mw_value *const end = x + columns;
    do {
        MW_UNROLL for (uint32_t i = 0; i < MW_COLUMN_BLOCK / MW_COLUMN_GROUP; ++i) {
            const int32_t x0 = x[0];
            const int32_t x1 = x[1];
            sum0 += x0 * weights[0];
            sum0 += x1 * weights[1];
            sum1 += x0 * weights[2];
            sum1 += x1 * weights[3];
            sum2 += x0 * weights[4];
            sum2 += x1 * weights[5];
            sum3 += x0 * weights[6];
            sum3 += x1 * weights[7];
            x += MW_COLUMN_GROUP;
            weights += (size_t)MW_COLUMN_GROUP * MW_BLOCK;
        }
    } while (x != end);
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
    return weights;
}
#endif

/* dst[rows] = a convolution whose rows all have the folded form, in whole blocks. */
#ifndef MW_OWN_CONV_FOLDED
static MW_NO_INLINE void mw_conv_folded(const mw_conv *conv, const mw_value *x, mw_value *dst,
                                        uint32_t rows) {
    const mw_weight *weights = conv->weights;
    const mw_rows *block = conv->rows;
    const mw_value *const end = dst + rows;
    do {
        int32_t sums[MW_BLOCK];
        weights = mw_dot_block(x, weights, conv->columns, block->biases, sums);
        const int8_t *table = block->table;
        MW_UNROLL for (uint32_t i = 0; i < MW_BLOCK; ++i) {
            dst[i] = (mw_value)table[mw_requantize_folded(sums[i], block->mantissas[i],
                                                          block->offsets[i], block->shifts[i])];
        }
        ++block;
        dst += MW_BLOCK;
    } while (dst < end);
}
#endif

/* The same for several samples, whose vectors lie `stride` values apart. */
#ifndef MW_OWN_CONV_FOLDED_BLOCK
static inline void mw_conv_folded_block(const mw_conv *conv, const mw_value *x, mw_value *dst,
                                        uint32_t rows, size_t stride, uint32_t samples) {
    for (uint32_t i = 0; i < samples; ++i) {
        mw_conv_folded(conv, x + i * stride, dst + i * stride, rows);
    }
}
#endif

/* dst = a + b in the short form, in whole blocks. */
#ifndef MW_OWN_SUM
static MW_NO_INLINE void mw_sum_vectors(const mw_sum *sum, const mw_value *a, const mw_value *b,
                                        mw_value *dst, uint32_t count) {
    const mw_sum s = *sum;
    const mw_value *const end = dst + count;
    do {
        MW_UNROLL for (uint32_t i = 0; i < MW_BLOCK; ++i) {
            dst[i] = (mw_value)mw_clamp8((s.offset + a[i] * s.a + b[i] * s.b) >> s.shift);
        }
        a += MW_BLOCK;
        b += MW_BLOCK;
        dst += MW_BLOCK;
    } while (dst < end);
}
#endif

/* dst = a * b, folded, in whole blocks. */
#ifndef MW_OWN_MULTIPLY_FOLDED
static MW_NO_INLINE void mw_multiply_folded(const mw_mul *mul, const mw_value *a,
                                            const mw_value *b, mw_value *dst, uint32_t count) {
    const mw_scale s = mul->scale;
    const int32_t a_offset = mul->a_offset;
    const int32_t b_offset = 2 * mul->b_offset;
    const mw_value *const end = dst + count;
    do {
        MW_UNROLL for (uint32_t i = 0; i < MW_BLOCK; ++i) {
            const int32_t doubled = (a[i] + a_offset) * (2 * b[i] + b_offset);
            dst[i] = (mw_value)mw_requantize_folded(doubled, s.mantissa, s.offset, s.shift);
        }
        a += MW_BLOCK;
        b += MW_BLOCK;
        dst += MW_BLOCK;
    } while (dst < end);
}
#endif

/* Both for several samples, as above. */
#ifndef MW_OWN_ELEMENTWISE_BLOCK
static inline void mw_sum_vectors_block(const mw_sum *sum, const mw_value *a, const mw_value *b,
                                        mw_value *dst, uint32_t count, size_t stride,
                                        uint32_t samples) {
    for (uint32_t i = 0; i < samples; ++i) {
        mw_sum_vectors(sum, a + i * stride, b + i * stride, dst + i * stride, count);
    }
}

static inline void mw_multiply_folded_block(const mw_mul *mul, const mw_value *a,
                                            const mw_value *b, mw_value *dst, uint32_t count,
                                            size_t stride, uint32_t samples) {
    for (uint32_t i = 0; i < samples; ++i) {
        mw_multiply_folded(mul, a + i * stride, b + i * stride, dst + i * stride, count);
    }
}
#endif

#endif /* MW_KERNELS_PORTABLE_H */
