/* The application on the Arduino API: the main loop does what interrupts do on other boards.
 *
 * Wire waits for every transfer and may not be used in an interrupt, so a tick of the sample clock is
 * served by the main loop: the schedule in micros(), or the edges of the IMU's data-ready line, which
 * its interrupt only stamps and counts. A tick has the time at which its sample was read. Those the
 * loop came too late for have none and leave a gap; mw_acquisition_on_clock sees them by the time. */
#include "sketch.h"

#include "acquisition.h"
#include "app.h"
#include "arduino_io.h"
#include "port.h"

/* What one packet of full-speed USB holds. */
#define OUTBOX_SIZE 64u
/* The main loop looks around this often when nothing happens. */
#define LONGEST_SLEEP_US 5000u
/* Half a period of the light when it blinks. */
#define BLINK_US 125000u

static mw_app app;
static mw_acquisition acquisition = {.app = &app};

static struct {
    bool usable;     /* the model is */
    mw_led led;
    uint64_t now_us; /* micros() made 64 bits wide */
    bool sampling;
    uint32_t period_us;
    uint64_t due_us;        /* of the next tick, on the schedule */
    bool on_data_ready;     /* the clock is the IMU's line */
    uint32_t edges_seen;    /* of that line */
    bool burst_done;        /* a burst was read and is to be told */
    mw_bus_status burst_status;
    uint8_t burst[MW_IMU_MAX_BURST_LENGTH];
} port;

static struct {
    uint8_t bytes[OUTBOX_SIZE];
    size_t from;
    size_t to;
} outbox;

/* ---- port.h ---------------------------------------------------------------------------------- */

const char *mw_port_board(void) { return MW_BOARD_NAME; }

/* The Arduino API does not tell. */
uint8_t mw_port_reset_cause(void) { return MW_WIRE_RESET_CAUSE_UNKNOWN; }

uint64_t mw_port_time_us(void) {
    uint32_t passed = mw_io_micros() - (uint32_t)port.now_us;
    port.now_us += passed;
    return port.now_us;
}

void mw_port_sample_clock_start(uint32_t rate_hz) {
    uint64_t now = mw_port_time_us();
    uint32_t stamp;
    port.period_us = 1000000u / rate_hz;
    port.due_us = now + port.period_us;
    port.edges_seen = mw_io_data_ready(&stamp);
    port.on_data_ready = mw_acquisition_wants_data_ready(&acquisition);
    mw_acquisition_start(&acquisition, now, port.period_us);
    port.sampling = true;
}

void mw_port_sample_clock_stop(void) {
    port.sampling = false;
    mw_acquisition_stop(&acquisition);
}

void mw_port_serial_kick(void) {}

/* Nothing that calls into the application is an interrupt here. */
uint32_t mw_port_irq_save(void) { return 0; }
void mw_port_irq_restore(uint32_t saved) { (void)saved; }

/* ---- Serial line ----------------------------------------------------------------------------- */

static bool has_bytes_to_send(void) {
    return outbox.from < outbox.to || mw_ring_used(&app.transmitter.ring) > 0u;
}

/* With no host there the line is a UART into the void: a host that comes later wants what is said
 * then, not what was said at boot. */
static void discard_output(void) {
    uint8_t byte;
    outbox.from = outbox.to;
    while (mw_app_next_byte(&app, &byte)) {
    }
}

/* Sends what the line takes, at most what the ring held when it was called. */
static void serve_serial_out(void) {
    if (!mw_io_serial_has_host()) {
        discard_output();
        return;
    }
    for (uint32_t sent = 0; sent < MW_TX_RING_SIZE;) {
        if (outbox.from == outbox.to) {
            outbox.from = 0;
            outbox.to = 0;
            while (outbox.to < OUTBOX_SIZE && mw_app_next_byte(&app, &outbox.bytes[outbox.to])) {
                outbox.to++;
            }
        }
        size_t room = mw_io_serial_room();
        size_t waiting = outbox.to - outbox.from;
        size_t length = waiting < room ? waiting : room;
        if (length == 0u) {
            return; /* backlogged */
        }
        size_t taken = mw_io_serial_write(&outbox.bytes[outbox.from], length);
        if (taken == 0u || taken > length) {
            return; /* the host has gone meanwhile */
        }
        outbox.from += taken;
        sent += (uint32_t)length;
    }
}

static void serve_serial_in(void) {
    for (uint32_t room = mw_app_receive_room(&app); room > 0u; room--) {
        int byte = mw_io_serial_read();
        if (byte < 0) {
            return;
        }
        mw_app_on_byte(&app, (uint8_t)byte);
    }
}

