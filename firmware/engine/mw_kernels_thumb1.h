/* Kernels of their own for ARMv6-M (Cortex-M0+): no 64-bit product, loads of 16 bits only from a sum
 * of two registers, and eight registers most instructions can name.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by mw_kernels.h only. */
#ifndef MW_KERNELS_THUMB1_H
#define MW_KERNELS_THUMB1_H

#include "mw_engine.h"

/* round(x * m / 2^32) from four products of 16-bit halves. */
#define MW_OWN_HIGH_PRODUCT
static inline int32_t mw_high_product(int32_t x, int32_t m) {
    const int32_t x_high = x >> 16;
    const int32_t m_high = m >> 16; /* 0 .. 2^15 - 1 */
    const int32_t x_low = (uint16_t)x;
    const int32_t m_low = (uint16_t)m;
    const uint32_t low = (uint32_t)x_low * (uint32_t)m_low;
    const int32_t left = x_high * m_low;
    const int32_t right = x_low * m_high;
    const int32_t carry =
        (uint16_t)left + (uint16_t)right + (int32_t)(low >> 16) + (int32_t)(1U << 15);
    return x_high * m_high + (left >> 16) + (right >> 16) + (carry >> 16);
}

/* One row's pair of weights in W times the inputs in r2 and r3, added to SUM. */
#define MW_ROW(W, SUM)         \
    "sxth   r6, " W "       \n" \
    "muls   r6, r2, r6      \n" \
    "add    " SUM ", r6     \n" \
    "asrs   " W ", " W ", #16 \n" \
    "muls   " W ", r3, " W " \n" \
    "add    " SUM ", " W "  \n"

/* Two columns of four rows. */
#define MW_TWO_COLUMNS         \
    "ldm    %[x]!, {r3}     \n" \
    "sxth   r2, r3          \n" \
    "asrs   r3, r3, #16     \n" \
    "ldm    %[w]!, {r4, r5} \n" \
    MW_ROW("r4", "r8")         \
    MW_ROW("r5", "r9")         \
    "ldm    %[w]!, {r4, r5} \n" \
    MW_ROW("r4", "r10")        \
    MW_ROW("r5", "r11")

/* In assembly because the compiler does not keep the sums in the upper registers, which can be added
 * to at no cost. R on Cortex-M0+, all else equal: see firmware/engine/README.md. */
#define MW_OWN_DOT_BLOCK
static inline const mw_weight *mw_dot_block(const mw_value *x, const mw_weight *weights,
                                            uint32_t columns, const int32_t biases[MW_BLOCK],
                                            int32_t sums[MW_BLOCK]) {
    register int32_t sum0 __asm__("r8") = biases[0];
    register int32_t sum1 __asm__("r9") = biases[1];
    register int32_t sum2 __asm__("r10") = biases[2];
    register int32_t sum3 __asm__("r11") = biases[3];
    register const mw_value *end __asm__("r12") = x + columns;
    __asm__(".syntax unified         \n" /* GCC takes the old one here */
            "1:                      \n"
            MW_TWO_COLUMNS
            MW_TWO_COLUMNS
            MW_TWO_COLUMNS
            MW_TWO_COLUMNS
            "cmp    %[x], %[end]     \n"
            "bne    1b               \n"
            : [x] "+l"(x), [w] "+l"(weights), "+h"(sum0), "+h"(sum1), "+h"(sum2), "+h"(sum3)
            : [end] "h"(end)
            : "r2", "r3", "r4", "r5", "r6", "cc", "memory");
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
    return weights;
}

#endif /* MW_KERNELS_THUMB1_H */
