/* The kernels in plain C: the specification of every other form, and what a form uses where it has
 * none of its own (MW_OWN_...).
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by mw_kernels.h only. */
#ifndef MW_KERNELS_PORTABLE_H
#define MW_KERNELS_PORTABLE_H

#include "mw_engine.h"

/* The result of a doubled sum in the folded form of mw_scale. `doubled` and the sum of offset and
 * product stay in 32 bits: the compiler has proven it. */
#ifndef MW_OWN_REQUANTIZE_FOLDED
static inline int32_t mw_requantize_folded(int32_t doubled, const mw_scale *s) {
    const int64_t product = (int64_t)doubled * s->mantissa;
    const int32_t high = (int32_t)((product + INT64_C(0x80000000)) >> 32);
    return mw_clamp8((s->offset - (doubled < 0 ? 1 : 0) + high) >> s->shift);
}
#endif

/* sums[r] = bias[r] + weights of row r times x, for one block of rows. Returns the weights of the
 * next block. `columns` is a multiple of MW_COLUMN_BLOCK and not 0. */
#ifndef MW_OWN_DOT_BLOCK
static inline const int16_t *mw_dot_block(const int16_t *x, const int16_t *weights,
                                          uint32_t columns, const int32_t bias[MW_BLOCK],
                                          int32_t sums[MW_BLOCK]) {
    int32_t sum0 = bias[0];
    int32_t sum1 = bias[1];
    int32_t sum2 = bias[2];
    int32_t sum3 = bias[3];
    const int16_t *const end = x + columns;
    do {
        MW_UNROLL for (uint32_t i = 0; i < MW_COLUMN_BLOCK / 2U; ++i) {
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
            x += 2;
            weights += 2U * MW_BLOCK;
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
static MW_NO_INLINE void mw_conv_folded(const mw_conv *conv, const int16_t *x, int16_t *dst,
                                        uint32_t rows) {
    const int16_t *weights = conv->weights;
    const mw_rows *block = conv->rows;
    const int16_t *const end = dst + rows;
    do {
        int32_t sums[MW_BLOCK];
        weights = mw_dot_block(x, weights, conv->columns, block->bias, sums);
        const int8_t *table = block->table;
        dst[0] = (int16_t)table[mw_requantize_folded(sums[0], &block->scales[0])];
        dst[1] = (int16_t)table[mw_requantize_folded(sums[1], &block->scales[1])];
        dst[2] = (int16_t)table[mw_requantize_folded(sums[2], &block->scales[2])];
        dst[3] = (int16_t)table[mw_requantize_folded(sums[3], &block->scales[3])];
        ++block;
        dst += MW_BLOCK;
    } while (dst < end);
}
#endif

#endif /* MW_KERNELS_PORTABLE_H */