/* ---- Sample clock ---------------------------------------------------------------------------- */

/* Whether a tick has come; its time on the schedule is now, on the line that of the last edge. */
static bool tick_is_due(uint64_t *time_us) {
    uint64_t now = mw_port_time_us();
    *time_us = now;
    if (!port.sampling) {
        return false;
    }
    if (!port.on_data_ready) {
        return now >= port.due_us;
    }
    uint32_t stamp;
    bool due = mw_io_data_ready(&stamp) != port.edges_seen;
    uint32_t age = (uint32_t)now - stamp;
    *time_us = now - age;
    return due;
}

/* Plans the next tick. One that came late by most of a period begins the schedule anew, as
 * mw_acquisition_on_clock takes it. */
static void plan_next_tick(uint64_t time_us) {
    uint32_t stamp;
    uint32_t edges = mw_io_data_ready(&stamp);
    uint64_t behind = time_us - port.due_us;
    bool late = port.on_data_ready ? edges - port.edges_seen > 1u
                                   : behind >= port.period_us - port.period_us / 4u;
    if (late) {
        mw_app_on_overrun(&app);
    }
    port.edges_seen = edges;
    port.due_us = (late ? time_us : port.due_us) + port.period_us;
}

static void serve_clock(void) {
    uint64_t time_us;
    if (!tick_is_due(&time_us)) {
        return;
    }
    plan_next_tick(time_us);
    mw_acquisition_on_clock(&acquisition, time_us);
    if (port.burst_done) {
        port.burst_done = false;
        mw_acquisition_on_burst(&acquisition, port.burst_status, port.burst);
    }
}

/* ---- acquisition.h --------------------------------------------------------------------------- */

static mw_bus_status bus_write(void *context, uint8_t address, const uint8_t *bytes,
                               size_t length) {
    (void)context;
    return mw_io_bus_write(address, bytes, length);
}

static mw_bus_status bus_read(void *context, uint8_t address, uint8_t first_register,
                              uint8_t *bytes, size_t length) {
    (void)context;
    return mw_io_bus_read(address, first_register, bytes, length);
}

static mw_bus_status bus_recover(void *context) {
    (void)context;
    return mw_io_bus_recover();
}

static void bus_delay_us(void *context, uint32_t us) {
    (void)context;
    mw_io_delay_us(us);
}

const mw_bus *mw_port_bus(void) {
    static const mw_bus bus = {
        .context = NULL,
        .write = bus_write,
        .read = bus_read,
        .recover = bus_recover,
        .delay_us = bus_delay_us,
    };
    return &bus;
}

/* Reads at once; serve_clock tells the end when the tick has been taken. */
bool mw_port_burst_start(uint8_t address, uint8_t first_register, uint8_t length) {
    if (length > sizeof port.burst) {
        return false;
    }
    port.burst_status = mw_io_bus_read(address, first_register, port.burst, length);
    port.burst_done = true;
    return true;
}

void mw_port_burst_abort(void) { port.burst_done = false; }

/* ---- Main loop ------------------------------------------------------------------------------- */

/* No call of the Arduino API sleeps until an interrupt: this waits and leaves the rest to the core,
 * so that the CPU load in the statistics frame is the share of time with work to do. */
void mw_port_sleep(void) {
    uint64_t until = mw_port_time_us() + LONGEST_SLEEP_US;
    uint64_t time_us;
    while (!tick_is_due(&time_us) && !mw_io_serial_available() && mw_port_time_us() < until &&
           !(has_bytes_to_send() && mw_io_serial_room() > 0u)) {
        mw_io_idle();
    }
}

void mw_port_led(mw_led state) { port.led = state; }

/* Off when ready, on while sampling, blinking at a fault. */
static void serve_light(void) {
    bool phase = mw_port_time_us() / BLINK_US % 2u == 0u;
    mw_io_light(port.led == MW_LED_SAMPLING || (port.led == MW_LED_FAULT && phase));
}

void mw_sketch_setup(void) {
    mw_io_begin();
    port.usable = mw_app_init(&app) == MW_OK;
    if (port.usable) {
        /* What was said so far names no IMU; a host that is there early waits for what does. */
        discard_output();
        acquisition.no_data_ready = !mw_io_has_data_ready();
        mw_acquisition_begin(&acquisition);
    }
}

void mw_sketch_loop(void) {
    serve_clock();
    if (port.usable) {
        serve_serial_in();
        mw_acquisition_serve(&acquisition, mw_port_time_us());
        mw_app_run_once(&app);
    }
    serve_serial_out();
    serve_light();
}
