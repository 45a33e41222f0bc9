/* Registers of the two systems QEMU emulates as MPS boards.
 *
 * MW_SOC_MPS2: mps2-an385, -an386, -an500 (Arm application notes AN385, AN386, AN500).
 * MW_SOC_SSE300: mps3-an547 (AN547; SSE-300 technical reference manual 101773), secure aliases.
 * UART and timer: Cortex-M System Design Kit TRM, DDI 0479, sections 4.2 and 4.3. */
#ifndef MW_SOC_H
#define MW_SOC_H

#include <stdint.h>

typedef struct {
    volatile uint32_t DATA;
    volatile uint32_t STATE;
    volatile uint32_t CTRL;
    volatile uint32_t INTSTATUS; /* write 1 to clear */
    volatile uint32_t BAUDDIV;
} mw_cmsdk_uart;

#define UART_STATE_TX_FULL (1u << 0)
#define UART_STATE_RX_FULL (1u << 1)
#define UART_CTRL_TX_ENABLE (1u << 0)
#define UART_CTRL_RX_ENABLE (1u << 1)
#define UART_CTRL_TX_INTERRUPT (1u << 2)
#define UART_CTRL_RX_INTERRUPT (1u << 3)
#define UART_INTERRUPT_TX (1u << 0)
#define UART_INTERRUPT_RX (1u << 1)
#define UART_BAUDDIV_MINIMUM 16u

typedef struct {
    volatile uint32_t CTRL;
    volatile uint32_t VALUE; /* counts down */
    volatile uint32_t RELOAD;
    volatile uint32_t INTSTATUS; /* write 1 to clear */
} mw_cmsdk_timer;

#define TIMER_CTRL_ENABLE (1u << 0)
#define TIMER_CTRL_INTERRUPT (1u << 3)

/* SSE-300 system timer: a comparator on the 64-bit system counter. */
typedef struct {
    volatile uint32_t CNTPCT_LOW;
    volatile uint32_t CNTPCT_HIGH;
    uint32_t reserved0[6];
    volatile uint32_t CNTP_CVAL_LOW;
    volatile uint32_t CNTP_CVAL_HIGH;
    volatile uint32_t CNTP_TVAL;
    volatile uint32_t CNTP_CTL;
} mw_sse_timer;

#define SSE_TIMER_CTL_ENABLE (1u << 0)

#if defined(MW_SOC_MPS2)
#define UART0 ((mw_cmsdk_uart *)0x40004000u)
#define UART1 ((mw_cmsdk_uart *)0x40005000u)
#define TIMER0 ((mw_cmsdk_timer *)0x40000000u)
#define TIMER1 ((mw_cmsdk_timer *)0x40001000u)
#define IRQ_UART0_RX 0u
#define IRQ_UART0_TX 1u
#define IRQ_UART1_RX 2u
#define IRQ_UART1_TX 3u
#define IRQ_TIMER0 8u
#define IRQ_TIMER1 9u
#define IRQ_COUNT 16u
#elif defined(MW_SOC_SSE300)
#define UART0 ((mw_cmsdk_uart *)0x59303000u)
#define UART1 ((mw_cmsdk_uart *)0x59304000u)
#define SSE_TIMER0 ((mw_sse_timer *)0x58000000u)
#define SSE_COUNTER_CNTCR (*(volatile uint32_t *)0x58100000u)
#define IRQ_TIMER0 3u
#define IRQ_UART0_RX 33u
#define IRQ_UART0_TX 34u
#define IRQ_UART1_RX 35u
#define IRQ_UART1_TX 36u
#define IRQ_COUNT 48u
#else
#error "the board's JSON defines MW_SOC_MPS2 or MW_SOC_SSE300"
#endif

/* Armv7-M and Armv8-M Architecture Reference Manuals, system control space. */
#define NVIC_ISER ((volatile uint32_t *)0xE000E100u)
#define SCB_VTOR (*(volatile uint32_t *)0xE000ED08u)
#define SCB_CPACR (*(volatile uint32_t *)0xE000ED88u)
#define SCB_CPACR_FPU (0xFu << 20) /* full access to coprocessors 10 and 11 */

static inline void mw_irq_enable(uint32_t irq) { NVIC_ISER[irq / 32u] = 1u << (irq % 32u); }

#endif
