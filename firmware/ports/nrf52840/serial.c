/* The serial line over UARTE0, by EasyDMA both ways.
 *
 * UARTE, PS 6.34. Out: EasyDMA reads the transmit ring itself, up to where its storage ends, while
 * the main loop goes on writing behind. In: two buffers in turn; when one is full the receiver's FIFO
 * of six bytes holds what comes until the interrupt has named the other, 60 us at 1 Mbaud. Bytes of a buffer that is not full yet are handed over when the line has
 * been quiet for QUIET_US: every byte counts TIMER1 up and starts TIMER2 anew, through PPI, so the
 * core hears of it once a frame and knows how many bytes there are without stopping the receiver,
 * which could lose some. */
#include "serial.h"

#include "board.h"
#include "handlers.h"
#include "port.h"
#include "soc.h"

#define RX_CHUNK 32u
#define QUIET_US 100u         /* ten bytes; also far longer than a byte's way from the line to RAM */
#define STOP_TIMEOUT_US 1000u /* the receiver stops within five bytes */

#define PPI_COUNT 0u
#define PPI_QUIET 1u
#define CC_COUNT 0u
#define CC_QUIET 0u

static mw_app *app;
static uint32_t sending; /* bytes of the ring that are on their way; 0 when the line is idle */

static uint8_t rx[2][RX_CHUNK];
static uint32_t receiving;    /* which buffer is being filled */
static uint32_t taken;        /* bytes of it that the application has */
static uint32_t buffer_start; /* value of TIMER1 at its first byte */

/* ---- Out ------------------------------------------------------------------------------------- */

/* Application's interrupts masked, or in one of them. */
static void send(void) {
    mw_ring *ring = &app->transmitter.ring;
    uint32_t read = atomic_load(&ring->read);
    if (sending > 0u) {
        if (UARTE_EVENTS_ENDTX == 0u) {
            return;
        }
        mw_event_clear(&UARTE_EVENTS_ENDTX);
        read += sending;
        atomic_store(&ring->read, read);
    }
    uint32_t from = read & (ring->size - 1u);
    uint32_t used = mw_ring_used(ring);
    sending = used < ring->size - from ? used : ring->size - from;
    if (sending > 0u) {
        UARTE_TXD_PTR = (uint32_t)(uintptr_t)&ring->bytes[from];
        UARTE_TXD_MAXCNT = sending;
        __asm volatile("dsb" ::: "memory"); /* what DMA reads is in RAM before it starts */
        UARTE_TASKS_STARTTX = 1;
    }
}

/* ---- In -------------------------------------------------------------------------------------- */

static void hand_over(const uint8_t *bytes, uint32_t until) {
    while (taken < until) {
        mw_app_on_byte(app, bytes[taken++]);
    }
}

static void receive_into(uint32_t buffer) {
    receiving = buffer;
    taken = 0;
    UARTE_RXD_PTR = (uint32_t)(uintptr_t)rx[buffer];
    UARTE_RXD_MAXCNT = RX_CHUNK;
    UARTE_TASKS_STARTRX = 1;
}

static uint32_t received(void) {
    TIMER_TASKS_CAPTURE(TIMER1, CC_COUNT) = 1;
    return TIMER_CC(TIMER1, CC_COUNT);
}

static bool wait_for(const volatile uint32_t *event) {
    uint64_t begin = mw_port_time_us();
    while (*event == 0u) {
        if (mw_port_time_us() - begin > STOP_TIMEOUT_US) {
            return false;
        }
    }
    return true;
}

/* After an overrun or a break the count of bytes means nothing: what is under way is dropped, the
 * frame's checksum tells, and both start anew. */
static void restart_receiver(void) {
    UARTE_ERRORSRC = UARTE_ERRORSRC;
    mw_event_clear(&UARTE_EVENTS_ERROR);
    mw_event_clear(&UARTE_EVENTS_RXTO);
    UARTE_TASKS_STOPRX = 1;
    (void)wait_for(&UARTE_EVENTS_RXTO);
    mw_event_clear(&UARTE_EVENTS_ENDRX);
    UARTE_TASKS_FLUSHRX = 1; /* into the buffer that is about to be forgotten */
    (void)wait_for(&UARTE_EVENTS_ENDRX);
    mw_event_clear(&UARTE_EVENTS_ENDRX);
    TIMER_TASKS_CLEAR(TIMER1) = 1;
    buffer_start = 0;
    receive_into(0);
}

