/* Frames to bytes and back: COBS and CRC-32. */
#include "wire.h"

/* Four bits a step: 64 bytes of table in place of 1 KB. */
uint32_t mw_wire_crc32_more(uint32_t before, const uint8_t *bytes, size_t length) {
    static const uint32_t table[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
        0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
        0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
    };
    uint32_t crc = ~before;
    for (size_t i = 0; i < length; i++) {
        crc = table[(crc ^ bytes[i]) & 15u] ^ (crc >> 4);
        crc = table[(crc ^ ((uint32_t)bytes[i] >> 4)) & 15u] ^ (crc >> 4);
    }
    return ~crc;
}

uint32_t mw_wire_crc32(const uint8_t *bytes, size_t length) {
    return mw_wire_crc32_more(0u, bytes, length);
}

/* COBS writer: `code` is where the length of the run being written will go. */
typedef struct {
    uint8_t *out;
    size_t at;
    size_t code;
} stuffer;

static void stuff(stuffer *s, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        /* A run is closed only when another byte follows: a frame that ends with a full run gets
         * no further code byte. */
        if (s->at - s->code == 255u) {
            s->out[s->code] = 255u;
            s->code = s->at++;
        }
        if (bytes[i] != 0u) {
            s->out[s->at++] = bytes[i];
        } else {
            s->out[s->code] = (uint8_t)(s->at - s->code);
            s->code = s->at++;
        }
    }
}

size_t mw_wire_encode(uint8_t *out, uint8_t type, uint16_t sequence, const uint8_t *payload,
                      size_t length) {
    if (length > MW_WIRE_MAX_PAYLOAD) {
        return 0;
    }
    uint8_t body[MW_WIRE_HEADER_SIZE + MW_WIRE_MAX_PAYLOAD];
    body[0] = type;
    (void)mw_wire_put_u(&body[1], sequence, 2u);
    if (length > 0u) {
        memcpy(&body[MW_WIRE_HEADER_SIZE], payload, length);
    }
    size_t body_length = MW_WIRE_HEADER_SIZE + length;
    uint8_t crc[MW_WIRE_CRC_SIZE];
    (void)mw_wire_put_u(crc, mw_wire_crc32(body, body_length), MW_WIRE_CRC_SIZE);

    stuffer s = {.out = out, .at = 2, .code = 1};
    out[0] = 0;
    stuff(&s, body, body_length);
    stuff(&s, crc, sizeof crc);
    out[s.code] = (uint8_t)(s.at - s.code);
    out[s.at++] = 0;
    return s.at;
}

void mw_wire_decoder_init(mw_wire_decoder *decoder) {
    decoder->length = 0;
    decoder->overlong = false;
}

/* Undoes COBS in place (the output never overtakes the input); false when it is not COBS. */
static bool unstuff(uint8_t *bytes, size_t length, size_t *out_length) {
    size_t in = 0;
    size_t out = 0;
    while (in < length) {
        size_t run = bytes[in++];
        if (run == 0u || run - 1u > length - in) {
            return false;
        }
        for (size_t i = 1; i < run; i++) {
            bytes[out++] = bytes[in++];
        }
        if (run < 255u && in < length) {
            bytes[out++] = 0;
        }
    }
    *out_length = out;
    return true;
}

mw_wire_event mw_wire_decode(mw_wire_decoder *decoder, uint8_t byte, mw_wire_frame *frame) {
    if (byte != 0u) {
        if (decoder->length < sizeof decoder->bytes) {
            decoder->bytes[decoder->length++] = byte;
        } else {
            decoder->overlong = true;
        }
        return MW_WIRE_NOTHING;
    }
    size_t encoded = decoder->length;
    bool overlong = decoder->overlong;
    mw_wire_decoder_init(decoder);
    if (encoded == 0u) {
        return MW_WIRE_NOTHING;
    }
    size_t length = 0;
    if (overlong || !unstuff(decoder->bytes, encoded, &length) ||
        length < MW_WIRE_HEADER_SIZE + MW_WIRE_CRC_SIZE || length > MW_WIRE_MAX_FRAME) {
        return MW_WIRE_MALFORMED;
    }
    size_t body = length - MW_WIRE_CRC_SIZE;
    if (mw_wire_get_u(&decoder->bytes[body], MW_WIRE_CRC_SIZE) !=
        mw_wire_crc32(decoder->bytes, body)) {
        return MW_WIRE_CRC_ERROR;
    }
    frame->type = decoder->bytes[0];
    frame->sequence = (uint16_t)mw_wire_get_u(&decoder->bytes[1], 2u);
    frame->payload = &decoder->bytes[MW_WIRE_HEADER_SIZE];
    frame->length = body - MW_WIRE_HEADER_SIZE;
    return MW_WIRE_FRAME;
}
