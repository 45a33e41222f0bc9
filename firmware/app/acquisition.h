/* Acquisition: from a sample clock and an IMU on a register bus to one tick a period.
 *
 * A state machine without hardware. It stands between a port's interrupts, the IMU's driver and the
 * application: the port owns one mw_acquisition beside its mw_app, calls the functions here and
 * implements those under "port". Boards whose samples come another way (stream_imu.h) do without.
 *
 * Every tick of the clock becomes exactly one call of mw_app_on_tick, in order: with the sample that
 * was read for it, or with none. What was not measured is never made up. Every fault is counted
 * (mw_faults, in the statistics frame), reported as a text frame, at most one a second, and
 * recovered from: a NACK alone by trying again at the next tick; a stuck bus, lost arbitration, a
 * burst that does not end and repeated NACKs by freeing the bus; an IMU found without its
 * configuration by sending it again; a data-ready line that has gone silent by going on with the
 * port's own timer. Ticks that pass meanwhile have no sample.
 *
 * An IMU whose output stays the same for MW_FROZEN_SAMPLES bursts is taken for frozen and configured
 * anew: sensor noise alone changes some of six 16-bit numbers. Tests must feed noise as well. */
#ifndef MW_ACQUISITION_H
#define MW_ACQUISITION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "app.h"
#include "bus.h"
#include "imu.h"

#define MW_FROZEN_SAMPLES 25u

/* ---- Port: what a board with a real IMU implements ------------------------------------------- */

/* The bus, for set-up and recovery. Only used while no burst is under way. */
const mw_bus *mw_port_bus(void);

/* Starts a read by DMA of `length` registers from `first_register` on. Its end is told by
 * mw_acquisition_on_burst. Returns false when the bus is busy: then no end is told. */
bool mw_port_burst_start(uint8_t address, uint8_t first_register, uint8_t length);

/* Ends the burst under way, if any: no mw_acquisition_on_burst comes for it once this returns. */
void mw_port_burst_abort(void);

/* ---- State ----------------------------------------------------------------------------------- */

typedef struct {
    mw_app *app; /* set by the port before anything is called; all else starts as zero */
    mw_imu imu;
    bool found;            /* the IMU answered and took its configuration */
    bool data_ready_failed; /* the line has gone silent once: the timer is the clock since */

    /* The clock's interrupt writes these, all others read. */
    atomic_uint_least32_t ticks;      /* of the clock since start */
    atomic_uint_least32_t burst_tick; /* number of the tick, from 1, whose burst is under way */
    atomic_bool in_flight;
    atomic_bool refused;  /* the port could not start a burst */
    uint64_t stamp_us[2]; /* of the tick whose burst is under way, of the last tick */

    /* Set by the main loop. */
    atomic_bool running;
    atomic_bool paused; /* the main loop has the bus: ticks start no burst */

    /* The burst's interrupt writes these; the main loop with interrupts masked. */
    uint32_t served;                /* ticks told to the application */
    atomic_uint_least32_t failure;  /* 1 + mw_bus_status of what the main loop must recover from */
    uint32_t nacks;                 /* in a row */
    uint32_t repeats;               /* in a row */
    int16_t last[MW_IMU_CHANNELS];
    bool has_last;
    uint32_t skipped_remainder;

    /* Main loop. */
    uint64_t expected_us;
    uint32_t period_us;
    uint64_t settled_us;
    uint64_t reported_us;
} mw_acquisition;

/* ---- Boot and sample clock (main loop) ------------------------------------------------------- */

/* At boot, after mw_app_init, interrupts masked: finds the IMU on either address, configures it,
 * tests it (identity, configuration, plausible gravity), tells the application which one there is
 * and sends the identity frame. Without an IMU `start` is refused; the board stays reachable.
 * Takes as long as the IMU's own start-up, under 500 ms. */
void mw_acquisition_begin(mw_acquisition *acquisition);

/* In mw_port_sample_clock_start, before the first tick. `period_us` is the clock's nominal period. */
void mw_acquisition_start(mw_acquisition *acquisition, uint64_t now_us, uint32_t period_us);

/* In mw_port_sample_clock_stop, when no tick can come any more: ends a burst under way and tells the
 * application of the ticks it has not heard of. */
void mw_acquisition_stop(mw_acquisition *acquisition);

/* Whether the IMU's data-ready line may be the sample clock: the part has a true 1 kHz rate and the
 * line has not gone silent since boot. A port that has such a line asks in
 * mw_port_sample_clock_start; one without uses its timer always. */
bool mw_acquisition_wants_data_ready(const mw_acquisition *acquisition);

/* Each round of the main loop, before mw_app_run_once: sees faults and recovers from them. A call
 * without a fault takes microseconds, one that configures the IMU as long as that takes. While
 * sampling the port wakes the main loop every 10 ms or oftener, also when no tick comes. */
void mw_acquisition_serve(mw_acquisition *acquisition, uint64_t now_us);

/* ---- Interrupts ------------------------------------------------------------------------------ */

/* The sample clock ticked at `time_us`. Stamps and starts the burst, nothing else: the one function
 * that may interrupt every other, also while interrupts are masked by mw_port_irq_save. */
void mw_acquisition_on_clock(mw_acquisition *acquisition, uint64_t time_us);

/* The burst has ended with `status`; `bytes` holds what was read when it is MW_BUS_OK. Decodes and
 * calls mw_app_on_tick. At the priority of the interrupts of app.h. */
void mw_acquisition_on_burst(mw_acquisition *acquisition, mw_bus_status status,
                             const uint8_t *bytes);

#endif
