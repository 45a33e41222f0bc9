/* Lines with damaged frames on them. */
#include "lines.h"

/* Of four frames one stays whole, so that whole frames stand next to every kind of damage. */
#define INTACT_ONE_IN 4u

/* splitmix64: Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014. */
static uint64_t next_random(line_generator *line) {
    uint64_t z = line->random += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* From 0 to `limit` - 1. */
static size_t below(line_generator *line, size_t limit) {
    return (size_t)((next_random(line) >> 32) * limit >> 32);
}

static uint8_t random_byte(line_generator *line) { return (uint8_t)next_random(line); }

/* ---- Frames ---------------------------------------------------------------------------------- */

/* Values as they come: random, all zero or all 0xFF, which is what COBS finds hard. */
static uint8_t *put_values(line_generator *line, uint8_t *at, size_t bytes) {
    size_t kind = below(line, 8u);
    for (size_t i = 0; i < bytes; i++) {
        uint8_t value = random_byte(line);
        if (kind == 0u) {
            value = 0;
        } else if (kind == 1u) {
            value = 0xFF;
        } else if (kind == 2u && value > 32u) {
            value = 0;
        }
        *at++ = value;
    }
    return at;
}

static uint8_t *put_data_frame(line_generator *line, uint8_t *at) {
    bool raw = below(line, 8u) == 0u;
    mw_wire_data head = {
        .first_tick = 20u * line->number,
        .time_us = 20000u * (uint64_t)line->number,
        .flags = raw ? MW_WIRE_DATA_FLAG_RAW : 0u,
        .count = (uint8_t)(1u + below(line, MW_WIRE_BATCH_SAMPLES)),
        .outputs = (uint8_t)(1u + below(line, 3u)),
    };
    at = mw_wire_put_data(at, &head);
    at = put_values(line, at, (size_t)head.count * head.outputs);
    return raw ? put_values(line, at, (size_t)head.count * 12u) : at;
}

static uint8_t *put_text_frame(line_generator *line, uint8_t *at) {
    at = mw_wire_put_text(at, &(mw_wire_text){.level = MW_WIRE_LEVEL_INFO});
    size_t length = below(line, 40u);
    *at++ = (uint8_t)length;
    for (size_t i = 0; i < length; i++) {
        *at++ = (uint8_t)(' ' + below(line, 95u));
    }
    return at;
}

/* Adds the next frame to the list and writes its bytes to `out`; returns how many. */
static size_t make_frame(line_generator *line, uint8_t *out) {
    line_frame *frame = &line->frames[line->count++];
    uint8_t *payload = &frame->body[MW_WIRE_HEADER_SIZE];
    uint8_t *end = payload;
    size_t kind = below(line, 8u);
    uint8_t type = MW_WIRE_TYPE_DATA;
    if (kind < 5u) {
        end = put_data_frame(line, payload);
    } else if (kind == 5u) {
        type = MW_WIRE_TYPE_TEXT;
        end = put_text_frame(line, payload);
    } else {
        type = MW_WIRE_TYPE_PONG;
        end = mw_wire_put_pong(payload, &(mw_wire_pong){.token = line->number, .time_us = 1u});
    }
    uint16_t sequence = (uint16_t)line->number++;
    frame->body[0] = type;
    (void)mw_wire_put_u(&frame->body[1], sequence, 2u);
    frame->length = (size_t)(end - frame->body);
    frame->intact = false;
    return mw_wire_encode(out, type, sequence, payload, (size_t)(end - payload));
}

/* ---- Damage ---------------------------------------------------------------------------------- */

static void put(line_generator *line, const uint8_t *bytes, size_t length) {
    memcpy(&line->bytes[line->length], bytes, length);
    line->length += length;
}

static void put_whole(line_generator *line, const uint8_t *bytes, size_t n, line_frame *frame) {
    frame->intact = true;
    put(line, bytes, n);
}

static void put_garbage(line_generator *line, size_t length, bool zeros) {
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = random_byte(line);
        line->bytes[line->length++] = byte == 0u && !zeros ? 1u : byte;
    }
}

/* What becomes of one frame of `n` bytes; most of it happens where noise, a full buffer or a plug
 * pulled out and in again would make it happen. */
