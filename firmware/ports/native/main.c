/* The `native` board: the application as a Linux process.
 *
 *     program --serial FD --imu FD [--virtual-clock]
 *
 * Both are open, inherited file descriptors: the serial line (a pty master or a socket) and the
 * IMU link (a socket). The process ends when the IMU link closes. With --virtual-clock time stands
 * still while there is work and jumps to the next tick when the sample is there and the serial line
 * has taken everything: nothing is ever late, and an hour passes in minutes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app.h"
#include "stream_imu.h"
#include "port.h"

/* Time to look again at a serial line that nobody has open. */
#define CLOSED_LINE_NS 20000000
#define READ_SIZE 512u
/* Ticks this process was too late for are made up for at twice the speed of the sample clock. */
#define CATCH_UP_US 500u

static mw_app app;
static mw_stream_imu imu;

static struct {
    int serial_fd;
    int imu_fd;
    bool virtual_clock;
    bool sampling;
    bool serial_open; /* false while no one has the other end of the pty */
    uint64_t virtual_us;
    struct timespec boot;
} port = {.serial_fd = -1, .imu_fd = -1, .serial_open = true};

const char *mw_port_board(void) { return MW_BOARD_NAME; }

uint8_t mw_port_reset_cause(void) { return MW_WIRE_RESET_CAUSE_POWER_ON; }

void mw_port_led(mw_led state) { (void)state; }

uint64_t mw_port_time_us(void) {
    if (port.virtual_clock) {
        return port.virtual_us;
    }
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t seconds = (int64_t)now.tv_sec - (int64_t)port.boot.tv_sec;
    int64_t nanoseconds = (int64_t)now.tv_nsec - (int64_t)port.boot.tv_nsec;
    return (uint64_t)(seconds * 1000000 + nanoseconds / 1000);
}

void mw_port_sample_clock_start(uint32_t rate_hz) {
    mw_stream_imu_start(&imu, mw_port_time_us(), 1000000u / rate_hz);
    port.sampling = true;
}

void mw_port_sample_clock_stop(void) {
    port.sampling = false;
    mw_stream_imu_stop(&imu);
}

/* Bytes taken from a ring that the line has not accepted yet. */
typedef struct {
    uint8_t bytes[READ_SIZE];
    size_t from;
    size_t to;
} outbox;

static outbox serial_out;
static outbox imu_out;

static bool serial_pending(void) {
    return serial_out.from < serial_out.to || mw_ring_used(&app.transmitter.ring) > 0u;
}

/* Moves bytes from `ring` to `fd` until either has enough; false when the line is closed. */
static bool drain(int fd, mw_ring *ring, outbox *out) {
    for (;;) {
        if (out->from == out->to) {
            out->from = 0;
            out->to = 0;
            while (out->to < sizeof out->bytes && mw_ring_read(ring, &out->bytes[out->to])) {
                out->to++;
            }
            if (out->to == 0u) {
                return true;
            }
        }
        ssize_t written = write(fd, &out->bytes[out->from], out->to - out->from);
        if (written < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        out->from += (size_t)written;
    }
}

/* Whether anyone has the other end of the serial line: a pty master polls as hung up when not. */
static bool line_is_open(void) {
    struct pollfd line = {.fd = port.serial_fd, .events = 0};
    return poll(&line, 1, 0) < 1 || (line.revents & (POLLHUP | POLLERR)) == 0;
}

static void serve_serial(void) {
    port.serial_open = line_is_open();
    if (!port.serial_open) {
        /* A UART sends into the void when nothing is connected. */
        uint8_t byte;
        serial_out.from = serial_out.to;
        while (mw_app_next_byte(&app, &byte)) {
        }
        return;
    }
    (void)drain(port.serial_fd, &app.transmitter.ring, &serial_out);
    uint8_t bytes[READ_SIZE];
    uint32_t room = mw_app_receive_room(&app);
    ssize_t got = read(port.serial_fd, bytes, room < READ_SIZE ? room : READ_SIZE);
    for (ssize_t i = 0; i < got; i++) {
        mw_app_on_byte(&app, bytes[i]);
    }
}

static void serve_imu(void) {
    uint8_t bytes[READ_SIZE];
    ssize_t got = read(port.imu_fd, bytes, sizeof bytes);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        exit(EXIT_SUCCESS);
    }
    for (ssize_t i = 0; i < got; i++) {
        mw_stream_imu_on_byte(&imu, bytes[i]);
    }
    (void)drain(port.imu_fd, &imu.tx, &imu_out);
}

/* What interrupts do on a board. */
static void serve(void) {
    serve_imu();
    serve_serial();
    if (port.sampling) {
        mw_stream_imu_serve(&imu, mw_port_time_us());
    }
}

void mw_port_serial_kick(void) {}

uint32_t mw_port_irq_save(void) { return 0; }

void mw_port_irq_restore(uint32_t saved) {
    (void)saved;
    serve();
}

static struct timespec until_next_tick(void) {
    uint64_t now = mw_port_time_us();
    uint64_t next = mw_stream_imu_next_us(&imu, now);
    uint64_t wait_us = next > now ? next - now : 0u;
    return (struct timespec){.tv_sec = (time_t)(wait_us / 1000000u),
                             .tv_nsec = (long)(wait_us % 1000000u) * 1000};
}

void mw_port_sleep(void) {
    if (port.virtual_clock && port.sampling && mw_stream_imu_ready(&imu) && !serial_pending()) {
        port.virtual_us = imu.due_us;
        return;
    }
    short out = (short)(serial_pending() ? POLLIN | POLLOUT : POLLIN);
    struct pollfd lines[] = {
        {.fd = port.imu_fd, .events = POLLIN},
        /* A line nobody has open would wake at once: it is left out and looked at again later. */
        {.fd = port.serial_open ? port.serial_fd : -1, .events = out},
    };
    struct timespec timeout = {.tv_sec = 0, .tv_nsec = CLOSED_LINE_NS};
    struct timespec *limit = port.serial_open ? NULL : &timeout;
    if (port.sampling && !port.virtual_clock) {
        struct timespec tick = until_next_tick();
        if (limit == NULL || (tick.tv_sec == 0 && tick.tv_nsec < timeout.tv_nsec)) {
            timeout = tick;
            limit = &timeout;
        }
    }
    (void)ppoll(lines, 2, limit, NULL);
}

static void usage(void) {
    (void)fputs("usage: program --serial FD --imu FD [--virtual-clock]\n", stderr);
    exit(2);
}

static int descriptor(const char *text) {
    char *end = NULL;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < 0 || value > 65535) {
        usage();
    }
    int fd = (int)value;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        (void)fprintf(stderr, "descriptor %d: %s\n", fd, strerror(errno));
        exit(2);
    }
    return fd;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--virtual-clock") == 0) {
            port.virtual_clock = true;
        } else if (strcmp(argv[i], "--serial") == 0 && has_value) {
            port.serial_fd = descriptor(argv[++i]);
        } else if (strcmp(argv[i], "--imu") == 0 && has_value) {
            port.imu_fd = descriptor(argv[++i]);
        } else {
            usage();
        }
    }
    if (port.serial_fd < 0 || port.imu_fd < 0) {
        usage();
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &port.boot);
    if (mw_app_init(&app) != MW_OK) {
        (void)fputs("the model built in is not usable\n", stderr);
        return EXIT_FAILURE;
    }
    mw_stream_imu_init(&imu, &app);
    imu.catch_up_us = CATCH_UP_US;
    for (;;) {
        mw_app_run_once(&app);
    }
}
