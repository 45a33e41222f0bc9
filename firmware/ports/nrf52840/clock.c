/* Time and the sample clock, over HFXO and TIMER0, or the IMU's data-ready line over GPIOTE. */
#include "clock.h"

#include "board.h"
#include "handlers.h"
#include "port.h"
#include "soc.h"

/* PS 5.4.4.1: HFXO starts within 0.36 ms, typically. */
#define CRYSTAL_TIMEOUT_US 10000u
#define WAKE_PERIOD_US 10000u
/* A compare value that the counter may pass while it is being written never matches. */
#define MARGIN_US 3u

/* What the compare and capture registers of TIMER0 are for. */
#define CC_SAMPLE 0u
#define CC_NOW 1u
#define CC_WAKE 2u
#define DATA_READY_CHANNEL 0u

static mw_acquisition *listener; /* hears of every tick */
static uint64_t total_us;
static uint32_t last_us;
static uint32_t sample_period_us;

/* Interrupts masked, or in the handlers of highest priority. */
static uint32_t counter_us(void) {
    TIMER_TASKS_CAPTURE(TIMER0, CC_NOW) = 1;
    return TIMER_CC(TIMER0, CC_NOW);
}

/* Every caller extends the counter, which wraps after 71 minutes; the wake-up tick is one. All
 * interrupts are off for it, also the sample clock's, which reads time itself: a dozen instructions. */
uint64_t mw_port_time_us(void) {
    uint32_t primask;
    __asm volatile("mrs %0, primask\n cpsid i" : "=r"(primask)::"memory");
    uint32_t now = counter_us();
    total_us += now - last_us;
    last_us = now;
    uint64_t result = total_us;
    __asm volatile("msr primask, %0" ::"r"(primask) : "memory");
    return result;
}

static bool start_crystal(void) {
    /* Erratum 36: these are not cleared by every reset. */
    CLOCK_EVENTS_DONE = 0;
    CLOCK_EVENTS_CTTO = 0;
    CLOCK_CTIV = 0;
    CLOCK_EVENTS_HFCLKSTARTED = 0;
    CLOCK_TASKS_HFCLKSTART = 1;
    uint64_t begin = mw_port_time_us();
    while (CLOCK_EVENTS_HFCLKSTARTED == 0u) {
        if (mw_port_time_us() - begin > CRYSTAL_TIMEOUT_US) {
            return false;
        }
    }
    return true;
}

bool mw_clock_init(mw_acquisition *acquisition) {
    listener = acquisition;
    TIMER_MODE(TIMER0) = TIMER_MODE_TIMER;
    TIMER_BITMODE(TIMER0) = TIMER_BITMODE_32;
    TIMER_PRESCALER(TIMER0) = TIMER_PRESCALER_1MHZ;
    TIMER_TASKS_CLEAR(TIMER0) = 1;
    TIMER_TASKS_START(TIMER0) = 1;
    bool crystal = start_crystal();

    TIMER_CC(TIMER0, CC_WAKE) = WAKE_PERIOD_US + (uint32_t)mw_port_time_us();
    mw_event_clear(&TIMER_EVENTS_COMPARE(TIMER0, CC_WAKE));
    TIMER_INTENSET(TIMER0) = TIMER_INTERRUPT_COMPARE(CC_WAKE);
    mw_irq_enable(IRQ_TIMER0, MW_PRIORITY_CLOCK);

    GPIO_PIN_CNF(MW_PIN_IMU_INT1) = GPIO_CNF_PULL_DOWN; /* an input; quiet when nothing drives it */
    mw_irq_enable(IRQ_GPIOTE, MW_PRIORITY_CLOCK);
    return crystal;
}

void mw_clock_start_timer(uint32_t period_us) {
    uint32_t saved = mw_port_irq_save();
    sample_period_us = period_us;
    TIMER_CC(TIMER0, CC_SAMPLE) = (uint32_t)mw_port_time_us() + period_us;
    mw_event_clear(&TIMER_EVENTS_COMPARE(TIMER0, CC_SAMPLE));
    TIMER_INTENSET(TIMER0) = TIMER_INTERRUPT_COMPARE(CC_SAMPLE);
    mw_port_irq_restore(saved);
}

void mw_clock_start_data_ready(void) {
    GPIOTE_CONFIG(DATA_READY_CHANNEL) =
        GPIOTE_CONFIG_EVENT | GPIOTE_CONFIG_PSEL(MW_PIN_IMU_INT1) | GPIOTE_CONFIG_RISING;
    mw_event_clear(&GPIOTE_EVENTS_IN(DATA_READY_CHANNEL));
    GPIOTE_INTENSET = 1u << DATA_READY_CHANNEL;
}

void mw_clock_stop(void) {
    TIMER_INTENCLR(TIMER0) = TIMER_INTERRUPT_COMPARE(CC_SAMPLE);
    GPIOTE_INTENCLR = 1u << DATA_READY_CHANNEL;
    GPIOTE_CONFIG(DATA_READY_CHANNEL) = 0;
    sample_period_us = 0;
    __asm volatile("dsb\n isb" ::: "memory");
}

/* The next tick is a multiple of the period away; ticks that a debugger has held up are left out, which
 * the stamps tell. */
static void serve_sample_clock(void) {
    mw_event_clear(&TIMER_EVENTS_COMPARE(TIMER0, CC_SAMPLE));
    mw_acquisition_on_clock(listener, mw_port_time_us());
    uint32_t due = TIMER_CC(TIMER0, CC_SAMPLE) + sample_period_us;
    uint32_t now = (uint32_t)mw_port_time_us();
    while ((int32_t)(due - now) < (int32_t)MARGIN_US) {
        due += sample_period_us;
    }
    TIMER_CC(TIMER0, CC_SAMPLE) = due;
}

void mw_timer_interrupt(void) {
    if (sample_period_us != 0u && TIMER_EVENTS_COMPARE(TIMER0, CC_SAMPLE) != 0u) {
        serve_sample_clock();
    }
    if (TIMER_EVENTS_COMPARE(TIMER0, CC_WAKE) != 0u) {
        mw_event_clear(&TIMER_EVENTS_COMPARE(TIMER0, CC_WAKE));
        TIMER_CC(TIMER0, CC_WAKE) = (uint32_t)mw_port_time_us() + WAKE_PERIOD_US;
    }
}

void mw_data_ready_interrupt(void) {
    mw_event_clear(&GPIOTE_EVENTS_IN(DATA_READY_CHANNEL));
    mw_acquisition_on_clock(listener, mw_port_time_us());
}
