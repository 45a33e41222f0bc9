/* Registers of the nRF52840 that this port uses.
 *
 * Sources: nRF52840 Product Specification (PS) v1.7, by section, and the Armv7-M Architecture
 * Reference Manual (DDI 0403E), part B3, for what belongs to the core. */
#ifndef MW_SOC_H
#define MW_SOC_H

#include <stdint.h>

/* Replaced where the registers are played by memory (tools/budget.py). */
#ifndef MW_REGISTER
#define MW_REGISTER(address) (*(volatile uint32_t *)(address))
#endif

/* PS 5.3, power supply and reset; 5.4, clock control. One block. */
#define POWER_RESETREAS MW_REGISTER(0x40000400u) /* write 1 to clear */
#define POWER_DCDCEN MW_REGISTER(0x40000578u)
#define CLOCK_TASKS_HFCLKSTART MW_REGISTER(0x40000000u)
#define CLOCK_EVENTS_HFCLKSTARTED MW_REGISTER(0x40000100u)
#define CLOCK_EVENTS_DONE MW_REGISTER(0x4000010Cu)
#define CLOCK_EVENTS_CTTO MW_REGISTER(0x40000110u)
#define CLOCK_CTIV MW_REGISTER(0x40000538u)

#define APPROTECT_DISABLE MW_REGISTER(0x40000558u) /* PS 4.8.5, access port protection */
#define UICR_APPROTECT MW_REGISTER(0x10001208u)
#define APPROTECT_SOFTWARE 0x5Au

#define POWER_RESETREAS_RESETPIN (1u << 0)
#define POWER_RESETREAS_DOG (1u << 1)
#define POWER_RESETREAS_SREQ (1u << 2)
#define POWER_RESETREAS_LOCKUP (1u << 3)

/* PS 4.3, NVMC: the cache between the core and flash. */
#define NVMC_ICACHECNF MW_REGISTER(0x4001E540u)
#define NVMC_ICACHECNF_CACHEEN (1u << 0)

/* PS 6.9, GPIO. `pin` is 32 * port + number, as in the PSEL registers. */
#define GPIO_PORT(pin) ((pin) < 32u ? 0x50000000u : 0x50000300u)
#define GPIO_BIT(pin) (1u << ((pin) % 32u))
#define GPIO_OUTSET(pin) MW_REGISTER(GPIO_PORT(pin) + 0x508u)
#define GPIO_OUTCLR(pin) MW_REGISTER(GPIO_PORT(pin) + 0x50Cu)
#define GPIO_IN(pin) MW_REGISTER(GPIO_PORT(pin) + 0x510u)
#define GPIO_DIRSET(pin) MW_REGISTER(GPIO_PORT(pin) + 0x518u)
#define GPIO_DIRCLR(pin) MW_REGISTER(GPIO_PORT(pin) + 0x51Cu)
#define GPIO_PIN_CNF(pin) MW_REGISTER(GPIO_PORT(pin) + 0x700u + 4u * ((pin) % 32u))

#define GPIO_CNF_OUTPUT (1u << 0)
#define GPIO_CNF_INPUT_DISCONNECT (1u << 1)
#define GPIO_CNF_PULL_DOWN (1u << 2)
#define GPIO_CNF_PULL_UP (3u << 2)
#define GPIO_CNF_DRIVE_H0H1 (3u << 8) /* high drive both ways */
#define GPIO_CNF_DRIVE_S0D1 (6u << 8) /* open drain */

/* PS 6.10, GPIOTE. */
#define GPIOTE_EVENTS_IN(n) MW_REGISTER(0x40006100u + 4u * (n))
#define GPIOTE_INTENSET MW_REGISTER(0x40006304u)
#define GPIOTE_INTENCLR MW_REGISTER(0x40006308u)
#define GPIOTE_CONFIG(n) MW_REGISTER(0x40006510u + 4u * (n))

#define GPIOTE_CONFIG_EVENT (1u << 0)
#define GPIOTE_CONFIG_PSEL(pin) ((pin) << 8)
#define GPIOTE_CONFIG_RISING (1u << 16)

/* PS 6.18, PPI. */
#define PPI_CHENSET MW_REGISTER(0x4001F504u)
#define PPI_CH_EEP(n) MW_REGISTER(0x4001F510u + 8u * (n))
#define PPI_CH_TEP(n) MW_REGISTER(0x4001F514u + 8u * (n))
#define PPI_FORK_TEP(n) MW_REGISTER(0x4001F910u + 4u * (n))

