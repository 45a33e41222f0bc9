/* Kernels of their own for Cortex-M cores with the DSP extension; what each does is said in
 * mw_kernels_portable.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by mw_kernels.h only. */
#ifndef MW_KERNELS_DSP_H
#define MW_KERNELS_DSP_H

#include <arm_acle.h>
#include <assert.h>

#include "mw_engine.h"

#define MW_OWN_REQUANTIZE_FOLDED
static inline int32_t mw_requantize_folded(int32_t doubled, int32_t mantissa, int32_t offset,
                                           int32_t shift) {
    /* SMMLAR: sum + round(a * b / 2^32). The ACLE has no intrinsic for it, and GCC 12 makes four
     * instructions of the C. */
    int32_t result;
    __asm__("smmlar %0, %1, %2, %3"
            : "=r"(result)
            : "r"(doubled), "r"(mantissa), "r"(offset - (doubled < 0 ? 1 : 0)));
    return mw_clamp8(result >> shift);
}

/* A word from memory of any alignment. __builtin_: a freestanding compiler calls memcpy otherwise. */
static inline uint32_t mw_load_word(const void *from) {
    uint32_t word;
    __builtin_memcpy(&word, from, sizeof word);
    return word;
}

static inline void mw_store_word(void *to, uint32_t word) {
    __builtin_memcpy(to, &word, sizeof word);
}

/* The lower, or upper, halves of two words in one; GCC 12 does not find the instructions. */
static inline uint32_t mw_lower(uint32_t first, uint32_t second) {
    uint32_t pair;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(pair) : "r"(first), "r"(second));
    return pair;
}

static inline uint32_t mw_upper(uint32_t first, uint32_t second) {
    uint32_t pair;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(pair) : "r"(second), "r"(first));
    return pair;
}

static inline int32_t mw_twice(int16_t value) {
    return (int32_t)mw_lower((uint32_t)value, (uint32_t)value);
}

/* Four values at a time, then what is left. */
#define MW_OWN_COPIES
static inline void mw_from_bytes(const int8_t *src, mw_value *dst, uint32_t count) {
    uint32_t i = 0;
    for (; i + 4U <= count; i += 4U) {
        const uint32_t bytes = mw_load_word(src + i);
        const uint32_t even = (uint32_t)__sxtb16((int32_t)bytes);
        const uint32_t odd = (uint32_t)__sxtb16((int32_t)(bytes >> 8 | bytes << 24));
        mw_store_word(dst + i, mw_lower(even, odd));
        mw_store_word(dst + i + 2U, mw_upper(even, odd));
    }
    for (; i < count; ++i) {
        dst[i] = (mw_value)src[i];
    }
}

static inline void mw_store_newest(const mw_value *src, mw_value *dst, int8_t *line,
                                   uint32_t count) {
    uint32_t i = 0;
    for (; i + 4U <= count; i += 4U) {
        const uint32_t first = mw_load_word(src + i);
        const uint32_t second = mw_load_word(src + i + 2U);
        mw_store_word(dst + i, first);
        mw_store_word(dst + i + 2U, second);
        const uint32_t even = __uxtb16(mw_lower(first, second));
        const uint32_t odd = __uxtb16(mw_upper(first, second));
        mw_store_word(line + i, even | odd << 8);
    }
    for (; i < count; ++i) {
        dst[i] = src[i];
        line[i] = (int8_t)src[i];
    }
}

/* Two values at a time. */
#define MW_OWN_MULTIPLY_FOLDED
static MW_NO_INLINE void mw_multiply_folded(const mw_mul *mul, const mw_value *a,
                                            const mw_value *b, mw_value *dst, uint32_t count) {
    const mw_scale s = mul->scale;
    const int32_t a_offset = mw_twice(mul->a_offset);
    const int32_t b_offset = mw_twice(mul->b_offset);
    const mw_value *const end = dst + count;
    do {
        MW_UNROLL for (uint32_t i = 0; i < MW_BLOCK; i += 2U) {
            const int32_t x = __sadd16((int32_t)mw_load_word(a + i), a_offset);
            const int32_t y = __sadd16((int32_t)mw_load_word(b + i), b_offset);
            const int32_t doubled = __sadd16(y, y);
            const int32_t first = mw_requantize_folded((int16_t)x * (int16_t)doubled, s.mantissa,
                                                       s.offset, s.shift);
            const int32_t second = mw_requantize_folded((x >> 16) * (doubled >> 16), s.mantissa,
                                                        s.offset, s.shift);
            mw_store_word(dst + i, mw_lower((uint32_t)first, (uint32_t)second));
        }
        a += MW_BLOCK;
        b += MW_BLOCK;
        dst += MW_BLOCK;
    } while (dst < end);
}

