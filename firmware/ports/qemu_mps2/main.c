/* The emulated boards: UART0 is the serial line, UART1 brings the IMU's samples. */
#include <stdint.h>

#include "app.h"
#include "clock.h"
#include "stream_imu.h"
#include "handlers.h"
#include "port.h"
#include "soc.h"

/* QEMU's UART sends at once, so one interrupt could empty any ring: it hands back after this many
 * bytes, and the transmit interrupt of the last one brings it again. */
#define BYTES_PER_INTERRUPT 64u

static mw_app app;
static mw_stream_imu imu;

const char *mw_port_board(void) { return MW_BOARD_NAME; }

uint8_t mw_port_reset_cause(void) { return MW_WIRE_RESET_CAUSE_POWER_ON; }

void mw_port_led(mw_led state) { (void)state; }

uint32_t mw_port_irq_save(void) {
    uint32_t primask;
    __asm volatile("mrs %0, primask\n cpsid i" : "=r"(primask)::"memory");
    return primask;
}

void mw_port_irq_restore(uint32_t saved) { __asm volatile("msr primask, %0" ::"r"(saved) : "memory"); }

void mw_port_sleep(void) { __asm volatile("dsb\n wfi" ::: "memory"); }

static void uart_init(mw_cmsdk_uart *uart, uint32_t rx_irq, uint32_t tx_irq) {
    uart->BAUDDIV = UART_BAUDDIV_MINIMUM;
    uart->CTRL = UART_CTRL_TX_ENABLE | UART_CTRL_RX_ENABLE | UART_CTRL_TX_INTERRUPT |
                 UART_CTRL_RX_INTERRUPT;
    mw_irq_enable(rx_irq);
    mw_irq_enable(tx_irq);
}

/* Interrupts masked, or in the UART's handler. */
static void uart_send(mw_cmsdk_uart *uart, mw_ring *ring) {
    for (uint32_t i = 0; i < BYTES_PER_INTERRUPT; i++) {
        uint8_t byte;
        if ((uart->STATE & UART_STATE_TX_FULL) != 0u || !mw_ring_read(ring, &byte)) {
            return;
        }
        uart->DATA = byte;
    }
}

void mw_port_serial_kick(void) {
    uint32_t saved = mw_port_irq_save();
    uart_send(UART0, &app.transmitter.ring);
    mw_port_irq_restore(saved);
}

void mw_serial_interrupt(void) {
    UART0->INTSTATUS = UART_INTERRUPT_TX | UART_INTERRUPT_RX;
    for (uint32_t i = 0; i < BYTES_PER_INTERRUPT && (UART0->STATE & UART_STATE_RX_FULL) != 0u; i++) {
        mw_app_on_byte(&app, (uint8_t)UART0->DATA);
    }
    uart_send(UART0, &app.transmitter.ring);
}

void mw_imu_interrupt(void) {
    UART1->INTSTATUS = UART_INTERRUPT_TX | UART_INTERRUPT_RX;
    for (uint32_t i = 0; i < BYTES_PER_INTERRUPT && (UART1->STATE & UART_STATE_RX_FULL) != 0u; i++) {
        mw_stream_imu_on_byte(&imu, (uint8_t)UART1->DATA);
    }
    uart_send(UART1, &imu.tx);
}

void mw_port_sample_clock_start(uint32_t rate_hz) {
    uint32_t period_us = 1000000u / rate_hz;
    uint32_t saved = mw_port_irq_save();
    mw_stream_imu_start(&imu, mw_port_time_us(), period_us);
    mw_clock_start_interrupt(period_us);
    uart_send(UART1, &imu.tx);
    mw_port_irq_restore(saved);
}

void mw_port_sample_clock_stop(void) {
    uint32_t saved = mw_port_irq_save();
    mw_clock_stop_interrupt();
    mw_stream_imu_stop(&imu);
    uart_send(UART1, &imu.tx);
    mw_port_irq_restore(saved);
}

void mw_sample_clock_interrupt(void) {
    mw_clock_acknowledge();
    mw_stream_imu_serve(&imu, mw_port_time_us());
    uart_send(UART1, &imu.tx);
}

int main(void) {
    uint32_t saved = mw_port_irq_save();
    mw_clock_init();
    uart_init(UART0, IRQ_UART0_RX, IRQ_UART0_TX);
    uart_init(UART1, IRQ_UART1_RX, IRQ_UART1_TX);
    if (mw_app_init(&app) != MW_OK) {
        return 1; /* the error text is on its way; no interrupt will follow */
    }
    mw_stream_imu_init(&imu, &app);
    uart_send(UART1, &imu.tx);
    mw_port_irq_restore(saved);
    for (;;) {
        mw_app_run_once(&app);
    }
}
