/* Changes lines where it matters: without a right checksum a frame's content would never be read. */
#include <stdbool.h>
#include <string.h>

#include "fuzz.h"
#include "wire.h"

/* Every type the board or its IMU link takes. */
static const uint8_t types[] = {
    MW_WIRE_TYPE_IDENTIFY,       MW_WIRE_TYPE_START,           MW_WIRE_TYPE_STOP,
    MW_WIRE_TYPE_SET_RAW,        MW_WIRE_TYPE_RESET_COUNTERS,  MW_WIRE_TYPE_PING,
    MW_WIRE_TYPE_GET_STATISTICS, MW_WIRE_TYPE_REPLAY,          MW_WIRE_TYPE_REPLAY_SAMPLES,
    MW_WIRE_TYPE_SET_CALIBRATION, MW_WIRE_TYPE_MEASURE_GYRO_BIAS, MW_WIRE_TYPE_IMU_DESCRIBE,
    MW_WIRE_TYPE_IMU_SAMPLES,    MW_WIRE_TYPE_IMU_END,
};

/* Puts a frame in the place of data[from] to data[to - 1]; nothing when it finds no room. */
static size_t replace(uint8_t *data, size_t size, size_t max_size, size_t from, size_t to,
                      const uint8_t *body, size_t length) {
    uint8_t encoded[MW_WIRE_ENCODE_SIZE];
    size_t n = mw_wire_encode(encoded, body[0], (uint16_t)mw_wire_get_u(&body[1], 2u),
                              &body[MW_WIRE_HEADER_SIZE], length - MW_WIRE_HEADER_SIZE);
    if (n == 0u || size - (to - from) + n > max_size) {
        return size;
    }
    memmove(&data[from + n], &data[to], size - to);
    memcpy(&data[from], encoded, n);
    return size - (to - from) + n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    uint8_t body[MW_WIRE_HEADER_SIZE + MW_WIRE_MAX_PAYLOAD] = {0};
    size_t at = size > 0u ? (seed >> 8) % size : 0u;
    switch (seed % 4u) {
    case 0: /* anything to any byte */
        return LLVMFuzzerMutate(data, size, max_size);
    case 1: { /* a new frame, put in anywhere */
        body[0] = types[(seed >> 4) % sizeof types];
        size_t length = LLVMFuzzerMutate(&body[MW_WIRE_HEADER_SIZE], 1u, MW_WIRE_MAX_PAYLOAD);
        return replace(data, size, max_size, at, at, body, MW_WIRE_HEADER_SIZE + length);
    }
    default: { /* the content of the frame that ends next after `at` */
        mw_wire_decoder decoder;
        mw_wire_decoder_init(&decoder);
        while (at > 0u && data[at - 1u] != 0u) {
            at--;
        }
        size_t from = at;
        for (size_t i = at; i < size; i++) {
            mw_wire_frame frame;
            if (mw_wire_decode(&decoder, data[i], &frame) == MW_WIRE_FRAME) {
                size_t length = MW_WIRE_HEADER_SIZE + frame.length;
                body[0] = frame.type;
                (void)mw_wire_put_u(&body[1], frame.sequence, 2u);
                memcpy(&body[MW_WIRE_HEADER_SIZE], frame.payload, frame.length);
                length = LLVMFuzzerMutate(body, length, sizeof body);
                length = length < MW_WIRE_HEADER_SIZE ? MW_WIRE_HEADER_SIZE : length;
                return replace(data, size, max_size, from, i + 1u, body, length);
            }
            if (data[i] == 0u) {
                from = i;
            }
        }
        return LLVMFuzzerMutate(data, size, max_size);
    }
    }
}
