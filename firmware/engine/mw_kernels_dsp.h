/* Kernels of their own for Cortex-M cores with the DSP extension; what each does is said in
 * mw_kernels_portable.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by mw_kernels.h only. */
#ifndef MW_KERNELS_DSP_H
#define MW_KERNELS_DSP_H

#include <assert.h>
#include <stddef.h>

#include "mw_engine.h"

#define MW_OWN_REQUANTIZE_FOLDED
static inline int32_t mw_requantize_folded(int32_t doubled, const mw_scale *s) {
    /* SMMLAR: sum + round(a * b / 2^32). The ACLE has no intrinsic for it, and GCC 12 makes four
     * instructions of the C. */
    int32_t result;
    __asm__("smmlar %0, %1, %2, %3"
            : "=r"(result)
            : "r"(doubled), "r"(s->mantissa), "r"(s->offset - (doubled < 0 ? 1 : 0)));
    return mw_clamp8(result >> s->shift);
}

/* What the assembly below relies on. */
static_assert(offsetof(mw_conv, weights) == 0U, "mw_conv");
static_assert(offsetof(mw_conv, rows) == 4U, "mw_conv");
static_assert(offsetof(mw_conv, columns) == 8U, "mw_conv");
static_assert(offsetof(mw_rows, table) == 16U && offsetof(mw_rows, scales) == 20U, "mw_rows");
static_assert(sizeof(mw_rows) == 68U && sizeof(mw_scale) == 12U, "mw_rows");
static_assert(MW_BLOCK == 4U && MW_COLUMN_BLOCK == 8U, "blocks");

/* The eight columns of a turn of the loop, two at a time: for each pair of inputs in X, the weights
 * of four rows and four dual multiply-accumulates. */
#define MW_TWO_COLUMNS(X)              \
    "ldm    r0!, {r4-r7}            \n" \
    "smlad  r8, " X ", r4, r8       \n" \
    "smlad  r9, " X ", r5, r9       \n" \
    "smlad  r10, " X ", r6, r10     \n" \
    "smlad  r11, " X ", r7, r11     \n"

/* mw_requantize_folded, then the table, then the store. */
#define MW_FINISH(SUM)                                                     \
    "ldm    lr!, {r2, r3, r5}       \n" /* mantissa, offset, shift */       \
    "sub    r3, r3, " SUM ", lsr #31 \n"                                    \
    "smmlar " SUM ", " SUM ", r2, r3 \n"                                    \
    "asr    " SUM ", " SUM ", r5    \n"                                     \
    "ssat   " SUM ", #8, " SUM "    \n"                                     \
    "ldrsb  " SUM ", [r7, " SUM "]  \n"                                     \
    "strh   " SUM ", [r6], #2       \n"

/* In assembly because here the time goes, and because the compiler neither loads several words with
 * one instruction nor keeps 14 values in 14 registers. R on Cortex-M4, all else equal: 24.5 k
 * instructions a sample, with __smlad() in C 39.9 k.
 *
 *   r0 weights   r1 x   r2, r3 inputs   r4-r7 weights of four rows   r8-r11 sums   r12 end of x
 *   lr rows      on the stack: x, end of dst, dst */
#define MW_OWN_CONV_FOLDED
__attribute__((naked, noinline)) static void mw_conv_folded(
    __attribute__((unused)) const mw_conv *conv, __attribute__((unused)) const int16_t *x,
    __attribute__((unused)) int16_t *dst, __attribute__((unused)) uint32_t rows) {
    __asm__(
        "push   {r4-r11, lr}            \n"
        "mov    r4, r2                  \n" /* dst */
        "add    r3, r2, r3, lsl #1      \n" /* its end */
        "push   {r1, r3, r4}            \n"
        "ldrh   r12, [r0, #8]           \n"
        "ldrd   r0, lr, [r0]            \n"
        "add    r12, r1, r12, lsl #1    \n"

        "1:                             \n" /* four rows */
        "ldm    lr!, {r8-r11}           \n" /* biases */

        "2:                             \n" /* eight columns */
        "ldrd   r2, r3, [r1], #8        \n"
        MW_TWO_COLUMNS("r2")
        MW_TWO_COLUMNS("r3")
        "ldrd   r2, r3, [r1], #8        \n"
        MW_TWO_COLUMNS("r2")
        MW_TWO_COLUMNS("r3")
        "cmp    r1, r12                 \n"
        "bne    2b                      \n"

        "ldm    sp, {r1, r4, r6}        \n" /* x, end of dst, dst */
        "ldr    r7, [lr], #4            \n" /* table */
        MW_FINISH("r8")
        MW_FINISH("r9")
        MW_FINISH("r10")
        MW_FINISH("r11")
        "str    r6, [sp, #8]            \n"
        "cmp    r6, r4                  \n"
        "blo    1b                      \n"

        "add    sp, #12                 \n"
        "pop    {r4-r11, pc}            \n");
}

#endif /* MW_KERNELS_DSP_H */
