/* The IMU's bus over TWIM0: blocking for set-up, by EasyDMA and interrupt for samples.
 *
 * TWIM, PS 6.31. A read writes the register's number and goes on with a repeated start by the
 * LASTTX_STARTRX shortcut, without the core. TWIM knows no arbitration: a bus with another master
 * shows as a NACK or a time-out. */
#include "i2c.h"

#include <string.h>

#include "board.h"
#include "handlers.h"
#include "port.h"
#include "soc.h"

/* The longest transfer of the set-up, 17 bytes, takes 0.4 ms; an IMU may stretch the clock. */
#define TRANSFER_TIMEOUT_US 5000u
#define STOP_TIMEOUT_US 1000u
#define RECOVERY_CLOCKS 9u
#define RECOVERY_HALF_PERIOD_US 5u /* 100 kHz: any part follows */
#define IMU_BOOT_US 20000u         /* LSM6DS3TR-C: 15 ms from power to the first register access */

#define PIN_CNF_I2C (GPIO_CNF_PULL_UP | GPIO_CNF_DRIVE_S0D1)

static mw_acquisition *receiver; /* of samples */

/* EasyDMA reads and writes RAM only (PS 4.6). */
static uint8_t tx[4];
static uint8_t rx[2][MW_IMU_MAX_BURST_LENGTH]; /* one is decoded while the other is filled */
static uint32_t filling;
static volatile bool burst_active;

static bool sda_low(void) { return (GPIO_IN(MW_PIN_SDA) & GPIO_BIT(MW_PIN_SDA)) == 0u; }

static void enable(void) {
    TWIM_PSEL_SCL = MW_PIN_SCL;
    TWIM_PSEL_SDA = MW_PIN_SDA;
    /* Erratum 219: at the register's 400 kHz the clock's low period is 1.25 us where I2C asks for
     * 1.3 us; this value, 390 kHz, keeps it. */
    TWIM_FREQUENCY = TWIM_FREQUENCY_390K;
    TWIM_ENABLE = TWIM_ENABLE_TWIM;
}

static void wait_us(uint32_t us) {
    uint64_t begin = mw_port_time_us();
    while (mw_port_time_us() - begin <= us) {
    }
}

static bool wait_stopped(uint32_t timeout_us) {
    uint64_t begin = mw_port_time_us();
    while (TWIM_EVENTS_STOPPED == 0u) {
        if (mw_port_time_us() - begin > timeout_us) {
            return false;
        }
    }
    return true;
}

/* EasyDMA writes to `into`. */
static void start(uint8_t address, size_t tx_length,
                  uint8_t *into, /* NOLINT(readability-non-const-parameter) */
                  size_t rx_length) {
    TWIM_EVENTS_STOPPED = 0;
    TWIM_EVENTS_ERROR = 0;
    TWIM_ERRORSRC = TWIM_ERRORSRC_OVERRUN | TWIM_ERRORSRC_ANACK | TWIM_ERRORSRC_DNACK;
    TWIM_ADDRESS = address;
    TWIM_TXD_PTR = (uint32_t)(uintptr_t)tx;
    TWIM_TXD_MAXCNT = (uint32_t)tx_length;
    TWIM_RXD_PTR = (uint32_t)(uintptr_t)into;
    TWIM_RXD_MAXCNT = (uint32_t)rx_length;
    TWIM_SHORTS = rx_length > 0u ? TWIM_SHORT_LASTTX_STARTRX | TWIM_SHORT_LASTRX_STOP
                                 : TWIM_SHORT_LASTTX_STOP;
    __asm volatile("dsb" ::: "memory"); /* what DMA reads is in RAM before it starts */
    TWIM_TASKS_STARTTX = 1;
}

/* Of a transfer that has stopped. */
static mw_bus_status outcome(size_t rx_length) {
    uint32_t source = TWIM_ERRORSRC;
    if ((source & TWIM_ERRORSRC_ANACK) != 0u) {
        return MW_BUS_NACK_ADDRESS;
    }
    if ((source & TWIM_ERRORSRC_DNACK) != 0u) {
        return MW_BUS_NACK_DATA;
    }
    /* Too few bytes without an error: cut short by something on the bus that was no part. */
    bool complete = rx_length == 0u || TWIM_RXD_AMOUNT == rx_length;
    return source == 0u && complete ? MW_BUS_OK : MW_BUS_TIMEOUT;
}

/* Ends what TWIM is at, whatever state the bus is in. */
static void abandon(void) {
    TWIM_TASKS_STOP = 1;
    (void)wait_stopped(STOP_TIMEOUT_US);
    TWIM_ENABLE = 0;
    TWIM_EVENTS_STOPPED = 0;
    TWIM_EVENTS_ERROR = 0;
    enable();
}

static mw_bus_status transfer(uint8_t address, size_t tx_length, uint8_t *into, size_t rx_length) {
    if (sda_low()) {
        return MW_BUS_STUCK;
    }
    start(address, tx_length, into, rx_length);
    uint64_t begin = mw_port_time_us();
    while (TWIM_EVENTS_STOPPED == 0u) {
        if (TWIM_EVENTS_ERROR != 0u) {
            TWIM_EVENTS_ERROR = 0;
            TWIM_TASKS_STOP = 1;
        }
        if (mw_port_time_us() - begin > TRANSFER_TIMEOUT_US) {
            abandon();
            return sda_low() ? MW_BUS_STUCK : MW_BUS_TIMEOUT;
        }
    }
    return outcome(rx_length);
}

