/* Frames on their way out. */
#include "transmitter.h"

#include "port.h"

void mw_transmitter_init(mw_transmitter *transmitter) {
    mw_ring_init(&transmitter->ring, transmitter->storage, sizeof transmitter->storage);
    transmitter->sequence = 0;
}

bool mw_transmitter_send(mw_transmitter *transmitter, uint8_t type, const uint8_t *end,
                         uint32_t reserve) {
    size_t length = (size_t)(end - transmitter->payload);
    size_t encoded = mw_wire_encode(transmitter->encoded, type, transmitter->sequence,
                                    transmitter->payload, length);
    if (encoded == 0u || mw_ring_room(&transmitter->ring) < (uint32_t)encoded + reserve ||
        !mw_ring_write(&transmitter->ring, transmitter->encoded, (uint32_t)encoded)) {
        return false;
    }
    transmitter->sequence++;
    mw_port_serial_kick();
    return true;
}
