/* Lines with damaged frames on them, the same for the same seed: what the tests feed a decoder. */
#ifndef LINES_H
#define LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

#define LINE_FRAMES 48u        /* on one line, at most */
#define LINE_GARBAGE_MAX 1600u /* three times what a decoder holds */
#define LINE_SIZE (LINE_FRAMES * (LINE_GARBAGE_MAX + 2u * MW_WIRE_ENCODE_SIZE))

/* A frame that went on the line. */
typedef struct {
    uint8_t body[MW_WIRE_MAX_FRAME]; /* type, sequence, payload */
    size_t length;
    bool intact; /* all its bytes are there, both zero bytes included */
} line_frame;

typedef struct {
    uint64_t random;
    uint32_t number; /* of the next frame */
    uint8_t bytes[LINE_SIZE];
    size_t length;
    line_frame frames[LINE_FRAMES + 2u];
    size_t count;
    size_t damaged; /* of those */
} line_generator;

/* Begins the sequence of lines that belongs to `seed`. */
void line_init(line_generator *line, uint64_t seed);

/* Makes the next line; it ends with a zero byte. */
void line_next(line_generator *line);

#endif
