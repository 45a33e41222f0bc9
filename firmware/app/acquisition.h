/* Acquisition: from a sample clock and an IMU on a register bus to one tick a period.
 *
 * A state machine without hardware. It stands between a port's interrupts, the IMU's driver and the
 * application: the port owns one mw_acquisition beside its mw_app, calls the functions here and
 * implements those under "port". Boards whose samples come another way (stream_imu.h) do without.
 *
 * Every tick of the clock becomes exactly one call of mw_app_on_tick, in order: with the sample that
 * was read for it, or with none. What was not measured is never made up. Every fault is counted
 * (mw_faults, in the statistics frame), reported as a text frame, at most one a second, and
 * recovered from: a NACK alone by trying again at the next tick; a stuck bus, lost arbitration and a
 * burst that does not end by freeing the bus; an IMU found without its configuration by sending it
 * again; a data-ready line that has gone silent by going on with the port's own timer. Ticks that
 * pass meanwhile have no sample, and the network starts anew after them.
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

#define MW_FROZEN_SAMPLES 10u

/* ---- Port: what a board with a real IMU implements ------------------------------------------- */

/* The bus, for set-up and recovery. Only used while no burst is under way. */
const mw_bus *mw_port_bus(void);

/* Starts a read by DMA of `length` registers from `first_register` on. Its end is told by
 * mw_acquisition_on_burst. Returns false when the bus is busy: then no end is told. */
bool mw_port_burst_start(uint8_t address, uint8_t first_register, uint8_t length);

/* Ends the burst under way, if any: no mw_acquisition_on_burst comes for it once this returns. */
void mw_port_burst_abort(void);

/* ---- State ----------------------------------------------------------------------------------- */

/* What the main loop is to recover from. */
typedef enum {
    MW_FAULT_NONE = 0,
    MW_FAULT_BUS,     /* stuck, arbitration lost, or a burst that did not begin or end */
    MW_FAULT_NACKS,   /* several in a row */
    MW_FAULT_SUSPECT, /* an output as after a reset: all zero, or all at the lowest value */
    MW_FAULT_FROZEN,
    MW_FAULT_SILENT /* the clock */
} mw_fault;

typedef struct {
    mw_app *app; /* set by the port before anything is called; all else starts as zero */
    mw_imu imu;
    bool found; /* the IMU answered and took its configuration */
    /* The clock is the port's timer: set by a port without a data-ready line before
     * mw_acquisition_begin, and here when the line has gone silent once. */
    bool no_data_ready;

    /* Written by the clock's interrupt, and by the main loop while the clock stands. */
    atomic_uint_least32_t ticks;      /* since start, those included that the clock left out */
    atomic_uint_least32_t last_us;    /* low half of the newest stamp */
    atomic_uint_least32_t burst_tick; /* number of the tick, from 1, whose burst is under way */
    uint64_t burst_us;                /* its stamp */
    int32_t burst_deviation_us;       /* its stamp less the ideal one */
    uint64_t due_us;                  /* ideal time of the last tick, or of the start */
    atomic_bool refused;              /* a burst could not be started */
    atomic_bool in_flight;            /* set by the clock, cleared when the burst has ended */

    /* Written by the main loop, read by interrupts. */
    atomic_bool running;
    atomic_bool paused; /* the main loop has the bus: ticks start no burst */
    bool on_data_ready; /* the clock is the IMU's own */
    uint32_t period_us;

    /* Written by the burst's interrupt, and by the main loop with interrupts masked. */
    uint32_t served; /* ticks told to the application */
    mw_fault fault;  /* not yet taken up by the main loop */
    uint32_t nacks;  /* in a row */
    uint32_t repeats; /* in a row */
    int16_t last[MW_IMU_AXES];
    bool has_last;
    uint64_t last_read_us;
    uint64_t unread_billionths; /* of an output of the IMU, due and not read */
    int32_t unread;             /* outputs */
    bool bus_failed; /* and no sample has come since */
    uint64_t failed_us;

    /* Main loop. */
    mw_fault recovering; /* from what */
    bool free_bus;       /* the next attempt begins with it */
    bool restarting;     /* the port's clock, not the application's sampling */
    uint64_t retry_us;
    uint64_t report_us; /* when the next report may be sent */
    uint32_t unreported; /* a bit each mw_fault */
} mw_acquisition;

/* ---- Boot and sample clock (main loop) ------------------------------------------------------- */

/* At boot, after mw_app_init, interrupts masked: finds the IMU on either address, configures it,
 * tests it (identity, configuration, plausible gravity), tells the application which one there is
 * and sends the identity frame. Without an IMU `start` is refused, the board stays reachable, and
 * mw_acquisition_serve looks for one once a second. Takes as long as the IMU's own start-up, under
 * 500 ms. */
void mw_acquisition_begin(mw_acquisition *acquisition);

/* In mw_port_sample_clock_start, before the first tick. `period_us` is the clock's nominal period. */
void mw_acquisition_start(mw_acquisition *acquisition, uint64_t now_us, uint32_t period_us);

/* In mw_port_sample_clock_stop, when no tick can come any more: ends a burst under way, whose tick
 * does not count, and tells the application of earlier ticks it has not heard of. */
void mw_acquisition_stop(mw_acquisition *acquisition);

/* Whether the IMU's data-ready line is to be the sample clock: the part has a true 1 kHz rate, the
 * port has the line, and it has not gone silent since boot. For mw_port_sample_clock_start. */
bool mw_acquisition_wants_data_ready(const mw_acquisition *acquisition);

/* Each round of the main loop, before mw_app_run_once: sees faults and recovers from them. A call
 * without a fault takes microseconds, one that configures the IMU as long as that takes. While
 * sampling the port wakes the main loop every 10 ms or oftener, also when no tick comes. */
void mw_acquisition_serve(mw_acquisition *acquisition, uint64_t now_us);

/* ---- Interrupts ------------------------------------------------------------------------------ */

/* The sample clock ticked at `time_us`. Stamps and starts the burst, nothing else: the one function
 * that may interrupt every other, also while interrupts are masked by mw_port_irq_save. A stamp
 * that is whole periods late stands for the ticks left out, which then have no sample; it may be up
 * to 3/4 of a period late without. */
void mw_acquisition_on_clock(mw_acquisition *acquisition, uint64_t time_us);

/* The burst has ended with `status`; `bytes` holds what was read when it is MW_BUS_OK. Decodes and
 * calls mw_app_on_tick. At the priority of the interrupts of app.h. */
void mw_acquisition_on_burst(mw_acquisition *acquisition, mw_bus_status status,
                             const uint8_t *bytes);

#endif
