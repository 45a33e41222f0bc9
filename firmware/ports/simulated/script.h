/* What happens to the simulated board and when: a text file, one event a line.
 *
 *     SECONDS EVENT [ARGUMENT]
 *
 * in order of time. Events: `send HEX` (bytes on the serial line), `end` (the process ends when all
 * is sent), and faults:
 *
 *     nack N, nack_data N, arbitration N   the next N transfers fail in this way
 *     hang N            the next N transfers do not end
 *     sda_low N         SDA is held low until N clocks have been given
 *     reset             the IMU's registers are as after power on
 *     unplugged MS      the IMU does not answer
 *     freeze            its output stays the same until it is reset
 *     silent MS         no data-ready pulses
 *     backlog MS        the serial line takes no bytes
 *     stall MS          the main loop does not run; interrupts do; over two seconds of it end in a
 *                       reset by the watchdog */
#ifndef MW_SIMULATED_SCRIPT_H
#define MW_SIMULATED_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_MAX_SEND 64u

typedef enum {
    SCRIPT_SEND,
    SCRIPT_END,
    SCRIPT_NACK,
    SCRIPT_NACK_DATA,
    SCRIPT_ARBITRATION,
    SCRIPT_HANG,
    SCRIPT_SDA_LOW,
    SCRIPT_RESET,
    SCRIPT_UNPLUGGED,
    SCRIPT_FREEZE,
    SCRIPT_SILENT,
    SCRIPT_BACKLOG,
    SCRIPT_STALL
} script_kind;

typedef struct {
    uint64_t time_ns;
    script_kind kind;
    uint32_t argument;
    uint8_t bytes[SCRIPT_MAX_SEND];
    size_t length;
} script_event;

typedef struct script script;

/* Opens a script and reads its first event; exits with a message when it is not one. */
script *script_open(const char *path);

/* The next event, NULL at the end. */
const script_event *script_next(const script *events);

/* Goes on to the event after it. */
void script_advance(script *events);

#endif
