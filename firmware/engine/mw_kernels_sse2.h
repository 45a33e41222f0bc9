/* The one kernel of its own for x86 hosts: their compilers do not see the dual multiply-accumulate
 * in the portable form, and the native engine streams whole recordings.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by mw_kernels.h only. */
#ifndef MW_KERNELS_SSE2_H
#define MW_KERNELS_SSE2_H

#include <emmintrin.h>
#include <stddef.h>
#include <string.h>

#include "mw_engine.h"

#define MW_OWN_DOT_BLOCK
static inline const int16_t *mw_dot_block(const int16_t *x, const int16_t *weights,
                                          uint32_t columns, const int32_t bias[MW_BLOCK],
                                          int32_t sums[MW_BLOCK]) {
    __m128i sum = _mm_loadu_si128((const __m128i *)bias);
    for (uint32_t column = 0; column < columns; column += 2U) {
        int32_t pair;
        memcpy(&pair, x + column, sizeof pair);
        const __m128i rows = _mm_loadu_si128((const __m128i *)weights);
        sum = _mm_add_epi32(sum, _mm_madd_epi16(_mm_set1_epi32(pair), rows));
        weights += (size_t)2U * MW_BLOCK;
    }
    _mm_storeu_si128((__m128i *)sums, sum);
    return weights;
}

#endif /* MW_KERNELS_SSE2_H */