static mw_bus_status bus_write(void *context, uint8_t address, const uint8_t *bytes,
                               size_t length) {
    (void)context;
    if (length > sizeof tx) {
        return MW_BUS_NACK_DATA;
    }
    memcpy(tx, bytes, length);
    return transfer(address, length, NULL, 0);
}

static mw_bus_status bus_read(void *context, uint8_t address, uint8_t first_register,
                              uint8_t *bytes, size_t length) {
    (void)context;
    tx[0] = first_register;
    return transfer(address, 1u, bytes, length);
}

static void release(uint32_t pin) { GPIO_OUTSET(pin) = GPIO_BIT(pin); }
static void pull(uint32_t pin) { GPIO_OUTCLR(pin) = GPIO_BIT(pin); }

/* UM10204 (I2C specification) 3.1.16: a part that holds SDA low in the middle of a byte lets go
 * within nine clocks. */
static mw_bus_status bus_recover(void *context) {
    (void)context;
    TWIM_ENABLE = 0;
    release(MW_PIN_SCL);
    release(MW_PIN_SDA);
    GPIO_DIRSET(MW_PIN_SCL) = GPIO_BIT(MW_PIN_SCL);
    GPIO_DIRSET(MW_PIN_SDA) = GPIO_BIT(MW_PIN_SDA);
    wait_us(RECOVERY_HALF_PERIOD_US);
    for (uint32_t i = 0; i < RECOVERY_CLOCKS && sda_low(); i++) {
        pull(MW_PIN_SCL);
        wait_us(RECOVERY_HALF_PERIOD_US);
        release(MW_PIN_SCL);
        wait_us(RECOVERY_HALF_PERIOD_US);
    }
    /* A stop: SDA rises while SCL is high. */
    pull(MW_PIN_SCL);
    wait_us(RECOVERY_HALF_PERIOD_US);
    pull(MW_PIN_SDA);
    wait_us(RECOVERY_HALF_PERIOD_US);
    release(MW_PIN_SCL);
    wait_us(RECOVERY_HALF_PERIOD_US);
    release(MW_PIN_SDA);
    wait_us(RECOVERY_HALF_PERIOD_US);
    bool stuck = sda_low();
    GPIO_DIRCLR(MW_PIN_SCL) = GPIO_BIT(MW_PIN_SCL);
    GPIO_DIRCLR(MW_PIN_SDA) = GPIO_BIT(MW_PIN_SDA);
    enable();
    return stuck ? MW_BUS_STUCK : MW_BUS_OK;
}

static void bus_delay_us(void *context, uint32_t us) {
    (void)context;
    wait_us(us);
}

static const mw_bus bus = {
    .context = NULL,
    .write = bus_write,
    .read = bus_read,
    .recover = bus_recover,
    .delay_us = bus_delay_us,
};

const mw_bus *mw_port_bus(void) { return &bus; }

void mw_i2c_init(mw_acquisition *acquisition) {
    receiver = acquisition;
#ifdef MW_PIN_IMU_POWER
    GPIO_OUTSET(MW_PIN_IMU_POWER) = GPIO_BIT(MW_PIN_IMU_POWER);
    GPIO_PIN_CNF(MW_PIN_IMU_POWER) =
        GPIO_CNF_OUTPUT | GPIO_CNF_INPUT_DISCONNECT | GPIO_CNF_DRIVE_H0H1;
    wait_us(IMU_BOOT_US);
#endif
    /* Released, so that the bus idles high also while TWIM is off (PS 6.31.5). */
    release(MW_PIN_SCL);
    release(MW_PIN_SDA);
    GPIO_PIN_CNF(MW_PIN_SCL) = PIN_CNF_I2C;
    GPIO_PIN_CNF(MW_PIN_SDA) = PIN_CNF_I2C;
    enable();
    mw_irq_enable(IRQ_TWIM, MW_PRIORITY_APPLICATION);
}

/* ---- Samples --------------------------------------------------------------------------------- */

bool mw_port_burst_start(uint8_t address, uint8_t first_register, uint8_t length) {
    /* A transfer begun with SDA low would not end. */
    if (burst_active || length > MW_IMU_MAX_BURST_LENGTH || sda_low()) {
        return false;
    }
    burst_active = true;
    tx[0] = first_register;
    start(address, 1u, rx[filling], length);
    TWIM_INTENSET = TWIM_INTERRUPT_STOPPED | TWIM_INTERRUPT_ERROR;
    return true;
}

void mw_port_burst_abort(void) {
    TWIM_INTENCLR = TWIM_INTERRUPT_STOPPED | TWIM_INTERRUPT_ERROR;
    if (burst_active) {
        abandon();
        burst_active = false;
    }
    NVIC_ICPR(IRQ_TWIM) = NVIC_BIT(IRQ_TWIM);
}

void mw_i2c_interrupt(void) {
    if (TWIM_EVENTS_ERROR != 0u) {
        mw_event_clear(&TWIM_EVENTS_ERROR);
        TWIM_TASKS_STOP = 1; /* the end is told when the stop is on the bus */
    }
    if (TWIM_EVENTS_STOPPED == 0u || !burst_active) {
        return;
    }
    TWIM_INTENCLR = TWIM_INTERRUPT_STOPPED | TWIM_INTERRUPT_ERROR;
    mw_event_clear(&TWIM_EVENTS_STOPPED);
    mw_bus_status status = outcome(TWIM_RXD_MAXCNT);
    const uint8_t *bytes = rx[filling];
    filling ^= 1u;
    burst_active = false; /* from here on the clock may start the next */
    mw_acquisition_on_burst(receiver, status, bytes);
}
