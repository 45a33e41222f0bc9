/* Feed the motor monitor from a file, in place of a sensor:
 *
 *     ./monitor < samples.txt        one sample at a time
 *     ./monitor fifo < samples.txt   a FIFO of samples at a time, the rest one at a time
 *
 * One raw count a line in; sample number, hum and knock out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor.h"

static void print(unsigned long sample, monitor_levels levels) {
    if (levels.valid) {
        printf("%lu %u %u\n", sample, (unsigned)levels.hum, (unsigned)levels.knock);
    }
}

/* Read the next count; return 1, or 0 at the end of the file, or -1 for a line that holds none. */
static int read_count(int16_t *count) {
    char line[32];
    if (fgets(line, sizeof line, stdin) == NULL) {
        return 0;
    }
    char *end;
    errno = 0;
    const long value = strtol(line, &end, 10);
    if (end == line || (*end != '\n' && *end != '\0') || errno != 0 || value < INT16_MIN ||
        value > INT16_MAX) {
        return -1;
    }
    *count = (int16_t)value;
    return 1;
}

int main(int argc, char **argv) {
    const unsigned at_once = argc == 2 && strcmp(argv[1], "fifo") == 0 ? MONITOR_FIFO : 1U;
    const mw_status status = monitor_begin();
    if (status != MW_OK) {
        (void)fprintf(stderr, "monitor: the engine refuses its model, status %d\n", (int)status);
        return 1;
    }
    unsigned long sample = 0;
    int found = 1;
    while (found == 1) {
        int16_t counts[MONITOR_FIFO];
        monitor_levels levels[MONITOR_FIFO];
        unsigned waiting = 0;
        while (waiting < at_once && (found = read_count(&counts[waiting])) == 1) {
            ++waiting;
        }
        if (waiting == MONITOR_FIFO) {
            monitor_fifo(counts, levels);
        } else {
            for (unsigned i = 0; i < waiting; ++i) {
                levels[i] = monitor_sample(counts[i]);
            }
        }
        for (unsigned i = 0; i < waiting; ++i) {
            print(sample++, levels[i]);
        }
    }
    if (found < 0) {
        (void)fprintf(stderr, "monitor: line %lu is no count, expected -32768 to 32767\n",
                      sample + 1U);
        return 1;
    }
    return 0;
}
