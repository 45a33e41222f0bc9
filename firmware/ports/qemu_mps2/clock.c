/* Time and the sample clock's interrupt, over the timers the SoC has. */
#include "clock.h"

#include "handlers.h"
#include "port.h"
#include "soc.h"

#define TICKS_PER_US (MW_TIMER_HZ / 1000000u)

#if defined(MW_SOC_MPS2)

/* TIMER1 counts down from 2^32 - 1 for ever; this extends it to 64 bits. */
static uint64_t total_ticks;
static uint32_t last_value;

void mw_clock_init(void) {
    TIMER1->CTRL = 0;
    TIMER1->RELOAD = UINT32_MAX;
    TIMER1->VALUE = UINT32_MAX;
    last_value = UINT32_MAX;
    TIMER1->CTRL = TIMER_CTRL_ENABLE | TIMER_CTRL_INTERRUPT;
    mw_irq_enable(IRQ_TIMER1);
    mw_irq_enable(IRQ_TIMER0);
}

uint64_t mw_port_time_us(void) {
    uint32_t saved = mw_port_irq_save();
    uint32_t value = TIMER1->VALUE;
    total_ticks += last_value - value;
    last_value = value;
    uint64_t ticks = total_ticks;
    mw_port_irq_restore(saved);
    return ticks / TICKS_PER_US;
}

/* TIMER1 has wrapped (every 171 s): a look at it now keeps every wrap counted, also in idle. */
void mw_time_interrupt(void) {
    TIMER1->INTSTATUS = 1;
    (void)mw_port_time_us();
}

void mw_clock_start_interrupt(uint32_t period_us) {
    TIMER0->CTRL = 0;
    TIMER0->RELOAD = period_us * TICKS_PER_US - 1u;
    TIMER0->VALUE = period_us * TICKS_PER_US - 1u;
    TIMER0->CTRL = TIMER_CTRL_ENABLE | TIMER_CTRL_INTERRUPT;
}

void mw_clock_stop_interrupt(void) {
    TIMER0->CTRL = 0;
    TIMER0->INTSTATUS = 1;
}

void mw_clock_acknowledge(void) { TIMER0->INTSTATUS = 1; }

#else

static uint64_t compare;
static uint32_t period_ticks;

void mw_clock_init(void) {
    SSE_COUNTER_CNTCR = 1;
    mw_irq_enable(IRQ_TIMER0);
}

static uint64_t counter(void) {
    uint32_t high = SSE_TIMER0->CNTPCT_HIGH;
    uint32_t low = SSE_TIMER0->CNTPCT_LOW;
    uint32_t high_after = SSE_TIMER0->CNTPCT_HIGH;
    if (high_after != high) {
        /* The low half wrapped in between: right after a wrap it is near zero. */
        low = SSE_TIMER0->CNTPCT_LOW;
    }
    return ((uint64_t)high_after << 32) | low;
}

uint64_t mw_port_time_us(void) { return counter() / TICKS_PER_US; }

static void set_compare(void) {
    /* The low half first would for a moment be a time in the past or far future: masked. */
    SSE_TIMER0->CNTP_CTL = 0;
    SSE_TIMER0->CNTP_CVAL_LOW = (uint32_t)compare;
    SSE_TIMER0->CNTP_CVAL_HIGH = (uint32_t)(compare >> 32);
    SSE_TIMER0->CNTP_CTL = SSE_TIMER_CTL_ENABLE;
}

void mw_clock_start_interrupt(uint32_t period_us) {
    period_ticks = period_us * TICKS_PER_US;
    compare = counter() + period_ticks;
    set_compare();
}

void mw_clock_stop_interrupt(void) { SSE_TIMER0->CNTP_CTL = 0; }

void mw_clock_acknowledge(void) {
    /* The next multiple of the period that is still to come. */
    uint64_t now = counter();
    uint64_t late = now > compare ? now - compare : 0u;
    compare += (late / period_ticks + 1u) * period_ticks;
    set_compare();
}

#endif