static void put_damaged(line_generator *line, uint8_t *bytes, size_t n) {
    size_t at = below(line, n);
    size_t left = n - at;
    switch (below(line, 11u)) {
    case 0: /* up to three bits turned over */
        for (size_t i = 0; i <= below(line, 3u); i++) {
            bytes[below(line, n)] ^= (uint8_t)(1u << below(line, 8u));
        }
        put(line, bytes, n);
        break;
    case 1: /* up to eight bytes changed */
        for (size_t i = 0; i <= below(line, 8u); i++) {
            bytes[below(line, n)] ^= (uint8_t)(1u + below(line, 255u));
        }
        put(line, bytes, n);
        break;
    case 2: { /* a piece lost */
        size_t lost = 1u + below(line, left);
        put(line, bytes, at);
        put(line, &bytes[at + lost], left - lost);
        break;
    }
    case 3: /* a piece put in */
        put(line, bytes, at);
        put_garbage(line, 1u + below(line, 16u), true);
        put(line, &bytes[at], left);
        break;
    case 4: /* its beginning only */
        put(line, bytes, at);
        break;
    case 5: /* its end only */
        put(line, &bytes[at + 1u], left - 1u);
        break;
    case 6: /* zero bytes in the middle */
        for (size_t i = 0; i <= below(line, 4u); i++) {
            bytes[below(line, n)] = 0;
        }
        put(line, bytes, n);
        break;
    case 7: /* a burst: everything wrong for a while */
        for (size_t i = at; i < at + 1u + below(line, left); i++) {
            bytes[i] = random_byte(line);
        }
        put(line, bytes, n);
        break;
    case 8: /* a line stuck high from there on */
        memset(&bytes[at], 0xFF, left);
        put(line, bytes, n);
        break;
    case 9: /* bytes in another order */
        for (size_t i = at; i < n; i++) {
            size_t other = at + below(line, left);
            uint8_t kept = bytes[i];
            bytes[i] = bytes[other];
            bytes[other] = kept;
        }
        put(line, bytes, n);
        break;
    default: /* garbage of any length in its place */
        put_garbage(line, below(line, LINE_GARBAGE_MAX), below(line, 2u) == 0u);
        break;
    }
}

/* What happens to two frames that follow each other. */
static void put_two(line_generator *line) {
    uint8_t one[MW_WIRE_ENCODE_SIZE];
    uint8_t two[MW_WIRE_ENCODE_SIZE];
    size_t n = make_frame(line, one);
    size_t m = make_frame(line, two);
    line_frame *frames = &line->frames[line->count - 2u];
    switch (below(line, 3u)) {
    case 0: { /* reordered, both of them whole */
        line_frame first = frames[0];
        frames[0] = frames[1];
        frames[1] = first;
        put_whole(line, two, m, &frames[0]);
        put_whole(line, one, n, &frames[1]);
        return;
    }
    case 1: /* merged: the zero bytes between them lost */
        put(line, one, n - 1u);
        put(line, &two[1], m - 1u);
        break;
    default: { /* the beginning of one and the end of the other */
        put(line, one, 1u + below(line, n - 1u));
        size_t from = 1u + below(line, m - 1u);
        put(line, &two[from], m - from);
        break;
    }
    }
    line->damaged += 2u;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

void line_init(line_generator *line, uint64_t seed) {
    line->random = seed;
    line->number = 0;
}

void line_next(line_generator *line) {
    line->length = 0;
    line->count = 0;
    line->damaged = 0;
    uint8_t bytes[MW_WIRE_ENCODE_SIZE];
    while (line->count < LINE_FRAMES) {
        if (below(line, 16u) == 0u) {
            put_two(line);
            continue;
        }
        size_t n = make_frame(line, bytes);
        line_frame *frame = &line->frames[line->count - 1u];
        if (below(line, INTACT_ONE_IN) != 0u) {
            uint8_t spoiled[MW_WIRE_ENCODE_SIZE];
            memcpy(spoiled, bytes, n);
            size_t begin = line->length;
            put_damaged(line, spoiled, n);
            /* Random damage may happen to leave everything as it was. */
            frame->intact = line->length - begin == n && memcmp(&line->bytes[begin], bytes, n) == 0;
            line->damaged += frame->intact ? 0u : 1u;
            continue;
        }
        put_whole(line, bytes, n, frame);
        if (below(line, 8u) == 0u && line->count < LINE_FRAMES) {
            /* Sent twice: nothing is wrong with either. */
            line->frames[line->count] = *frame;
            put_whole(line, bytes, n, &line->frames[line->count++]);
        }
    }
    line->bytes[line->length++] = 0;
}