/* PS 6.30, TIMER. */
#define TIMER0 0x40008000u
#define TIMER1 0x40009000u
#define TIMER2 0x4000A000u
#define TIMER_TASKS_START_ADDRESS(timer) ((timer) + 0x000u)
#define TIMER_TASKS_START(timer) MW_REGISTER((timer) + 0x000u)
#define TIMER_TASKS_COUNT_ADDRESS(timer) ((timer) + 0x008u)
#define TIMER_TASKS_CLEAR_ADDRESS(timer) ((timer) + 0x00Cu)
#define TIMER_TASKS_CLEAR(timer) MW_REGISTER((timer) + 0x00Cu)
#define TIMER_TASKS_SHUTDOWN(timer) MW_REGISTER((timer) + 0x010u)
#define TIMER_TASKS_CAPTURE(timer, n) MW_REGISTER((timer) + 0x040u + 4u * (n))
#define TIMER_EVENTS_COMPARE(timer, n) MW_REGISTER((timer) + 0x140u + 4u * (n))
#define TIMER_INTENSET(timer) MW_REGISTER((timer) + 0x304u)
#define TIMER_INTENCLR(timer) MW_REGISTER((timer) + 0x308u)
#define TIMER_MODE(timer) MW_REGISTER((timer) + 0x504u)
#define TIMER_BITMODE(timer) MW_REGISTER((timer) + 0x508u)
#define TIMER_PRESCALER(timer) MW_REGISTER((timer) + 0x510u)
#define TIMER_CC(timer, n) MW_REGISTER((timer) + 0x540u + 4u * (n))

#define TIMER_MODE_TIMER 0u
#define TIMER_MODE_LOW_POWER_COUNTER 2u
#define TIMER_BITMODE_32 3u
#define TIMER_PRESCALER_1MHZ 4u
#define TIMER_INTERRUPT_COMPARE(n) (1u << (16u + (n)))

/* PS 6.31, TWIM. */
#define TWIM_TASKS_STARTRX MW_REGISTER(0x40003000u)
#define TWIM_TASKS_STARTTX MW_REGISTER(0x40003008u)
#define TWIM_TASKS_STOP MW_REGISTER(0x40003014u)
#define TWIM_EVENTS_STOPPED MW_REGISTER(0x40003104u)
#define TWIM_EVENTS_ERROR MW_REGISTER(0x40003124u)
#define TWIM_SHORTS MW_REGISTER(0x40003200u)
#define TWIM_INTENSET MW_REGISTER(0x40003304u)
#define TWIM_INTENCLR MW_REGISTER(0x40003308u)
#define TWIM_ERRORSRC MW_REGISTER(0x400034C4u) /* write 1 to clear */
#define TWIM_ENABLE MW_REGISTER(0x40003500u)
#define TWIM_PSEL_SCL MW_REGISTER(0x40003508u)
#define TWIM_PSEL_SDA MW_REGISTER(0x4000350Cu)
#define TWIM_FREQUENCY MW_REGISTER(0x40003524u)
#define TWIM_RXD_PTR MW_REGISTER(0x40003534u)
#define TWIM_RXD_MAXCNT MW_REGISTER(0x40003538u)
#define TWIM_RXD_AMOUNT MW_REGISTER(0x4000353Cu)
#define TWIM_TXD_PTR MW_REGISTER(0x40003544u)
#define TWIM_TXD_MAXCNT MW_REGISTER(0x40003548u)
#define TWIM_ADDRESS MW_REGISTER(0x40003588u)

#define TWIM_SHORT_LASTTX_STARTRX (1u << 7)
#define TWIM_SHORT_LASTTX_STOP (1u << 9)
#define TWIM_SHORT_LASTRX_STOP (1u << 12)
#define TWIM_INTERRUPT_STOPPED (1u << 1)
#define TWIM_INTERRUPT_ERROR (1u << 9)
#define TWIM_ERRORSRC_OVERRUN (1u << 0)
#define TWIM_ERRORSRC_ANACK (1u << 1)
#define TWIM_ERRORSRC_DNACK (1u << 2)
#define TWIM_ENABLE_TWIM 6u
#define TWIM_FREQUENCY_390K 0x06200000u /* see twim.c */

