/* Reads a script line by line: an hour of faults need not fit anywhere. */
#include "script.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SIZE 256 /* 64 bytes in hexadecimal and more */

struct script {
    FILE *file;
    const char *path;
    uint32_t line;
    bool has_event;
    script_event event;
};

static const struct {
    const char *name;
    script_kind kind;
    bool has_argument;
} kinds[] = {
    {"nack", SCRIPT_NACK, true},
    {"nack_data", SCRIPT_NACK_DATA, true},
    {"arbitration", SCRIPT_ARBITRATION, true},
    {"hang", SCRIPT_HANG, true},
    {"sda_low", SCRIPT_SDA_LOW, true},
    {"reset", SCRIPT_RESET, false},
    {"unplugged", SCRIPT_UNPLUGGED, true},
    {"freeze", SCRIPT_FREEZE, false},
    {"silent", SCRIPT_SILENT, true},
    {"backlog", SCRIPT_BACKLOG, true},
    {"stall", SCRIPT_STALL, true},
    {"end", SCRIPT_END, false},
};

static _Noreturn void fail(const script *events, const char *expected) {
    (void)fprintf(stderr, "%s: line %" PRIu32 ": expected %s\n", events->path, events->line,
                  expected);
    exit(2);
}

static void read_hex(script *events, const char *text) {
    script_event *event = &events->event;
    size_t length = strlen(text);
    if (length == 0u || length % 2u != 0u || strspn(text, "0123456789abcdef") != length) {
        fail(events, "bytes in hexadecimal");
    }
    if (length > (size_t)2 * SCRIPT_MAX_SEND) {
        fail(events, "at most 64 bytes");
    }
    for (size_t i = 0; i < length; i += 2u) {
        const char digits[3] = {text[i], text[i + 1u], '\0'};
        event->bytes[event->length++] = (uint8_t)strtoul(digits, NULL, 16);
    }
}

static void read_event(script *events, char *line) {
    char *rest = NULL;
    const char *time = strtok_r(line, " \n", &rest);
    const char *name = strtok_r(NULL, " \n", &rest);
    const char *argument = strtok_r(NULL, " \n", &rest);
    if (time == NULL || name == NULL) {
        fail(events, "SECONDS EVENT [ARGUMENT]");
    }
    char *end = NULL;
    double seconds = strtod(time, &end);
    if (*end != '\0' || seconds < 0.0) {
        fail(events, "seconds since boot");
    }
    uint64_t time_ns = (uint64_t)(seconds * 1e9 + 0.5);
    if (time_ns < events->event.time_ns) {
        fail(events, "events in order of time");
    }
    events->event = (script_event){.time_ns = time_ns};
    if (strcmp(name, "send") == 0) {
        events->event.kind = SCRIPT_SEND;
        read_hex(events, argument == NULL ? "" : argument);
        return;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(name, kinds[i].name) == 0) {
            events->event.kind = kinds[i].kind;
            if (!kinds[i].has_argument) {
                return;
            }
            unsigned long value = argument == NULL ? 0u : strtoul(argument, &end, 10);
            if (*end != '\0' || value == 0u || value > UINT32_MAX) {
                fail(events, "a whole number over 0 as the argument");
            }
            events->event.argument = (uint32_t)value;
            return;
        }
    }
    fail(events, "an event of ports/simulated/script.h");
}

script *script_open(const char *path) {
    script *events = calloc(1, sizeof *events);
    if (events == NULL) {
        exit(EXIT_FAILURE);
    }
    events->path = path;
    events->file = fopen(path, "r");
    if (events->file == NULL) {
        fail(events, "a readable file");
    }
    script_advance(events);
    return events;
}

const script_event *script_next(const script *events) {
    return events->has_event ? &events->event : NULL;
}

void script_advance(script *events) {
    char line[LINE_SIZE];
    events->line++;
    events->has_event = fgets(line, sizeof line, events->file) != NULL;
    if (events->has_event) {
        read_event(events, line);
    }
}
