/* Frames on their way out: numbering, encoding, and the ring the UART interrupt empties.
 *
 * A frame goes into the ring whole or not at all. */
#ifndef MW_TRANSMITTER_H
#define MW_TRANSMITTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring.h"
#include "wire.h"

#define MW_TX_RING_SIZE 2048u
/* Data frames leave this much of the ring to answers, so that a backlogged board still answers. */
#define MW_TX_RESERVE 512u

typedef struct {
    mw_ring ring;
    uint8_t storage[MW_TX_RING_SIZE];
    uint8_t payload[MW_WIRE_MAX_PAYLOAD]; /* where the main loop builds the next frame */
    uint8_t encoded[MW_WIRE_ENCODE_SIZE];
    uint16_t sequence;
} mw_transmitter;

void mw_transmitter_init(mw_transmitter *transmitter);

/* Sends the frame whose payload lies in `transmitter->payload`, up to (not including) `end`.
 *
 * `reserve` bytes of the ring stay free. Returns false, and sends nothing, when there is no room:
 * then the sequence number is not used up either. Main loop only. */
bool mw_transmitter_send(mw_transmitter *transmitter, uint8_t type, const uint8_t *end,
                         uint32_t reserve);

#endif
