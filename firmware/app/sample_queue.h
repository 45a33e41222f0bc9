/* The queue of raw samples between the sample interrupt and the main loop.
 *
 * One writer (the interrupt), one reader (the main loop), wait-free. */
#ifndef MW_SAMPLE_QUEUE_H
#define MW_SAMPLE_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define MW_IMU_CHANNELS 6u
#ifndef MW_SAMPLE_QUEUE_SIZE
#define MW_SAMPLE_QUEUE_SIZE 128u /* a power of two: 128 ms at 1 kHz */
#endif

typedef struct {
    uint64_t time_us;                /* device time of the tick */
    uint32_t tick;                   /* ticks since start; a jump is a gap */
    int16_t counts[MW_IMU_CHANNELS]; /* acc x y z, gyro x y z */
} mw_sample;

typedef struct {
    mw_sample samples[MW_SAMPLE_QUEUE_SIZE];
    atomic_uint_least32_t written;
    atomic_uint_least32_t read;
} mw_sample_queue;

/* Empties the queue. Not while the sample clock runs. */
static inline void mw_sample_queue_init(mw_sample_queue *queue) {
    atomic_init(&queue->written, 0u);
    atomic_init(&queue->read, 0u);
}

/* Samples waiting. Safe from either side. */
static inline uint32_t mw_sample_queue_used(const mw_sample_queue *queue) {
    return atomic_load_explicit(&queue->written, memory_order_acquire) -
           atomic_load_explicit(&queue->read, memory_order_acquire);
}

/* Writer: adds one sample; false, and nothing added, when the queue is full. */
static inline bool mw_sample_queue_put(mw_sample_queue *queue, const mw_sample *sample) {
    if (mw_sample_queue_used(queue) == MW_SAMPLE_QUEUE_SIZE) {
        return false;
    }
    uint32_t at = atomic_load_explicit(&queue->written, memory_order_relaxed);
    queue->samples[at & (MW_SAMPLE_QUEUE_SIZE - 1u)] = *sample;
    atomic_store_explicit(&queue->written, at + 1u, memory_order_release);
    return true;
}

/* Reader: takes the oldest sample; false when there is none. */
static inline bool mw_sample_queue_get(mw_sample_queue *queue, mw_sample *sample) {
    if (mw_sample_queue_used(queue) == 0u) {
        return false;
    }
    uint32_t at = atomic_load_explicit(&queue->read, memory_order_relaxed);
    *sample = queue->samples[at & (MW_SAMPLE_QUEUE_SIZE - 1u)];
    atomic_store_explicit(&queue->read, at + 1u, memory_order_release);
    return true;
}

#endif
