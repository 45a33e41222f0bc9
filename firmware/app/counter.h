/* Counters that an interrupt writes and the main loop reads. */
#ifndef MW_COUNTER_H
#define MW_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

/* Each counter has one interrupt that writes it, which the main loop cannot interrupt, or masks when
 * it writes; ARMv6-M has no atomic addition. */
static inline void mw_count_one(atomic_uint_least32_t *counter) {
    atomic_store(counter, atomic_load(counter) + 1u);
}

static inline void mw_keep_largest(atomic_uint_least32_t *counter, uint32_t value) {
    if (value > atomic_load(counter)) {
        atomic_store(counter, value);
    }
}

#endif