/* PS 6.34, UARTE. */
#define UARTE_TASKS_STARTRX MW_REGISTER(0x40002000u)
#define UARTE_TASKS_STOPRX MW_REGISTER(0x40002004u)
#define UARTE_TASKS_STARTTX MW_REGISTER(0x40002008u)
#define UARTE_TASKS_FLUSHRX MW_REGISTER(0x4000202Cu)
#define UARTE_EVENTS_RXDRDY_ADDRESS 0x40002108u
#define UARTE_EVENTS_ENDRX MW_REGISTER(0x40002110u)
#define UARTE_EVENTS_ENDTX MW_REGISTER(0x40002120u)
#define UARTE_EVENTS_ERROR MW_REGISTER(0x40002124u)
#define UARTE_EVENTS_RXTO MW_REGISTER(0x40002144u)
#define UARTE_INTENSET MW_REGISTER(0x40002304u)
#define UARTE_ERRORSRC MW_REGISTER(0x40002480u) /* write 1 to clear */
#define UARTE_ENABLE MW_REGISTER(0x40002500u)
#define UARTE_PSEL_TXD MW_REGISTER(0x4000250Cu)
#define UARTE_PSEL_RXD MW_REGISTER(0x40002514u)
#define UARTE_BAUDRATE MW_REGISTER(0x40002524u)
#define UARTE_RXD_PTR MW_REGISTER(0x40002534u)
#define UARTE_RXD_MAXCNT MW_REGISTER(0x40002538u)
#define UARTE_RXD_AMOUNT MW_REGISTER(0x4000253Cu)
#define UARTE_TXD_PTR MW_REGISTER(0x40002544u)
#define UARTE_TXD_MAXCNT MW_REGISTER(0x40002548u)

#define UARTE_INTERRUPT_ENDRX (1u << 4)
#define UARTE_INTERRUPT_ENDTX (1u << 8)
#define UARTE_INTERRUPT_ERROR (1u << 9)
#define UARTE_ENABLE_UARTE 8u
#define UARTE_BAUDRATE_1M 0x10000000u

/* PS 6.36, WDT. */
#define WDT_TASKS_START MW_REGISTER(0x40010000u)
#define WDT_RUNSTATUS MW_REGISTER(0x40010400u)
#define WDT_CRV MW_REGISTER(0x40010504u)
#define WDT_RREN MW_REGISTER(0x40010508u)
#define WDT_CONFIG MW_REGISTER(0x4001050Cu)
#define WDT_RR(n) MW_REGISTER(0x40010600u + 4u * (n))

#define WDT_CONFIG_RUN_IN_SLEEP (1u << 0)
#define WDT_RR_RELOAD 0x6E524635u
#define WDT_HZ 32768u

/* PS 4.2.4, instantiation: the interrupt's number is the peripheral's. */
#define IRQ_UARTE 2u
#define IRQ_TWIM 3u
#define IRQ_GPIOTE 6u
#define IRQ_TIMER0 8u
#define IRQ_TIMER2 10u
#define IRQ_FPU 38u
#define IRQ_COUNT 48u

/* The core: NVIC and system control block. Three priority bits (PS 4.1.2). */
#define NVIC_ISER(irq) MW_REGISTER(0xE000E100u + 4u * ((irq) / 32u))
#define NVIC_ICER(irq) MW_REGISTER(0xE000E180u + 4u * ((irq) / 32u))
#define NVIC_ISPR(irq) MW_REGISTER(0xE000E200u + 4u * ((irq) / 32u))
#define NVIC_ICPR(irq) MW_REGISTER(0xE000E280u + 4u * ((irq) / 32u))
#define NVIC_IPR(irq) (*(volatile uint8_t *)(0xE000E400u + (irq)))
#define SCB_VTOR MW_REGISTER(0xE000ED08u)
#define SCB_AIRCR MW_REGISTER(0xE000ED0Cu)
#define SCB_CFSR MW_REGISTER(0xE000ED28u)
#define SCB_HFSR MW_REGISTER(0xE000ED2Cu)
#define SCB_MMFAR MW_REGISTER(0xE000ED34u)
#define SCB_BFAR MW_REGISTER(0xE000ED38u)
#define SCB_CPACR MW_REGISTER(0xE000ED88u)

#define NVIC_BIT(irq) (1u << ((irq) % 32u))
#define SCB_AIRCR_RESET 0x05FA0004u
#define SCB_CPACR_FPU (0xFu << 20) /* full access to coprocessors 10 and 11 */

#define MW_PRIORITY(level) ((uint8_t)((level) << 5))
/* The sample clock may interrupt every other handler and the sections that mask those. */
#define MW_PRIORITY_CLOCK MW_PRIORITY(0u)
#define MW_PRIORITY_APPLICATION MW_PRIORITY(2u)

static inline void mw_irq_enable(uint32_t irq, uint8_t priority) {
    NVIC_IPR(irq) = priority;
    NVIC_ISER(irq) = NVIC_BIT(irq);
}

/* An event register is cleared over a bus that is slower than the core: reading it back makes sure
 * that the interrupt it asked for is gone before its handler returns (PS 6.1.8). */
static inline void mw_event_clear(volatile uint32_t *event) {
    *event = 0u;
    (void)*event;
}

#endif
