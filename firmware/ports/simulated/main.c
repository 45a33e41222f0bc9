/* The `simulated` board: application, acquisition and drivers over a simulated IMU, I2C bus and
 * serial line, all on one virtual clock, as a Linux process.
 *
 *     program --counts FILE [--rate HZ] [--imu NAME] [--second-address] [--imu-ppm N] [--loop]
 *             [--timer] (--serial FD [--virtual-clock] | --script FILE --output FILE)
 *
 * --counts, --rate: what the IMU measures, see truth.h, at 1000 rows a second unless told
 * otherwise; row 0 when sampling starts. --imu-ppm: how much faster its clock runs than the
 * board's. --timer: its data-ready line is not connected. --serial: an open, inherited descriptor,
 * a pty master or a socket; time passes as on the wall, or as fast as the far end takes the bytes
 * with --virtual-clock; sampling stops at the end of the movement. "ready" and "played" on standard
 * output tell when it has booted and when that end came. --script: what comes over the serial line
 * and what goes wrong, see script.h; what is sent goes to the output file, and time passes as fast
 * as it can.
 *
 * Time moves from event to event in nanoseconds, and only when the board sleeps, waits for the bus
 * or runs a round of its main loop: the same arguments give the same bytes. The sample clock's
 * interrupt runs at its time even when interrupts are masked, all others when they may. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "acquisition.h"
#include "app.h"
#include "i2c.h"
#include "imu_model.h"
#include "port.h"
#include "script.h"
#include "truth.h"
#include "uart.h"

#define LOOP_NS 20000u /* what a round of the main loop takes */
#define LONGEST_SLEEP_NS 5000000u
#define MS_NS UINT64_C(1000000)
#define WATCHDOG_NS (2000u * MS_NS) /* without a round of the main loop */

static mw_app app;
static mw_acquisition acquisition = {.app = &app};
static truth movement = {.row_ns = 1000000};
static imu_model imu;
static i2c_bus wire;
static mw_bus bus;
static uart line = {.app = &app, .fd = -1};

static struct {
    uint64_t now_ns;
    bool masked;
    uint8_t reset_cause;
    bool on_wall_clock; /* time passes as on the wall */
    bool ending;
    struct timespec boot;

    bool sampling;
    bool played;         /* the movement is over */
    bool has_data_ready; /* the line is connected */
    bool on_data_ready;  /* else on the timer */
    uint64_t period_ns;
    uint64_t clock_ns; /* the sample clock ticks next; on data ready: ticked last */
    uint64_t stopped_ns;
    uint64_t silent_ns; /* no data-ready pulses until then */
    uint64_t stalled_ns;

    bool burst_active;
    i2c_transfer burst;
    uint8_t burst_bytes[MW_IMU_MAX_BURST_LENGTH];

    script *events;
} board;

/* ---- Events ---------------------------------------------------------------------------------- */

typedef enum { EVENT_NONE, EVENT_SCRIPT, EVENT_CLOCK, EVENT_BURST, EVENT_UART } event_kind;

static uint64_t clock_due_ns(void) {
    if (!board.sampling) {
        return UINT64_MAX;
    }
    return board.on_data_ready ? imu_model_next_pulse_ns(&imu, board.clock_ns) : board.clock_ns;
}

/* The first event there will be; without `interrupts`, of those that cannot be masked. */
static uint64_t first_event(bool interrupts, event_kind *kind) {
    const script_event *scripted = board.events == NULL ? NULL : script_next(board.events);
    const struct {
        event_kind kind;
        uint64_t due_ns;
    } due[] = {
        {EVENT_SCRIPT, scripted == NULL ? UINT64_MAX : scripted->time_ns},
        {EVENT_CLOCK, clock_due_ns()},
        {EVENT_BURST, interrupts && board.burst_active ? board.burst.end_ns : UINT64_MAX},
        {EVENT_UART, interrupts ? uart_next_ns(&line) : UINT64_MAX},
    };
    uint64_t first_ns = UINT64_MAX;
    *kind = EVENT_NONE;
    for (size_t i = 0; i < sizeof due / sizeof due[0]; i++) {
        if (due[i].due_ns < first_ns) {
            first_ns = due[i].due_ns;
            *kind = due[i].kind;
        }
    }
    return first_ns;
}

