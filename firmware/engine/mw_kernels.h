/* Inner loops of the engine, in the form that suits the core.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Chosen here and nowhere else, at compile time: a form takes the kernels it has of its own and the
 * portable ones for the rest. The DSP form serves Cortex-M4, M7 and M33, the Helium form M55 and
 * M85, SSE2 and AVX2 x86 hosts; MW_KERNELS_PORTABLE turns all off. The portable kernels are the
 * specification; tests compare the others with them bit for bit. Private to mw_engine.c. */
#ifndef MW_KERNELS_H
#define MW_KERNELS_H

#include <assert.h>
#include <stddef.h>

#include "mw_engine.h"

/* One function a kind of step: each then has the few registers of a small core to itself. */
#ifdef __GNUC__
#define MW_NO_INLINE __attribute__((noinline))
#define MW_INLINE inline __attribute__((always_inline))
#define MW_UNROLL _Pragma("GCC unroll 4")
#else
#define MW_NO_INLINE
#define MW_INLINE inline
#define MW_UNROLL
#endif

/* x limited to int8. One SSAT: GCC 12 compares and selects instead (six instructions), and the
 * ACLE's __ssat does not compile with -Wconversion there. */
#if defined(__ARM_FEATURE_SAT) && !defined(MW_KERNELS_PORTABLE)
static inline int32_t mw_clamp8(int32_t x) {
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(x));
    return result;
}
#else
static inline int32_t mw_clamp8(int32_t x) {
    const int32_t at_least = x < -128 ? -128 : x;
    return at_least > 127 ? 127 : at_least;
}
#endif

#ifdef __arm__
/* Where the kernels in assembly find what. */
static_assert(offsetof(mw_conv, weights) == 0U && offsetof(mw_conv, rows) == 4U &&
                  offsetof(mw_conv, columns) == 8U,
              "mw_conv");
static_assert(offsetof(mw_rows, offsets) == 16U && offsetof(mw_rows, mantissas) == 32U &&
                  offsetof(mw_rows, shifts) == 48U && offsetof(mw_rows, table) == 64U &&
                  sizeof(mw_rows) == 68U,
              "mw_rows");
#endif

#ifdef MW_KERNELS_PORTABLE
#elif defined(MW_BYTE_WEIGHTS)
#include "mw_kernels_helium.h"
#elif defined(__ARM_FEATURE_DSP)
#include "mw_kernels_dsp.h"
#elif defined(__ARM_ARCH_6M__)
#include "mw_kernels_thumb1.h"
#elif defined(__SSE2__)
#include "mw_kernels_sse2.h"
#ifdef __AVX2__
#include "mw_kernels_avx2.h"
#endif
#endif
#include "mw_kernels_portable.h"

#endif /* MW_KERNELS_H */
