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

/* The offsets the assembly below uses. */
static_assert(offsetof(mw_conv, weights) == 0U, "mw_conv");
static_assert(offsetof(mw_conv, rows) == 4U, "mw_conv");
static_assert(offsetof(mw_conv, table) == 8U, "mw_conv");
static_assert(offsetof(mw_conv, columns) == 12U, "mw_conv");
static_assert(sizeof(mw_rows) == 64U && MW_BLOCK == 4U && MW_COLUMN_BLOCK == 8U, "mw_rows");

/* In assembly because it is where the time goes, and because the compiler neither loads several
 * words with one instruction nor keeps 14 values in 14 registers. R on Cortex-M4, all else equal:
 * intrinsics 40 k instructions a sample, this 24 k. One pass computes four rows: each pair of
 * inputs is loaded once for four dual multiply-accumulates, each LDM brings the weights of four.
 *
 *   r0 weights   r1 x   r2, r3 inputs   r4-r7 weights of four rows   r8-r11 sums   r12 end of x
 *   lr rows      on the stack: x, dst, table + 128, end of dst */
#define MW_OWN_CONV_FOLDED
__attribute__((naked, noinline)) static void mw_conv_folded(
    __attribute__((unused)) const mw_conv *conv, __attribute__((unused)) const int16_t *x,
    __attribute__((unused)) int16_t *dst, __attribute__((unused)) uint32_t rows) {
    __asm__(
        "push   {r4-r11, lr}            \n"
        "add    r3, r2, r3, lsl #1      \n" /* end of dst */
        "ldrh   r12, [r0, #12]          \n"
        "ldr    lr, [r0, #4]            \n"
        "ldr    r5, [r0, #8]            \n"
        "ldr    r0, [r0, #0]            \n"
        "add    r12, r1, r12, lsl #1    \n"
        "add    r5, r5, #128            \n"
        "mov    r4, r2                  \n"
        "push   {r1, r4, r5}            \n" /* x, dst, table + 128 */
        "mov    r2, r3                  \n"
        "push   {r2}                    \n"

        "1:                             \n" /* a block of rows */
        "ldm    lr!, {r8-r11}           \n" /* biases */

        "2:                             \n" /* eight columns */
        "ldrd   r2, r3, [r1], #8        \n"
        "ldm    r0!, {r4-r7}            \n"
        "smlad  r8, r2, r4, r8          \n"
        "smlad  r9, r2, r5, r9          \n"
        "smlad  r10, r2, r6, r10        \n"
        "smlad  r11, r2, r7, r11        \n"
        "ldm    r0!, {r4-r7}            \n"
        "smlad  r8, r3, r4, r8          \n"
        "smlad  r9, r3, r5, r9          \n"
        "smlad  r10, r3, r6, r10        \n"
        "smlad  r11, r3, r7, r11        \n"
        "ldrd   r2, r3, [r1], #8        \n"
        "ldm    r0!, {r4-r7}            \n"
        "smlad  r8, r2, r4, r8          \n"
        "smlad  r9, r2, r5, r9          \n"
        "smlad  r10, r2, r6, r10        \n"
        "smlad  r11, r2, r7, r11        \n"
        "ldm    r0!, {r4-r7}            \n"
        "smlad  r8, r3, r4, r8          \n"
        "smlad  r9, r3, r5, r9          \n"
        "smlad  r10, r3, r6, r10        \n"
        "smlad  r11, r3, r7, r11        \n"
        "cmp    r1, r12                 \n"
        "bne    2b                      \n"

        "ldm    sp, {r4, r5, r6, r7}    \n" /* end of dst, x, dst, table + 128 */
        "mov    r1, r5                  \n"
        ".macro mw_finish sum           \n" /* as mw_requantize_folded, then the table */
        "ldm    lr!, {r2, r3, r5}       \n" /* mantissa, offset, shift */
        "add    r3, r3, \\sum, asr #31 \n"
        "smmlar \\sum, \\sum, r2, r3 \n"
        "asr    \\sum, \\sum, r5    \n"
        "ssat   \\sum, #8, \\sum    \n"
        "ldrsb  \\sum, [r7, \\sum]  \n"
        "strh   \\sum, [r6], #2       \n"
        ".endm                          \n"
        "mw_finish r8                   \n"
        "mw_finish r9                   \n"
        "mw_finish r10                  \n"
        "mw_finish r11                  \n"
        ".purgem mw_finish              \n"
        "str    r6, [sp, #8]            \n"
        "cmp    r6, r4                  \n"
        "blo    1b                      \n"

        "add    sp, #16                 \n"
        "pop    {r4-r11, pc}            \n");
}

#endif /* MW_KERNELS_DSP_H */