static void say(const char *word) {
    (void)puts(word);
    (void)fflush(stdout);
}

/* Whether this tick comes after the movement: it is the first one without a sample. */
static bool is_played(void) {
    return line.fd >= 0 && !movement.loop &&
           board.now_ns > movement.begin_ns + movement.rows * movement.row_ns;
}

static void on_clock(void) {
    if (board.on_data_ready) {
        uint64_t pulse_ns = clock_due_ns();
        board.clock_ns = pulse_ns > board.now_ns ? pulse_ns : board.now_ns;
        if (board.now_ns < board.silent_ns) {
            return;
        }
    } else {
        board.clock_ns += board.period_ns;
    }
    if (!is_played()) {
        mw_acquisition_on_clock(&acquisition, mw_port_time_us());
    } else if (!board.played) {
        board.played = true;
        mw_app_on_sensor_end(&app);
        say("played");
    }
}

static void on_script(void) {
    const script_event *event = script_next(board.events);
    uint64_t until_ns = board.now_ns + event->argument * MS_NS;
    switch (event->kind) {
    case SCRIPT_SEND:
        for (size_t i = 0; i < event->length; i++) {
            mw_app_on_byte(&app, event->bytes[i]);
        }
        break;
    case SCRIPT_NACK:
        wire.nack_address = event->argument;
        break;
    case SCRIPT_NACK_DATA:
        wire.nack_data = event->argument;
        break;
    case SCRIPT_ARBITRATION:
        wire.arbitration_lost = event->argument;
        break;
    case SCRIPT_HANG:
        wire.hang = event->argument;
        break;
    case SCRIPT_SDA_LOW:
        wire.hold_clocks = event->argument;
        break;
    case SCRIPT_RESET:
        imu_model_reset(&imu, board.now_ns);
        break;
    case SCRIPT_UNPLUGGED:
        imu_model_reset(&imu, board.now_ns);
        imu.unplugged_ns = until_ns;
        break;
    case SCRIPT_FREEZE:
        imu.frozen_ns = board.now_ns;
        break;
    case SCRIPT_SILENT:
        board.silent_ns = until_ns;
        break;
    case SCRIPT_BACKLOG:
        line.blocked_ns = until_ns;
        break;
    case SCRIPT_STALL:
        board.stalled_ns = until_ns;
        break;
    case SCRIPT_END:
    default:
        board.ending = true;
        break;
    }
    script_advance(board.events);
}

static void on_burst(void) {
    board.burst_active = false;
    mw_bus_status status = i2c_end(&wire, &board.burst);
    mw_acquisition_on_burst(&acquisition, status, board.burst_bytes);
}

static uint64_t now_ns(void) { return board.now_ns; }

/* Passes time: what is due by `time_ns` happens in order. */
static void advance_to(uint64_t time_ns) {
    event_kind kind = EVENT_NONE;
    for (;;) {
        uint64_t due_ns = first_event(!board.masked, &kind);
        if (kind == EVENT_NONE || due_ns > time_ns) {
            break;
        }
        if (due_ns > board.now_ns) {
            board.now_ns = due_ns;
        }
        switch (kind) {
        case EVENT_SCRIPT:
            on_script();
            break;
        case EVENT_CLOCK:
            on_clock();
            break;
        case EVENT_BURST:
            on_burst();
            break;
        case EVENT_UART:
        case EVENT_NONE:
        default:
            uart_on_event(&line, board.now_ns);
            break;
        }
    }
    if (time_ns > board.now_ns) {
        board.now_ns = time_ns;
    }
}

/* ---- Port ------------------------------------------------------------------------------------ */

const char *mw_port_board(void) { return MW_BOARD_NAME; }

uint8_t mw_port_reset_cause(void) { return board.reset_cause; }

void mw_port_led(mw_led state) { (void)state; }

uint64_t mw_port_time_us(void) { return board.now_ns / 1000u; }

