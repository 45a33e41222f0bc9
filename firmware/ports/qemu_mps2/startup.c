/* From reset to main: vector table, memory, floating point unit. */
#include <stdint.h>
#include <string.h>

#include "handlers.h"
#include "soc.h"

extern uint32_t mw_data_load[];
extern uint32_t mw_data_begin[];
extern uint32_t mw_data_end[];
extern uint32_t mw_bss_begin[];
extern uint32_t mw_bss_end[];
extern uint32_t mw_stack_top[];

int main(void);
void mw_reset(void);

/* A fault or an interrupt nobody asked for: stop where a debugger finds it. */
static void halt(void) {
    for (;;) {
        __asm volatile("wfi");
    }
}

typedef void (*handler)(void);

typedef struct {
    const uint32_t *stack_top;
    handler exceptions[15];
    handler interrupts[IRQ_COUNT];
} vector_table;

__attribute__((section(".vectors"), used)) static const vector_table vectors = {
    .stack_top = mw_stack_top,
    .exceptions = {mw_reset, halt, halt, halt, halt, halt, halt, halt, halt, halt, halt, halt, halt,
                   halt, halt},
    .interrupts =
        {
            [IRQ_UART0_RX] = mw_serial_interrupt,
            [IRQ_UART0_TX] = mw_serial_interrupt,
            [IRQ_UART1_RX] = mw_imu_interrupt,
            [IRQ_UART1_TX] = mw_imu_interrupt,
            [IRQ_TIMER0] = mw_sample_clock_interrupt,
#ifdef IRQ_TIMER1
            [IRQ_TIMER1] = mw_time_interrupt,
#endif
        },
};

void mw_reset(void) {
    SCB_VTOR = (uint32_t)(uintptr_t)&vectors;
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    SCB_CPACR |= SCB_CPACR_FPU;
    __asm volatile("dsb\n isb");
#endif
    memcpy(mw_data_begin, mw_data_load, (uintptr_t)mw_data_end - (uintptr_t)mw_data_begin);
    memset(mw_bss_begin, 0, (uintptr_t)mw_bss_end - (uintptr_t)mw_bss_begin);
    (void)main();
    halt();
}
