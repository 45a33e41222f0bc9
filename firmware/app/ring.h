/* A byte ring between one writer and one reader, one of which may be an interrupt.
 *
 * Wait-free. Indices run freely and wrap at 2^32, so full and empty differ without a lost byte. */
#ifndef MW_RING_H
#define MW_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint8_t *bytes;
    uint32_t size; /* a power of two */
    atomic_uint_least32_t written;
    atomic_uint_least32_t read;
} mw_ring;

/* Makes `ring` an empty ring over `bytes`, which stay the caller's; `size` is a power of two. */
static inline void mw_ring_init(mw_ring *ring, uint8_t *bytes, uint32_t size) {
    ring->bytes = bytes;
    ring->size = size;
    atomic_init(&ring->written, 0u);
    atomic_init(&ring->read, 0u);
}

/* Bytes waiting to be read. Safe from either side. */
static inline uint32_t mw_ring_used(const mw_ring *ring) {
    return atomic_load_explicit(&ring->written, memory_order_acquire) -
           atomic_load_explicit(&ring->read, memory_order_acquire);
}

/* Bytes that can be written now. Safe from either side. */
static inline uint32_t mw_ring_room(const mw_ring *ring) {
    return ring->size - mw_ring_used(ring);
}

/* Writer: adds all `length` bytes or, when they do not fit, none and returns false. */
static inline bool mw_ring_write(mw_ring *ring, const uint8_t *bytes, uint32_t length) {
    if (mw_ring_room(ring) < length) {
        return false;
    }
    uint32_t at = atomic_load_explicit(&ring->written, memory_order_relaxed);
    for (uint32_t i = 0; i < length; i++) {
        ring->bytes[(at + i) & (ring->size - 1u)] = bytes[i];
    }
    atomic_store_explicit(&ring->written, at + length, memory_order_release);
    return true;
}

/* Reader: takes the oldest byte; false when there is none. */
static inline bool mw_ring_read(mw_ring *ring, uint8_t *byte) {
    if (mw_ring_used(ring) == 0u) {
        return false;
    }
    uint32_t at = atomic_load_explicit(&ring->read, memory_order_relaxed);
    *byte = ring->bytes[at & (ring->size - 1u)];
    atomic_store_explicit(&ring->read, at + 1u, memory_order_release);
    return true;
}

#endif