/* Application's interrupts masked, or in one of them. */
static void receive(void) {
    if (UARTE_EVENTS_ERROR != 0u) {
        restart_receiver();
        return;
    }
    if (UARTE_EVENTS_ENDRX != 0u) {
        mw_event_clear(&UARTE_EVENTS_ENDRX);
        const uint8_t *full = rx[receiving];
        uint32_t amount = UARTE_RXD_AMOUNT;
        uint32_t already = taken;
        /* First the receiver, whose FIFO holds what comes meanwhile. */
        receive_into(receiving ^ 1u);
        buffer_start += amount;
        for (uint32_t i = already; i < amount; i++) {
            mw_app_on_byte(app, full[i]);
        }
    }
    if (TIMER_EVENTS_COMPARE(TIMER2, CC_QUIET) != 0u) {
        mw_event_clear(&TIMER_EVENTS_COMPARE(TIMER2, CC_QUIET));
        /* Erratum 78: a timer that is only stopped keeps drawing current. */
        TIMER_TASKS_SHUTDOWN(TIMER2) = 1;
        uint32_t waiting = received() - buffer_start;
        hand_over(rx[receiving], waiting < RX_CHUNK ? waiting : RX_CHUNK);
    }
}

/* ---- Both ------------------------------------------------------------------------------------ */

void mw_serial_interrupt(void) {
    receive();
    send();
}

void mw_serial_serve(void) {
    uint32_t saved = mw_port_irq_save();
    receive();
    send();
    mw_port_irq_restore(saved);
}

void mw_port_serial_kick(void) {
    uint32_t saved = mw_port_irq_save();
    send();
    mw_port_irq_restore(saved);
}

void mw_serial_init(mw_app *for_app) {
    app = for_app;
    /* PS 6.34.8: the pins' own configuration holds while UARTE is off. */
    GPIO_OUTSET(MW_PIN_TXD) = GPIO_BIT(MW_PIN_TXD);
    GPIO_PIN_CNF(MW_PIN_TXD) = GPIO_CNF_OUTPUT | GPIO_CNF_INPUT_DISCONNECT;
    GPIO_PIN_CNF(MW_PIN_RXD) = GPIO_CNF_PULL_UP; /* idle when nothing is connected */
    UARTE_PSEL_TXD = MW_PIN_TXD;
    UARTE_PSEL_RXD = MW_PIN_RXD;
    UARTE_BAUDRATE = UARTE_BAUDRATE_1M;
    UARTE_ENABLE = UARTE_ENABLE_UARTE;

    TIMER_MODE(TIMER1) = TIMER_MODE_LOW_POWER_COUNTER;
    TIMER_BITMODE(TIMER1) = TIMER_BITMODE_32;
    TIMER_TASKS_CLEAR(TIMER1) = 1;
    TIMER_TASKS_START(TIMER1) = 1;
    PPI_CH_EEP(PPI_COUNT) = UARTE_EVENTS_RXDRDY_ADDRESS;
    PPI_CH_TEP(PPI_COUNT) = TIMER_TASKS_COUNT_ADDRESS(TIMER1);

    TIMER_MODE(TIMER2) = TIMER_MODE_TIMER;
    TIMER_BITMODE(TIMER2) = TIMER_BITMODE_32;
    TIMER_PRESCALER(TIMER2) = TIMER_PRESCALER_1MHZ;
    TIMER_CC(TIMER2, CC_QUIET) = QUIET_US;
    TIMER_INTENSET(TIMER2) = TIMER_INTERRUPT_COMPARE(CC_QUIET);
    PPI_CH_EEP(PPI_QUIET) = UARTE_EVENTS_RXDRDY_ADDRESS;
    PPI_CH_TEP(PPI_QUIET) = TIMER_TASKS_CLEAR_ADDRESS(TIMER2);
    PPI_FORK_TEP(PPI_QUIET) = TIMER_TASKS_START_ADDRESS(TIMER2);
    PPI_CHENSET = 1u << PPI_COUNT | 1u << PPI_QUIET;

    UARTE_INTENSET = UARTE_INTERRUPT_ENDRX | UARTE_INTERRUPT_ENDTX | UARTE_INTERRUPT_ERROR;
    mw_irq_enable(IRQ_UARTE, MW_PRIORITY_APPLICATION);
    mw_irq_enable(IRQ_TIMER2, MW_PRIORITY_APPLICATION);
    receive_into(0);
}
