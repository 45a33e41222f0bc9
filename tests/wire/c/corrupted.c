/* Feeds damaged lines to the firmware's decoder and holds it to its promise:
 *
 *     corrupted FRAMES SEED
 *
 * until FRAMES damaged frames have gone through. Every frame delivered was sent, byte for byte and
 * in its order, and every frame nothing has happened to is delivered, whatever stands beside it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lines.h"

static line_generator line;
static mw_wire_decoder decoder;

static struct {
    uint64_t lines;
    uint64_t damaged;
    uint64_t whole;
    uint64_t delivered;
    uint64_t crc_errors;
    uint64_t malformed;
} total;

static void fail(const char *what) {
    (void)fprintf(stderr, "line %" PRIu64 ": %s\n", total.lines, what);
    exit(EXIT_FAILURE);
}

static bool is_frame(const line_frame *sent, const mw_wire_frame *got) {
    return sent->length == MW_WIRE_HEADER_SIZE + got->length && sent->body[0] == got->type &&
           mw_wire_get_u(&sent->body[1], 2u) == got->sequence &&
           memcmp(&sent->body[MW_WIRE_HEADER_SIZE], got->payload, got->length) == 0;
}

/* Returns the place after the frame delivered, searched from `next` on. */
static size_t match(size_t next, const mw_wire_frame *got) {
    for (; next < line.count; next++) {
        if (is_frame(&line.frames[next], got)) {
            return next + 1u;
        }
        if (line.frames[next].intact) {
            fail("a whole frame was not delivered, or a frame out of its order");
        }
    }
    fail("a frame was delivered that was not sent");
    return next;
}

static void feed_line(void) {
    size_t next = 0;
    for (size_t i = 0; i < line.length; i++) {
        mw_wire_frame frame;
        switch (mw_wire_decode(&decoder, line.bytes[i], &frame)) {
        case MW_WIRE_FRAME:
            next = match(next, &frame);
            total.delivered++;
            break;
        case MW_WIRE_CRC_ERROR:
            total.crc_errors++;
            break;
        case MW_WIRE_MALFORMED:
            total.malformed++;
            break;
        case MW_WIRE_NOTHING:
        default:
            break;
        }
    }
    for (; next < line.count; next++) {
        if (line.frames[next].intact) {
            fail("a whole frame was not delivered");
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        (void)fputs("usage: corrupted FRAMES SEED\n", stderr);
        return 2;
    }
    uint64_t wanted = strtoull(argv[1], NULL, 10);
    line_init(&line, strtoull(argv[2], NULL, 10));
    mw_wire_decoder_init(&decoder);
    while (total.damaged < wanted) {
        line_next(&line);
        feed_line();
        total.lines++;
        total.damaged += line.damaged;
        total.whole += line.count - line.damaged;
    }
    (void)printf("{\"lines\": %" PRIu64 ", \"damaged\": %" PRIu64 ", \"whole\": %" PRIu64
                 ", \"delivered\": %" PRIu64 ", \"crc_errors\": %" PRIu64 ", \"malformed\": %" PRIu64
                 "}\n",
                 total.lines, total.damaged, total.whole, total.delivered, total.crc_errors,
                 total.malformed);
    return EXIT_SUCCESS;
}