void mw_port_sample_clock_start(uint32_t rate_hz) {
    /* A start at the very time of a stop changes the clock, it does not begin anew. */
    if (board.stopped_ns != board.now_ns) {
        movement.begin_ns = board.now_ns;
        board.played = false;
    }
    board.period_ns = 1000000000u / rate_hz;
    board.on_data_ready = mw_acquisition_wants_data_ready(&acquisition);
    board.clock_ns = board.now_ns + (board.on_data_ready ? 0u : board.period_ns);
    mw_acquisition_start(&acquisition, mw_port_time_us(), (uint32_t)(board.period_ns / 1000u));
    board.sampling = true;
}

void mw_port_sample_clock_stop(void) {
    board.sampling = false;
    board.stopped_ns = board.now_ns;
    mw_acquisition_stop(&acquisition);
}

void mw_port_serial_kick(void) { uart_kick(&line, board.now_ns); }

uint32_t mw_port_irq_save(void) {
    uint32_t saved = board.masked ? 1u : 0u;
    board.masked = true;
    return saved;
}

void mw_port_irq_restore(uint32_t saved) {
    board.masked = saved != 0u;
    if (!board.masked) {
        advance_to(board.now_ns);
    }
}

const mw_bus *mw_port_bus(void) {
    if (board.burst_active) {
        (void)fputs("the bus is used while a burst is under way\n", stderr);
        abort();
    }
    return &bus;
}

bool mw_port_burst_start(uint8_t address, uint8_t first_register, uint8_t length) {
    if (board.burst_active || wire.busy || length > sizeof board.burst_bytes) {
        return false;
    }
    board.burst = (i2c_transfer){
        .address = address,
        .out = {first_register},
        .out_length = 1,
        .in = board.burst_bytes,
        .in_length = length,
    };
    i2c_begin(&wire, &board.burst);
    board.burst_active = true;
    return true;
}

void mw_port_burst_abort(void) { board.burst_active = false; }

/* Waits on the wall clock until `due_ns` or until there is something to read; returns the time it
 * is then. */
static uint64_t wait_for_input(uint64_t due_ns) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t elapsed_ns = ((int64_t)now.tv_sec - board.boot.tv_sec) * 1000000000 +
                         ((int64_t)now.tv_nsec - board.boot.tv_nsec);
    uint64_t from_ns = board.on_wall_clock ? (uint64_t)elapsed_ns : board.now_ns;
    uint64_t wait_ns = due_ns > from_ns ? due_ns - from_ns : 0u;
    struct timespec timeout = {.tv_sec = (time_t)(wait_ns / 1000000000u),
                               .tv_nsec = (long)(wait_ns % 1000000000u)};
    /* A line nobody has open would wake at once. */
    struct pollfd input = {.fd = uart_is_open(&line) ? line.fd : -1, .events = POLLIN};
    bool readable = ppoll(&input, 1, &timeout, NULL) > 0;
    if (readable) {
        uart_receive(&line);
    }
    return readable ? board.now_ns : due_ns;
}

void mw_port_sleep(void) {
    event_kind kind = EVENT_NONE;
    uint64_t due_ns = first_event(true, &kind);
    if (due_ns > board.now_ns + LONGEST_SLEEP_NS) {
        due_ns = board.now_ns + LONGEST_SLEEP_NS;
    }
    if (board.ending && uart_next_ns(&line) == UINT64_MAX) {
        exit(fclose(line.file) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    if (line.fd >= 0) {
        if (board.on_wall_clock || !board.sampling) {
            due_ns = wait_for_input(due_ns);
        } else {
            uart_receive(&line);
        }
    }
    advance_to(due_ns);
}

/* ---- Process --------------------------------------------------------------------------------- */

static _Noreturn void usage(void) {
    (void)fputs("usage: program --counts FILE [--rate HZ] [--imu NAME] [--second-address]\n"
                "               [--imu-ppm N] [--loop] [--timer]\n"
                "               (--serial FD [--virtual-clock] | --script FILE --output FILE)\n",
                stderr);
    exit(2);
}

static int32_t number(const char *text, int32_t least, int32_t most) {
    char *end = NULL;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < least || value > most) {
        usage();
    }
    return (int32_t)value;
}

static int descriptor(const char *text) {
    int fd = number(text, 0, 65535);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        (void)fprintf(stderr, "descriptor %d: %s\n", fd, strerror(errno));
        exit(2);
    }
    return fd;
}

