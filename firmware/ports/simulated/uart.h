/* The simulated board's serial line: bytes take their time; the far end is a file or descriptor. */
#ifndef MW_SIMULATED_UART_H
#define MW_SIMULATED_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "app.h"

#define UART_CHUNK 64u /* bytes that the simulated DMA sends at once */

typedef struct {
    mw_app *app;
    FILE *file; /* or NULL */
    int fd;     /* non-blocking; or -1 */
    bool waits; /* for the far end of `fd`, so that time stands still meanwhile */
    bool sending;
    uint64_t done_ns;    /* when the chunk has been sent */
    uint64_t blocked_ns; /* the line takes no bytes until then */
    uint8_t chunk[UART_CHUNK];
    size_t length;
    size_t written; /* of the chunk, to `fd` */
} uart;

/* The application has bytes: begins to send unless it does so already. */
void uart_kick(uart *line, uint64_t now_ns);

/* When uart_on_event is due; UINT64_MAX: not before a kick. */
uint64_t uart_next_ns(const uart *line);
void uart_on_event(uart *line, uint64_t now_ns);

/* Gives the application what has come from the far end. */
void uart_receive(const uart *line);

/* Whether anyone has the far end. */
bool uart_is_open(const uart *line);

#endif
