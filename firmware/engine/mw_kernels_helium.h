/* Kernels of their own for cores with Helium (Cortex-M55, M85); what each does is said in
 * mw_kernels_portable.h. Values and weights are bytes here (MW_BYTE_WEIGHTS).
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by mw_kernels.h only. */
#ifndef MW_KERNELS_HELIUM_H
#define MW_KERNELS_HELIUM_H

#include <arm_mve.h>
#include <assert.h>

#include "mw_engine.h"

/* What the assembly below relies on, beside the tables' layout. */
static_assert(MW_BLOCK == 4U && MW_COLUMN_BLOCK == 16U && MW_COLUMN_GROUP == 16U, "blocks");

/* dst = src, a loop whose last turn takes what is left: GCC 12 makes none of the intrinsics. */
static inline void mw_copy_bytes(const int8_t *src, int8_t *dst, uint32_t count) {
    __asm volatile(
        "wlstp.8   lr, %2, 2f       \n"
        "1:                         \n"
        "vldrb.8   q0, [%0], #16    \n"
        "vstrb.8   q0, [%1], #16    \n"
        "letp      lr, 1b           \n"
        "2:                         \n"
        : "+r"(src), "+r"(dst)
        : "r"(count)
        : "lr", "q0", "memory");
}

#define MW_OWN_COPIES
#define MW_OWN_TO_BYTES
static inline void mw_from_bytes(const int8_t *src, mw_value *dst, uint32_t count) {
    mw_copy_bytes(src, dst, count);
}

static inline void mw_to_bytes(const mw_value *src, int8_t *dst, uint32_t count) {
    mw_copy_bytes(src, dst, count);
}

static inline void mw_store_newest(const mw_value *src, mw_value *dst, int8_t *line,
                                   uint32_t count) {
    __asm volatile(
        "wlstp.8   lr, %3, 2f       \n"
        "1:                         \n"
        "vldrb.8   q0, [%0], #16    \n"
        "vstrb.8   q0, [%1], #16    \n"
        "vstrb.8   q0, [%2], #16    \n"
        "letp      lr, 1b           \n"
        "2:                         \n"
        : "+r"(src), "+r"(dst), "+r"(line)
        : "r"(count)
        : "lr", "q0", "memory");
}

#define MW_OWN_DOT_BLOCK
static inline const mw_weight *mw_dot_block(const mw_value *x, const mw_weight *weights,
                                            uint32_t columns, const int32_t biases[MW_BLOCK],
                                            int32_t sums[MW_BLOCK]) {
    for (uint32_t i = 0; i < MW_BLOCK; ++i) {
        sums[i] = biases[i];
    }
    for (uint32_t column = 0; column < columns; column += MW_COLUMN_GROUP) {
        const int8x16_t inputs = vldrbq_s8(x + column);
        for (uint32_t i = 0; i < MW_BLOCK; ++i) {
            sums[i] = vmladavaq_s8(sums[i], inputs, vldrbq_s8(weights));
            weights += MW_COLUMN_GROUP;
        }
    }
    return weights;
}

/* Weights of the next sixteen columns of four rows times those of x in X, added to the sums. */
#define MW_SIXTEEN_COLUMNS(X)               \
    "vldrb.8   q0, [r0], #16             \n" \
    "vmladava.s8 r4, q0, " X "           \n" \
    "vldrb.8   q1, [r0], #16             \n" \
    "vmladava.s8 r6, q1, " X "           \n" \
    "vldrb.8   q0, [r0], #16             \n" \
    "vmladava.s8 r8, q0, " X "           \n" \
    "vldrb.8   q1, [r0], #16             \n" \
    "vmladava.s8 r10, q1, " X "          \n"

#define MW_BIASES "ldm       r7!, {r4, r6, r8, r10}    \n"

/* From the four sums to dst: (offset - (x < 0) + round(2 * x * mantissa / 2^32)) >> shift, limited,
 * then the table. VQRDMULH is the rounded upper half of the doubled product. */
#define MW_FINISH                           \
    "vmov      q0[2], q0[0], r4, r8      \n" \
    "vmov      q0[3], q0[1], r6, r10     \n" \
    "vldrw.32  q1, [r7], #16             \n" /* offsets */ \
    "vldrw.32  q2, [r7], #16             \n" /* mantissas */ \
    "vshr.s32  q3, q0, #31               \n" \
    "vadd.i32  q1, q1, q3                \n" \
    "vldrw.32  q3, [r7], #16             \n" /* shifts */ \
    "ldr       r9, [r7], #4              \n" /* table */ \
    "vqrdmulh.s32 q0, q0, q2             \n" \
    "vneg.s32  q3, q3                    \n" \
    "vadd.i32  q0, q0, q1                \n" \
    "vshl.s32  q0, q0, q3                \n" \
    "vmin.s32  q0, q0, q4                \n" \
    "vmax.s32  q0, q0, q5                \n" \
    "vldrb.s32 q1, [r9, q0]              \n" \
    "vstrb.32  q1, [r2], #4              \n"

