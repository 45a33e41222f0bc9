/* An IMU at the far end of a byte stream: the sensor of the emulated boards and of `native`.
 *
 * The far end (host/myowave/virtual.py) sends a recording's raw counts in imu_samples frames ahead
 * of time; the FIFO here holds them until their tick, as the FIFO of a real IMU would. The board's
 * sample clock is the only clock: imu_credit frames tell the far end how far it is.
 *
 * When the clock stops, the recording is rewound: a credit with a new `play` asks for it from its
 * first sample, so that the FIFO is full again when the clock starts, and what was still on its way
 * is told apart by its old `play`.
 *
 * A tick whose sample is not there yet is held back for a while, since the far end is a process that
 * may have to wait for its turn; the tick keeps its time. It is missed when a later sample is there
 * or the wait is over; a sample that comes after that is thrown away.
 *
 * A board that is a process may itself have to wait for its turn. All ticks due meanwhile at once
 * would be more than its serial line takes, so a port may have them served one by one. */
#ifndef MW_STREAM_IMU_H
#define MW_STREAM_IMU_H

#include <stdbool.h>
#include <stdint.h>

#include "app.h"

#define MW_STREAM_IMU_TX_SIZE 256u
/* How late a sample may come. Held back ticks also wait in the FIFO: 1024 of them are 1 s. */
#define MW_STREAM_IMU_PATIENCE_US 500000u
/* How late a tick is that is no longer served at once, where a port wishes so. */
#define MW_STREAM_IMU_LATE_US 20000u
/* Ticks between two credits: rare enough to cost nothing, often against the 1024 of the window. */
#define MW_STREAM_IMU_CREDIT_TICKS 32u

typedef struct {
    mw_app *app;
    mw_wire_decoder decoder;
    int16_t fifo[MW_WIRE_IMU_WINDOW][MW_IMU_CHANNELS]; /* sample i at i % MW_WIRE_IMU_WINDOW */
    bool filled[MW_WIRE_IMU_WINDOW];
    uint8_t play;      /* how often the recording has begun anew */
    uint32_t next;     /* index of the sample the next tick takes */
    uint32_t received; /* index after the newest sample here, never below next */
    uint32_t end;      /* index after the last sample there is */
    uint64_t due_us;   /* when the next tick is due */
    uint32_t period_us;
    uint32_t catch_up_us; /* time between late ticks; 0 serves them at once */
    uint64_t served_us;   /* when the last tick was served */
    uint16_t sequence;
    mw_ring tx; /* bytes for the far end */
    uint8_t tx_storage[MW_STREAM_IMU_TX_SIZE];
} mw_stream_imu;

/* Prepares the link and queues the first credit. */
void mw_stream_imu_init(mw_stream_imu *imu, mw_app *app);

/* The sample clock starts at `now_us`: the first tick is one period later. */
void mw_stream_imu_start(mw_stream_imu *imu, uint64_t now_us, uint32_t period_us);

/* The sample clock has stopped, interrupts masked: the next start takes the first sample again. */
void mw_stream_imu_stop(mw_stream_imu *imu);

/* When the next tick is to be served: once it is due, or later while catching up. */
uint64_t mw_stream_imu_next_us(const mw_stream_imu *imu, uint64_t now_us);

/* Interrupt: serves every tick due by `now_us`, in order. Ticks the application's queue has no room
 * for stay due, since the FIFO keeps their samples. At most MW_SAMPLE_QUEUE_SIZE ticks a call. */
void mw_stream_imu_serve(mw_stream_imu *imu, uint64_t now_us);

/* Whether the next tick can be answered without waiting: its sample is here, or the end is. */
bool mw_stream_imu_ready(const mw_stream_imu *imu);

/* Interrupt: a byte came from the far end. */
void mw_stream_imu_on_byte(mw_stream_imu *imu, uint8_t byte);

#endif