static void take_arguments(int argc, char **argv) {
    const char *name = "icm-42688-p";
    bool second_address = false;
    int32_t rate_error_ppm = 0;
    board.on_wall_clock = true;
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        if (strcmp(option, "--second-address") == 0) {
            second_address = true;
            continue;
        }
        if (strcmp(option, "--loop") == 0) {
            movement.loop = true;
            continue;
        }
        if (strcmp(option, "--timer") == 0) {
            acquisition.no_data_ready = true;
            continue;
        }
        if (strcmp(option, "--virtual-clock") == 0) {
            board.on_wall_clock = false;
            continue;
        }
        i++;
        if (i == argc) {
            usage();
        }
        if (strcmp(option, "--counts") == 0) {
            truth_load(&movement, argv[i]);
        } else if (strcmp(option, "--rate") == 0) {
            movement.row_ns = 1000000000u / (uint32_t)number(argv[i], 1, 1000000);
        } else if (strcmp(option, "--imu") == 0) {
            name = argv[i];
        } else if (strcmp(option, "--imu-ppm") == 0) {
            rate_error_ppm = number(argv[i], -100000, 100000);
        } else if (strcmp(option, "--serial") == 0) {
            line.fd = descriptor(argv[i]);
        } else if (strcmp(option, "--script") == 0) {
            board.events = script_open(argv[i]);
        } else if (strcmp(option, "--output") == 0) {
            line.file = fopen(argv[i], "wb");
        } else {
            usage();
        }
    }
    bool scripted = board.events != NULL && line.file != NULL;
    if (movement.counts == NULL || scripted == (line.fd >= 0)) {
        usage();
    }
    if (!imu_model_init(&imu, name, second_address, &movement)) {
        (void)fprintf(stderr, "--imu %s: no such IMU\n", name);
        exit(2);
    }
    imu.rate_error_ppm = rate_error_ppm;
    board.on_wall_clock = board.on_wall_clock && !scripted;
    line.waits = !board.on_wall_clock;
}

/* False when the model is not usable. */
static bool boot(uint8_t cause) {
    board.reset_cause = cause;
    uint32_t saved = mw_port_irq_save();
    if (mw_app_init(&app) != MW_OK) {
        (void)fputs("the model built in is not usable\n", stderr);
        return false;
    }
    mw_acquisition_begin(&acquisition);
    mw_port_irq_restore(saved);
    return true;
}

/* The board loses all but time, the IMU its power not: it stays as it is. */
static bool reset_by_watchdog(void) {
    board.sampling = false;
    board.burst_active = false;
    board.stalled_ns = 0;
    line.sending = false;
    app = (mw_app){0};
    acquisition = (mw_acquisition){.app = &app, .no_data_ready = !board.has_data_ready};
    return boot(MW_WIRE_RESET_CAUSE_WATCHDOG);
}

int main(int argc, char **argv) {
    take_arguments(argc, argv);
    board.has_data_ready = !acquisition.no_data_ready;
    wire = (i2c_bus){.imu = &imu, .now_ns = now_ns, .advance_to = advance_to};
    bus = i2c_interface(&wire);
    (void)clock_gettime(CLOCK_MONOTONIC, &board.boot);

    if (!boot(MW_WIRE_RESET_CAUSE_POWER_ON)) {
        return EXIT_FAILURE;
    }
    if (line.fd >= 0) {
        say("ready");
    }
    for (;;) {
        uint64_t fed_ns = board.now_ns;
        advance_to(board.now_ns + LOOP_NS);
        if (board.stalled_ns > fed_ns + WATCHDOG_NS) {
            advance_to(fed_ns + WATCHDOG_NS);
            if (!reset_by_watchdog()) {
                return EXIT_FAILURE;
            }
        } else if (board.stalled_ns > board.now_ns) {
            advance_to(board.stalled_ns);
        }
        mw_acquisition_serve(&acquisition, mw_port_time_us());
        mw_app_run_once(&app);
    }
}