/* The four rows of a block at once. Up to 32 columns x stays in registers and the loop over columns
 * is written out: R on Cortex-M55, all else equal, 8.8 k instructions a sample instead of 9.7 k.
 *
 *   r0 weights   r1 x   r2 dst   r3 its end   r4, r6, r8, r10 sums   r5 x at its beginning
 *   r7 rows   r9 table   r12 groups of columns   q4, q5 limits of int8   q6, q7 x */
#define MW_OWN_CONV_FOLDED
__attribute__((naked, noinline)) static void mw_conv_folded(
    __attribute__((unused)) const mw_conv *conv, __attribute__((unused)) const int8_t *x,
    __attribute__((unused)) int8_t *dst, __attribute__((unused)) uint32_t rows) {
    __asm__(
        "push      {r4-r10, lr}              \n"
        "vpush     {d8-d15}                  \n"
        "ldrh      r12, [r0, #8]             \n"
        "ldrd      r0, r7, [r0]              \n"
        "mov       r4, #127                  \n"
        "vdup.32   q4, r4                    \n"
        "mvn       r4, r4                    \n"
        "vdup.32   q5, r4                    \n"
        "lsr       r12, r12, #4              \n"
        "cmp       r12, #2                   \n"
        "bhi       3f                        \n"

        "vldrb.8   q6, [r1], #16             \n"
        "add       r3, r3, #3                \n"
        "lsr       r3, r3, #2                \n" /* blocks of rows */
        "dls       lr, r3                    \n"
        "beq       2f                        \n"

        "1:                                  \n" /* 16 columns */
        MW_BIASES
        MW_SIXTEEN_COLUMNS("q6")
        MW_FINISH
        "le        lr, 1b                    \n"
        "b         9f                        \n"

        "2:                                  \n" /* 32 columns */
        "vldrb.8   q7, [r1]                  \n"
        "4:                                  \n"
        MW_BIASES
        MW_SIXTEEN_COLUMNS("q6")
        MW_SIXTEEN_COLUMNS("q7")
        MW_FINISH
        "le        lr, 4b                    \n"
        "b         9f                        \n"

        "3:                                  \n" /* more */
        "add       r3, r2, r3                \n"
        "mov       r5, r1                    \n"
        "5:                                  \n"
        MW_BIASES
        "mov       r1, r5                    \n"
        "dls       lr, r12                   \n"
        "6:                                  \n"
        "vldrb.8   q6, [r1], #16             \n"
        MW_SIXTEEN_COLUMNS("q6")
        "le        lr, 6b                    \n"
        MW_FINISH
        "cmp       r2, r3                    \n"
        "blo       5b                        \n"

        "9:                                  \n"
        "vpop      {d8-d15}                  \n"
        "pop       {r4-r10, pc}              \n");
}

/* x limited to int8, four at a time. */
#define MW_CLAMP_VECTOR(X) vminq_s32(vmaxq_s32((X), vdupq_n_s32(-128)), vdupq_n_s32(127))

/* dst = a + b in the short form, four values a turn. */
#define MW_OWN_SUM
static MW_NO_INLINE void mw_sum_vectors(const mw_sum *sum, const mw_value *a, const mw_value *b,
                                        mw_value *dst, uint32_t count) {
    const mw_sum s = *sum;
    const int32_t shift = -(int32_t)s.shift;
    const mw_value *const end = dst + count;
    do {
        int32x4_t x = vmulq_n_s32(vldrbq_s32(a), s.a);
        x = vmlaq_n_s32(x, vldrbq_s32(b), s.b);
        x = vshlq_r_s32(vaddq_n_s32(x, s.offset), shift);
        vstrbq_s32(dst, MW_CLAMP_VECTOR(x));
        a += MW_BLOCK;
        b += MW_BLOCK;
        dst += MW_BLOCK;
    } while (dst < end);
}

#define MW_OWN_MULTIPLY_FOLDED
static MW_NO_INLINE void mw_multiply_folded(const mw_mul *mul, const mw_value *a,
                                            const mw_value *b, mw_value *dst, uint32_t count) {
    const mw_mul m = *mul;
    const int32_t shift = -m.scale.shift;
    const mw_value *const end = dst + count;
    do {
        const int32x4_t x = vmulq_s32(vaddq_n_s32(vldrbq_s32(a), m.a_offset),
                                      vaddq_n_s32(vldrbq_s32(b), m.b_offset));
        int32x4_t y = vaddq_s32(vqrdmulhq_n_s32(x, m.scale.mantissa), vshrq_n_s32(x, 31));
        y = vshlq_r_s32(vaddq_n_s32(y, m.scale.offset), shift);
        vstrbq_s32(dst, MW_CLAMP_VECTOR(y));
        a += MW_BLOCK;
        b += MW_BLOCK;
        dst += MW_BLOCK;
    } while (dst < end);
}

#endif /* MW_KERNELS_HELIUM_H */