/* What the assembly below relies on, beside the tables' layout. */
static_assert(MW_BLOCK == 4U && MW_COLUMN_BLOCK == 8U, "blocks");

/* The eight columns of a turn of the loop, two at a time: for each pair of inputs in X, the weights
 * of four rows and four dual multiply-accumulates. */
#define MW_TWO_COLUMNS(X)              \
    "ldm    r0!, {r4-r7}            \n" \
    "smlad  r8, " X ", r4, r8       \n" \
    "smlad  r9, " X ", r5, r9       \n" \
    "smlad  r10, " X ", r6, r10     \n" \
    "smlad  r11, " X ", r7, r11     \n"

/* In assembly because here the time goes, and because the compiler neither loads several words with
 * one instruction nor keeps 14 values in 14 registers. R on Cortex-M4, all else equal: 24.5 k
 * instructions a sample, with __smlad() in C 39.9 k.
 *
 *   r0 weights   r1 x   r2, r3 inputs   r4-r7 weights of four rows   r8-r11 sums   r12 end of x
 *   lr rows      on the stack: x, dst, end of dst, end of x */
#define MW_OWN_CONV_FOLDED
__attribute__((naked, noinline)) static void mw_conv_folded(
    __attribute__((unused)) const mw_conv *conv, __attribute__((unused)) const int16_t *x,
    __attribute__((unused)) int16_t *dst, __attribute__((unused)) uint32_t rows) {
    __asm__(
        "push   {r4-r11, lr}            \n"
        "add    r3, r2, r3, lsl #1      \n" /* end of dst */
        "ldrh   r12, [r0, #8]           \n"
        "ldrd   r0, lr, [r0]            \n"
        "add    r12, r1, r12, lsl #1    \n"
        "push   {r1, r2, r3, r12}       \n"

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

        /* mw_requantize_folded of the four sums, then the table. */
        "ldm    lr!, {r2-r5}            \n" /* offsets */
        "sub    r2, r2, r8, lsr #31     \n"
        "sub    r3, r3, r9, lsr #31     \n"
        "sub    r4, r4, r10, lsr #31    \n"
        "sub    r5, r5, r11, lsr #31    \n"
        "ldm    lr!, {r1, r6, r7, r12}  \n" /* mantissas */
        "smmlar r8, r8, r1, r2          \n"
        "smmlar r9, r9, r6, r3          \n"
        "smmlar r10, r10, r7, r4        \n"
        "smmlar r11, r11, r12, r5       \n"
        "ldm    lr!, {r2-r6}            \n" /* shifts, table */
        "asr    r8, r8, r2              \n"
        "asr    r9, r9, r3              \n"
        "asr    r10, r10, r4            \n"
        "asr    r11, r11, r5            \n"
        "ssat   r8, #8, r8              \n"
        "ssat   r9, #8, r9              \n"
        "ssat   r10, #8, r10            \n"
        "ssat   r11, #8, r11            \n"
        "ldrsb  r8, [r6, r8]            \n"
        "ldrsb  r9, [r6, r9]            \n"
        "ldrsb  r10, [r6, r10]          \n"
        "ldrsb  r11, [r6, r11]          \n"
        "ldm    sp, {r1, r2, r3, r12}   \n" /* x, dst, its end, end of x */
        "pkhbt  r8, r8, r9, lsl #16     \n"
        "pkhbt  r9, r10, r11, lsl #16   \n"
        "strd   r8, r9, [r2], #8        \n"
        "str    r2, [sp, #4]            \n"
        "cmp    r2, r3                  \n"
        "blo    1b                      \n"

        "add    sp, #16                 \n"
        "pop    {r4-r11, pc}            \n");
}

#endif /* MW_KERNELS_DSP_H */
