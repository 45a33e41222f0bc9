/* Kernels of their own for x86 hosts with AVX2, on top of those for SSE2: a convolution of many
 * samples keeps the weights of eight rows in a register for all of them.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by mw_kernels.h only. */
#ifndef MW_KERNELS_AVX2_H
#define MW_KERNELS_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <string.h>

#include "mw_engine.h"

/* Samples whose sums the sixteen vector registers hold beside weights and inputs. */
enum { MW_AVX2_SAMPLES = 8 };

/* One vector of eight from an array of two blocks of rows, `first` and `second`. */
static inline __m256i mw_eight(const void *first, const void *second) {
    const __m128i low = _mm_loadu_si128((const __m128i *)first);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low),
                                   _mm_loadu_si128((const __m128i *)second), 1);
}

/* mw_requantize_folded() of eight sums. */
static inline __m256i mw_requantize_eight(__m256i doubled, __m256i mantissas, __m256i offsets,
                                          __m256i shifts) {
    const __m256i half = _mm256_set1_epi64x(INT64_C(0x80000000));
    const __m256i even =
        _mm256_srli_epi64(_mm256_add_epi64(_mm256_mul_epi32(doubled, mantissas), half), 32);
    const __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(doubled, 32),
                                                          _mm256_srli_epi64(mantissas, 32)),
                                         half);
    const __m256i high = _mm256_blend_epi32(even, odd, 0xAA);
    const __m256i negative = _mm256_srai_epi32(doubled, 31);
    const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(offsets, negative), high);
    const __m256i shifted = _mm256_srav_epi32(sum, shifts);
    return _mm256_max_epi32(_mm256_min_epi32(shifted, _mm256_set1_epi32(127)),
                            _mm256_set1_epi32(-128));
}

/* `blocks` blocks of rows, one or two, for `samples` samples; inlined with both constant. */
static MW_INLINE void mw_rows_of_samples(const mw_rows *rows, const mw_weight *weights,
                                         uint32_t columns, const mw_value *x, mw_value *dst,
                                         size_t stride, uint32_t blocks, uint32_t samples) {
    /* A block alone is computed twice and stored once. */
    const mw_rows *const other = rows + (blocks - 1U);
    const mw_weight *const other_weights = weights + (size_t)columns * MW_BLOCK * (blocks - 1U);
    const __m256i biases = mw_eight(rows->biases, other->biases);
    __m256i sums[MW_AVX2_SAMPLES];
    for (uint32_t i = 0; i < samples; ++i) {
        sums[i] = biases;
    }
    for (uint32_t column = 0; column < columns; column += MW_COLUMN_GROUP) {
        const size_t at = (size_t)column * MW_BLOCK;
        const __m256i pairs = mw_eight(weights + at, other_weights + at);
        for (uint32_t i = 0; i < samples; ++i) {
            int32_t pair;
            memcpy(&pair, x + i * stride + column, sizeof pair);
            sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(_mm256_set1_epi32(pair), pairs));
        }
    }
    const __m256i mantissas = mw_eight(rows->mantissas, other->mantissas);
    const __m256i offsets = mw_eight(rows->offsets, other->offsets);
    const __m256i shifts = mw_eight(rows->shifts, other->shifts);
    for (uint32_t i = 0; i < samples; ++i) {
        int32_t results[2U * MW_BLOCK];
        _mm256_storeu_si256((__m256i *)results,
                            mw_requantize_eight(sums[i], mantissas, offsets, shifts));
        mw_value *out = dst + i * stride;
        MW_UNROLL for (uint32_t row = 0; row < MW_BLOCK; ++row) {
            out[row] = (mw_value)rows->table[results[row]];
        }
        if (blocks == 2U) {
            MW_UNROLL for (uint32_t row = 0; row < MW_BLOCK; ++row) {
                out[MW_BLOCK + row] = (mw_value)other->table[results[MW_BLOCK + row]];
            }
        }
    }
}

static MW_INLINE void mw_conv_of_samples(const mw_conv *conv, const mw_value *x, mw_value *dst,
                                         uint32_t rows, size_t stride, uint32_t samples) {
    const mw_weight *weights = conv->weights;
    const mw_rows *block = conv->rows;
    const size_t block_weights = (size_t)conv->columns * MW_BLOCK;
    uint32_t row = 0;
    for (; row + MW_BLOCK < rows; row += 2U * MW_BLOCK) {
        mw_rows_of_samples(block, weights, conv->columns, x, dst + row, stride, 2U, samples);
        block += 2;
        weights += 2U * block_weights;
    }
    if (row < rows) {
        mw_rows_of_samples(block, weights, conv->columns, x, dst + row, stride, 1U, samples);
    }
}

#define MW_OWN_CONV_FOLDED_BLOCK
static MW_NO_INLINE void mw_conv_folded_block(const mw_conv *conv, const mw_value *x,
                                              mw_value *dst, uint32_t rows, size_t stride,
                                              uint32_t samples) {
    uint32_t done = 0;
    for (; done + MW_AVX2_SAMPLES <= samples; done += MW_AVX2_SAMPLES) {
        mw_conv_of_samples(conv, x + done * stride, dst + done * stride, rows, stride,
                           MW_AVX2_SAMPLES);
    }
    for (; done < samples; ++done) {
        mw_conv_of_samples(conv, x + done * stride, dst + done * stride, rows, stride, 1U);
    }
}

#endif /* MW_KERNELS_AVX2_H */
