/* Sending in chunks at 1 Mbaud. */
#include "uart.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define BYTE_NS 10000u     /* ten bits at 1 Mbaud */
#define RETRY_NS 5000000u  /* until a far end that took nothing is asked again */

void uart_kick(uart *line, uint64_t now_ns) {
    if (line->sending) {
        return;
    }
    line->length = 0;
    line->written = 0;
    while (line->length < UART_CHUNK && mw_app_next_byte(line->app, &line->chunk[line->length])) {
        line->length++;
    }
    line->sending = line->length > 0u;
    uint64_t begin_ns = now_ns > line->blocked_ns ? now_ns : line->blocked_ns;
    line->done_ns = begin_ns + (uint64_t)line->length * BYTE_NS;
}

uint64_t uart_next_ns(const uart *line) { return line->sending ? line->done_ns : UINT64_MAX; }

bool uart_is_open(const uart *line) {
    /* A pty's controller polls as hung up while nobody has the terminal. */
    struct pollfd far_end = {.fd = line->fd, .events = 0};
    return poll(&far_end, 1, 0) < 1 || (far_end.revents & (POLLHUP | POLLERR)) == 0;
}

/* Whether the far end has taken the whole chunk. */
static bool deliver(uart *line) {
    if (line->file != NULL) {
        if (fwrite(line->chunk, 1, line->length, line->file) != line->length) {
            perror("--output");
            _exit(1);
        }
        return true;
    }
    while (line->written < line->length && uart_is_open(line)) {
        ssize_t count =
            write(line->fd, &line->chunk[line->written], line->length - line->written);
        if (count >= 0) {
            line->written += (size_t)count;
        } else if (errno != EAGAIN && errno != EINTR) {
            return true; /* nobody is there: a UART sends into the void */
        } else if (line->waits) {
            struct pollfd room = {.fd = line->fd, .events = POLLOUT};
            (void)poll(&room, 1, -1);
        } else {
            return false;
        }
    }
    return true;
}

void uart_on_event(uart *line, uint64_t now_ns) {
    if (now_ns < line->blocked_ns) {
        line->done_ns = line->blocked_ns;
    } else if (deliver(line)) {
        line->sending = false;
        uart_kick(line, now_ns);
    } else {
        line->done_ns = now_ns + RETRY_NS;
    }
}

void uart_receive(const uart *line) {
    uint8_t bytes[256];
    uint32_t room = mw_app_receive_room(line->app);
    ssize_t count = read(line->fd, bytes, room < sizeof bytes ? room : sizeof bytes);
    for (ssize_t i = 0; i < count; i++) {
        mw_app_on_byte(line->app, bytes[i]);
    }
}
