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

/* Limited to int8. */
static inline __m256i mw_clamp_eight(__m256i x) {
    return _mm256_max_epi32(_mm256_min_epi32(x, _mm256_set1_epi32(127)), _mm256_set1_epi32(-128));
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
    return mw_clamp_eight(_mm256_srav_epi32(sum, shifts));
}

/* Eight values, or the four of the last block, as int32. */
static inline __m256i mw_load_eight(const mw_value *values, uint32_t count) {
    const __m128i *const from = (const __m128i *)values;
    return _mm256_cvtepi16_epi32(count > MW_BLOCK ? _mm_loadu_si128(from) : _mm_loadl_epi64(from));
}

/* Up to eight int32 in the range of int8 as values, in whole blocks. */
static inline void mw_store_eight(mw_value *dst, __m256i results, uint32_t count) {
    const __m256i packed = _mm256_packs_epi32(results, results);
    const __m128i values = _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
    if (count > MW_BLOCK) {
        _mm_storeu_si128((__m128i *)dst, values);
    } else {
        _mm_storel_epi64((__m128i *)dst, values);
    }
}

/* `blocks` blocks of rows, one or two, for `samples` samples; inlined with both constant. */
static MW_INLINE void mw_rows_of_samples(const mw_rows *rows, const mw_weight *weights,
                                         uint32_t columns, const mw_value *x, mw_value *dst,
                                         size_t stride, uint32_t blocks, uint32_t samples,
                                         int plain) {
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
        const __m256i found = mw_requantize_eight(sums[i], mantissas, offsets, shifts);
        mw_value *out = dst + i * stride;
        if (plain) {
            mw_store_eight(out, found, MW_BLOCK * blocks);
            continue;
        }
        int32_t results[2U * MW_BLOCK];
        _mm256_storeu_si256((__m256i *)results, found);
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
        mw_rows_of_samples(block, weights, conv->columns, x, dst + row, stride, 2U, samples,
                           conv->plain);
        block += 2;
        weights += 2U * block_weights;
    }
    if (row < rows) {
        mw_rows_of_samples(block, weights, conv->columns, x, dst + row, stride, 1U, samples,
                           conv->plain);
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

#define MW_OWN_ELEMENTWISE_BLOCK
static MW_NO_INLINE void mw_sum_vectors_block(const mw_sum *sum, const mw_value *a,
                                              const mw_value *b, mw_value *dst, uint32_t count,
                                              size_t stride, uint32_t samples) {
    const __m256i a_factor = _mm256_set1_epi32(sum->a);
    const __m256i b_factor = _mm256_set1_epi32(sum->b);
    const __m256i offset = _mm256_set1_epi32(sum->offset);
    const __m128i shift = _mm_cvtsi32_si128(sum->shift);
    for (uint32_t sample = 0; sample < samples; ++sample) {
        for (uint32_t i = 0; i < count; i += 8U) {
            const uint32_t left = count - i;
            const __m256i scaled_a = _mm256_mullo_epi32(mw_load_eight(a + i, left), a_factor);
            const __m256i scaled_b = _mm256_mullo_epi32(mw_load_eight(b + i, left), b_factor);
            const __m256i total = _mm256_add_epi32(_mm256_add_epi32(offset, scaled_a), scaled_b);
            mw_store_eight(dst + i, mw_clamp_eight(_mm256_sra_epi32(total, shift)), left);
        }
        a += stride;
        b += stride;
        dst += stride;
    }
}

static MW_NO_INLINE void mw_multiply_folded_block(const mw_mul *mul, const mw_value *a,
                                                  const mw_value *b, mw_value *dst,
                                                  uint32_t count, size_t stride,
                                                  uint32_t samples) {
    const __m256i a_offset = _mm256_set1_epi32(mul->a_offset);
    const __m256i b_offset = _mm256_set1_epi32(mul->b_offset);
    const __m256i mantissa = _mm256_set1_epi32(mul->scale.mantissa);
    const __m256i offset = _mm256_set1_epi32(mul->scale.offset);
    const __m256i shift = _mm256_set1_epi32(mul->scale.shift);
    for (uint32_t sample = 0; sample < samples; ++sample) {
        for (uint32_t i = 0; i < count; i += 8U) {
            const uint32_t left = count - i;
            const __m256i x = _mm256_add_epi32(mw_load_eight(a + i, left), a_offset);
            const __m256i y = _mm256_add_epi32(mw_load_eight(b + i, left), b_offset);
            const __m256i doubled = _mm256_slli_epi32(_mm256_mullo_epi32(x, y), 1);
            mw_store_eight(dst + i, mw_requantize_eight(doubled, mantissa, offset, shift), left);
        }
        a += stride;
        b += stride;
        dst += stride;
    }
}

#endif /* MW_KERNELS_AVX2_H */
