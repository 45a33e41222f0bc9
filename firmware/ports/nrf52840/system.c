/* The chip itself: regulator, debug port, why it was reset, watchdog, light, sleep. */
#include "system.h"

#include "board.h"
#include "fault.h"
#include "port.h"
#include "soc.h"
#include "wire.h"

/* Longer than the longest that the main loop may take: an IMU's set-up, under 0.5 s. */
#define WATCHDOG_SECONDS 2u
#define RELOAD_REGISTERS 8u

static uint8_t cause;

static uint8_t read_reset_cause(void) {
    uint32_t bits = POWER_RESETREAS;
    POWER_RESETREAS = bits;
    if (mw_fault_happened() || (bits & POWER_RESETREAS_LOCKUP) != 0u) {
        return MW_WIRE_RESET_CAUSE_FAULT;
    }
    /* Erratum 136: after a reset by the pin other bits may be set that should not be. */
    if ((bits & POWER_RESETREAS_RESETPIN) != 0u) {
        return MW_WIRE_RESET_CAUSE_PIN;
    }
    if ((bits & POWER_RESETREAS_DOG) != 0u) {
        return MW_WIRE_RESET_CAUSE_WATCHDOG;
    }
    if ((bits & POWER_RESETREAS_SREQ) != 0u) {
        return MW_WIRE_RESET_CAUSE_SOFTWARE;
    }
    /* PS 5.3.7.4: power-on and brown-out leave no bit; a bootloader may have cleared any. */
    return bits == 0u ? MW_WIRE_RESET_CAUSE_POWER_ON : MW_WIRE_RESET_CAUSE_UNKNOWN;
}

uint8_t mw_port_reset_cause(void) { return cause; }

static void led_init(uint32_t pin) {
    GPIO_OUTSET(pin) = GPIO_BIT(pin); /* lit by a low level */
    GPIO_PIN_CNF(pin) = GPIO_CNF_OUTPUT | GPIO_CNF_INPUT_DISCONNECT;
}

void mw_system_init(void) {
    cause = read_reset_cause();
    /* Erratum 249: from revision 3 on the debug port is locked at reset, also where the flash tool
     * left it open, until software opens it too. */
    if (UICR_APPROTECT == APPROTECT_SOFTWARE) {
        APPROTECT_DISABLE = APPROTECT_SOFTWARE;
    }
    NVMC_ICACHECNF = NVMC_ICACHECNF_CACHEEN;
    POWER_DCDCEN = 1; /* PS 5.3.1: every board of this port has the coil that this needs */
    led_init(MW_PIN_LED_READY);
    led_init(MW_PIN_LED_SAMPLING);
    led_init(MW_PIN_LED_FAULT);
}

void mw_port_led(mw_led state) {
    GPIO_OUTSET(MW_PIN_LED_READY) = GPIO_BIT(MW_PIN_LED_READY);
    GPIO_OUTSET(MW_PIN_LED_SAMPLING) = GPIO_BIT(MW_PIN_LED_SAMPLING);
    GPIO_OUTSET(MW_PIN_LED_FAULT) = GPIO_BIT(MW_PIN_LED_FAULT);
    switch (state) {
    case MW_LED_READY:
        GPIO_OUTCLR(MW_PIN_LED_READY) = GPIO_BIT(MW_PIN_LED_READY);
        break;
    case MW_LED_SAMPLING:
        GPIO_OUTCLR(MW_PIN_LED_SAMPLING) = GPIO_BIT(MW_PIN_LED_SAMPLING);
        break;
    case MW_LED_FAULT:
    default:
        GPIO_OUTCLR(MW_PIN_LED_FAULT) = GPIO_BIT(MW_PIN_LED_FAULT);
        break;
    }
}

/* WDT, PS 6.36. A reset by software does not stop it, and while it runs it keeps its settings. */
void mw_watchdog_start(void) {
    if (WDT_RUNSTATUS == 0u) {
        WDT_CONFIG = WDT_CONFIG_RUN_IN_SLEEP; /* not while a debugger holds the core */
        WDT_CRV = WATCHDOG_SECONDS * WDT_HZ - 1u;
        WDT_RREN = 1;
        WDT_TASKS_START = 1;
    }
    mw_watchdog_feed();
}

void mw_watchdog_feed(void) {
    uint32_t enabled = WDT_RREN; /* a bootloader may have enabled others */
    for (uint32_t i = 0; i < RELOAD_REGISTERS; i++) {
        if ((enabled & 1u << i) != 0u) {
            WDT_RR(i) = WDT_RR_RELOAD;
        }
    }
}

/* ---- Interrupt mask and sleep ---------------------------------------------------------------- */

/* By priority: the sample clock's handler runs also while the others are masked. */
uint32_t mw_port_irq_save(void) {
    uint32_t saved;
    __asm volatile("mrs %0, basepri\n msr basepri, %1"
                   : "=&r"(saved)
                   : "r"((uint32_t)MW_PRIORITY_APPLICATION)
                   : "memory");
    return saved;
}

void mw_port_irq_restore(uint32_t saved) {
    __asm volatile("msr basepri, %0" ::"r"(saved) : "memory");
}

/* WFI does not wake for interrupts that BASEPRI masks, but for those that PRIMASK does. */
void mw_port_sleep(void) {
    uint32_t saved;
    __asm volatile("cpsid i\n mrs %0, basepri\n msr basepri, %1"
                   : "=&r"(saved)
                   : "r"(0u)
                   : "memory");
    /* Erratum 87: floating point exceptions leave the FPU's interrupt pending, which would end every
     * sleep at once. */
    if ((NVIC_ISPR(IRQ_FPU) & NVIC_BIT(IRQ_FPU)) != 0u) {
        uint32_t fpscr;
        __asm volatile("vmrs %0, fpscr" : "=r"(fpscr));
        fpscr &= ~0x9Fu;
        __asm volatile("vmsr fpscr, %0" ::"r"(fpscr));
        NVIC_ICPR(IRQ_FPU) = NVIC_BIT(IRQ_FPU);
    }
    __asm volatile("dsb\n wfi\n msr basepri, %0\n cpsie i" ::"r"(saved) : "memory");
}
