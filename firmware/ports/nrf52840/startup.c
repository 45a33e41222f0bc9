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

typedef void (*handler)(void);

typedef struct {
    const uint32_t *stack_top;
    handler exceptions[15];
    handler interrupts[IRQ_COUNT];
} vector_table;

/* An exception or interrupt nobody asked for is a fault like any other: what is not named below is
 * never enabled, and reserved. */
#define FAULT mw_fault_handler

__attribute__((section(".vectors"), used)) static const vector_table vectors = {
    .stack_top = mw_stack_top,
    .exceptions = {mw_reset, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT,
                   FAULT, FAULT, FAULT, FAULT},
    .interrupts =
        {
            [IRQ_UARTE] = mw_serial_interrupt,
            [IRQ_TWIM] = mw_i2c_interrupt,
            [IRQ_GPIOTE] = mw_data_ready_interrupt,
            [IRQ_TIMER0] = mw_timer_interrupt,
            [IRQ_TIMER2] = mw_serial_interrupt,
        },
};

void mw_reset(void) {
    /* A bootloader jumps here with its own stack, table and, it may be, mask and interrupts. */
    for (uint32_t irq = 0; irq < IRQ_COUNT; irq += 32u) {
        NVIC_ICER(irq) = UINT32_MAX;
        NVIC_ICPR(irq) = UINT32_MAX;
    }
    SCB_VTOR = (uint32_t)(uintptr_t)&vectors;
    __asm volatile("msr msp, %0\n cpsie i" ::"r"(mw_stack_top) : "memory");
    SCB_CPACR |= SCB_CPACR_FPU;
    __asm volatile("dsb\n isb");
    memcpy(mw_data_begin, mw_data_load, (uintptr_t)mw_data_end - (uintptr_t)mw_data_begin);
    memset(mw_bss_begin, 0, (uintptr_t)mw_bss_end - (uintptr_t)mw_bss_begin);
    (void)main();
    mw_fault_handler(); /* main never returns */
}
