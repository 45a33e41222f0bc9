/* Fuzz target: the frame decoder. Whatever it takes for a frame encodes to that frame again. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "wire.h"

static void require(int holds) {
    if (!holds) {
        abort();
    }
}

static void check_round_trip(const mw_wire_frame *frame) {
    require(frame->length <= MW_WIRE_MAX_PAYLOAD);
    uint8_t encoded[MW_WIRE_ENCODE_SIZE];
    size_t length = mw_wire_encode(encoded, frame->type, frame->sequence, frame->payload,
                                   frame->length);
    require(length > 0u && length <= sizeof encoded);
    mw_wire_decoder decoder;
    mw_wire_decoder_init(&decoder);
    mw_wire_frame again = {0};
    for (size_t i = 0; i < length; i++) {
        mw_wire_event event = mw_wire_decode(&decoder, encoded[i], &again);
        require(event == (i + 1u < length ? MW_WIRE_NOTHING : MW_WIRE_FRAME));
    }
    require(again.type == frame->type && again.sequence == frame->sequence);
    require(again.length == frame->length);
    require(memcmp(again.payload, frame->payload, frame->length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mw_wire_decoder decoder;
    mw_wire_decoder_init(&decoder);
    for (size_t i = 0; i < size; i++) {
        mw_wire_frame frame;
        if (mw_wire_decode(&decoder, data[i], &frame) == MW_WIRE_FRAME) {
            check_round_trip(&frame);
        }
    }
    return 0;
}
