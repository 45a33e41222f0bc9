/* Frames to bytes and back: COBS and CRC-32 around the frames of wire_format.h (see PROTOCOL.md).
 *
 * No allocation, no hidden state; every function is bounded by the largest frame. */
#ifndef MW_WIRE_H
#define MW_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire_format.h"

/* Bytes mw_wire_encode may write: the largest frame and the zero bytes around it. */
#define MW_WIRE_ENCODE_SIZE (MW_WIRE_MAX_ENCODED + 2u)

/* CRC-32 as zlib computes it (polynomial 0xEDB88320, reflected), of `length` bytes. */
uint32_t mw_wire_crc32(const uint8_t *bytes, size_t length);

/* The same over data in pieces: `before` is that of all before them, 0 at the first. */
uint32_t mw_wire_crc32_more(uint32_t before, const uint8_t *bytes, size_t length);

/* Writes one frame as it goes on the line and returns its length in bytes.
 *
 * `out` holds MW_WIRE_ENCODE_SIZE bytes. Returns 0, with nothing written, when `length` is over
 * MW_WIRE_MAX_PAYLOAD. Reentrant. */
size_t mw_wire_encode(uint8_t *out, uint8_t type, uint16_t sequence, const uint8_t *payload,
                      size_t length);

/* One received frame. `payload` points into the decoder and lives until its next byte. */
typedef struct {
    uint8_t type;
    uint16_t sequence;
    const uint8_t *payload;
    size_t length;
} mw_wire_frame;

typedef enum {
    MW_WIRE_NOTHING,   /* no frame ends here */
    MW_WIRE_FRAME,     /* `frame` is filled in; its length is not yet checked against its type */
    MW_WIRE_CRC_ERROR, /* the bytes since the last zero byte have a wrong checksum */
    MW_WIRE_MALFORMED  /* the bytes since the last zero byte are no frame */
} mw_wire_event;

typedef struct {
    uint8_t bytes[MW_WIRE_MAX_ENCODED];
    size_t length;
    bool overlong;
} mw_wire_decoder;

/* Makes `decoder` wait for the first byte of a frame. */
void mw_wire_decoder_init(mw_wire_decoder *decoder);

/* Takes one byte from the line. Any sequence of bytes is safe; damage costs only the frames it
 * hits, because every frame both begins and ends with a zero byte. */
mw_wire_event mw_wire_decode(mw_wire_decoder *decoder, uint8_t byte, mw_wire_frame *frame);

#endif
