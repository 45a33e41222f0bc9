/* The movement, from a file. */
#include "truth.h"

#include <stdio.h>
#include <stdlib.h>

#define ROW_BYTES (TRUTH_AXES * sizeof(int16_t))

static _Noreturn void fail(const char *path) {
    (void)fprintf(stderr, "%s: expected a file of rows of six int16\n", path);
    exit(2);
}

void truth_load(truth *movement, const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        fail(path);
    }
    long size = ftell(file);
    if (size <= 0 || (size_t)size % ROW_BYTES != 0u || fseek(file, 0, SEEK_SET) != 0) {
        fail(path);
    }
    int16_t *counts = malloc((size_t)size);
    if (counts == NULL || fread(counts, 1, (size_t)size, file) != (size_t)size) {
        fail(path);
    }
    (void)fclose(file);
    movement->counts = counts;
    movement->rows = (uint64_t)size / ROW_BYTES;
}

int16_t truth_at(const truth *movement, uint64_t time_ns, uint32_t axis) {
    uint64_t row = 0;
    if (time_ns > movement->begin_ns) {
        row = (time_ns - movement->begin_ns) / movement->row_ns;
    }
    if (movement->loop) {
        row %= movement->rows;
    } else if (row >= movement->rows) {
        row = movement->rows - 1u;
    }
    return movement->counts[row * TRUTH_AXES + axis];
}
