/* Counts the instructions of the nRF52840's interrupts and main loop on an emulated Cortex-M4.
 *
 * The application, the drivers and the port run as they are; the registers are memory, and what the
 * hardware would have left in them is written here before each run. Under `-icount shift=0` an
 * instruction takes 1 ns and the timer counts 40 of them, so each figure is a mean over many runs.
 * Writes results.bin: for each path its name, padded with zeros to 32 bytes, and tenths of an
 * instruction (uint32_t, little endian). */
#include <string.h>

#include "acquisition.h"
#include "app.h"
#include "clock.h"
#include "i2c.h"
#include "imu_parts.h"
#include "port.h"
#include "semihost.h"
#include "serial.h"

#include "../nrf52840/soc.h"

#define RUNS 2000u
#define TICK_INSTRUCTIONS 40u
/* CMSDK timer 1 of the board (DDI 0479, 4.3), which nothing else here uses. */
#define COUNTER_CTRL (*(volatile uint32_t *)0x40001000u)
#define COUNTER_VALUE (*(volatile uint32_t *)0x40001004u)
#define COUNTER_RELOAD (*(volatile uint32_t *)0x40001008u)
#define COUNTER_INTSTATUS (*(volatile uint32_t *)0x4000100Cu)
#define COUNTER_CTRL_ENABLE (1u << 0)
#define COUNTER_CTRL_INTERRUPT (1u << 3)
#define COUNTER_IRQ 9u

static mw_app app;
static mw_acquisition acquisition = {.app = &app};

void mw_timer_interrupt(void);
void mw_i2c_interrupt(void);
void mw_serial_interrupt(void);
void mw_imu_interrupt(void);
void mw_sample_clock_interrupt(void);
void mw_time_interrupt(void);
/* The emulated board's vector table names these; only the last is ever enabled. */
void mw_imu_interrupt(void) {}
void mw_sample_clock_interrupt(void) {}

/* The crystal has started. */
void mw_time_interrupt(void) {
    COUNTER_INTSTATUS = 1;
    CLOCK_EVENTS_HFCLKSTARTED = 1;
}

const char *mw_port_board(void) { return "budget"; }
void mw_port_sleep(void) {}

void mw_port_sample_clock_start(uint32_t rate_hz) {
    mw_acquisition_start(&acquisition, mw_port_time_us(), 1000000u / rate_hz);
    mw_clock_start_timer(1000000u / rate_hz);
}

void mw_port_sample_clock_stop(void) {}

/* ---- What the hardware does ------------------------------------------------------------------ */

static uint32_t now_us;

static void let_time_pass(uint32_t us) {
    now_us += us;
    TIMER_CC(TIMER0, 1u) = now_us;
}

static void line_takes_all(void) {
    for (uint32_t i = 0; i < 64u; i++) {
        UARTE_EVENTS_ENDTX = 1;
        mw_port_serial_kick();
    }
}

static void fill_ring(void) {
    static uint8_t bytes[1024];
    (void)mw_ring_write(&app.transmitter.ring, bytes, sizeof bytes);
}

/* ---- Paths: what comes before, and what is counted ------------------------------------------- */

static void before_nothing(void) { let_time_pass(3); }
static void nothing(void) {}

/* A burst has ended with the IMU's next sample, in the buffer that DMA was told. */
static void end_burst(void) {
    static uint32_t noise = 1;
    uint8_t *burst = (uint8_t *)(uintptr_t)TWIM_RXD_PTR;
    for (uint32_t i = 0; i < TWIM_RXD_MAXCNT; i++) {
        noise = noise * 1664525u + 1013904223u;
        burst[i] = (uint8_t)(noise >> 24);
    }
    TWIM_RXD_AMOUNT = TWIM_RXD_MAXCNT;
    TWIM_ERRORSRC = 0; /* ones were written to clear it */
    TWIM_EVENTS_STOPPED = 1;
}

/* What the tick before has begun is over. */
static void before_tick(void) {
    let_time_pass(1000u - now_us % 1000u);
    end_burst();
    mw_i2c_interrupt();
    mw_app_run_once(&app);
    line_takes_all();
    TIMER_EVENTS_COMPARE(TIMER0, 0u) = 1;
    TIMER_CC(TIMER0, 0u) = now_us;
}

static void before_burst_end(void) {
    before_tick();
    mw_timer_interrupt();
    let_time_pass(345);
    end_burst();
}

static void before_main_loop(void) {
    before_burst_end();
    mw_i2c_interrupt();
}

static void main_loop(void) { mw_app_run_once(&app); }

static void before_idle(void) {
    before_main_loop();
    main_loop();
    line_takes_all();
}

static void idle_round(void) {
    mw_serial_serve();
    mw_acquisition_serve(&acquisition, mw_port_time_us());
    mw_app_run_once(&app);
}

static void before_send(void) {
    line_takes_all();
    fill_ring();
}

static void before_next_chunk(void) {
    before_send();
    mw_port_serial_kick();
    fill_ring();
    UARTE_EVENTS_ENDTX = 1;
}

static void before_receive(void) {
    line_takes_all();
    mw_app_run_once(&app); /* takes what the last run has received */
    UARTE_EVENTS_ENDRX = 1;
    UARTE_RXD_AMOUNT = UARTE_RXD_MAXCNT;
}

static void read_time(void) { (void)mw_port_time_us(); }

typedef struct {
    const char *name;
    void (*before)(void);
    void (*path)(void);
    bool full_batch; /* of the runs only those that fill a batch; otherwise those that do not */
} budget_path;

static const budget_path paths[] = {
    {"nothing", before_nothing, nothing, false},
    {"tick", before_tick, mw_timer_interrupt, false},
    {"burst end", before_burst_end, mw_i2c_interrupt, false},
    {"sample", before_main_loop, main_loop, false},
    {"sample and frame", before_main_loop, main_loop, true},
    {"idle round", before_idle, idle_round, false},
    {"begin to send", before_send, mw_port_serial_kick, false},
    {"go on sending", before_next_chunk, mw_serial_interrupt, false},
    {"receive a buffer", before_receive, mw_serial_interrupt, false},
    {"read time", before_nothing, read_time, false},
};

static uint32_t ticks(void) { return UINT32_MAX - COUNTER_VALUE; }

static uint32_t tenths(const budget_path *path) {
    uint32_t total = 0;
    uint32_t counted = 0;
    for (uint32_t run = 0; run < RUNS; run++) {
        path->before();
        bool filling = app.batch.head.count == MW_WIRE_BATCH_SAMPLES - 1u;
        /* Spreads the beginnings over the timer's 40 ns. */
        for (volatile uint32_t i = 0; i < run % 41u; i++) {
        }
        uint32_t begin = ticks();
        path->path();
        uint32_t took = ticks() - begin;
        if (filling == path->full_batch) {
            total += took;
            counted++;
        }
    }
    return (uint32_t)((uint64_t)total * TICK_INSTRUCTIONS * 10u / counted);
}

static void send_command(uint8_t type) {
    uint8_t encoded[MW_WIRE_ENCODE_SIZE];
    uint8_t none = 0;
    size_t length = mw_wire_encode(encoded, type, 0, &none, 0);
    for (size_t i = 0; i < length; i++) {
        mw_app_on_byte(&app, encoded[i]);
    }
    mw_app_run_once(&app);
}

int main(void) {
    memset((void *)(uintptr_t)MW_MEMORY_REGISTERS, 0, 0x60000u);
    GPIO_IN(MW_PIN_SDA) = GPIO_BIT(MW_PIN_SDA);
    COUNTER_RELOAD = 10000;
    COUNTER_VALUE = 10000;
    COUNTER_CTRL = COUNTER_CTRL_ENABLE | COUNTER_CTRL_INTERRUPT;
    NVIC_ISER(COUNTER_IRQ) = NVIC_BIT(COUNTER_IRQ);

    uint32_t saved = mw_port_irq_save();
    bool crystal = mw_clock_init(&acquisition);
    COUNTER_RELOAD = UINT32_MAX;
    COUNTER_VALUE = UINT32_MAX;
    COUNTER_CTRL = COUNTER_CTRL_ENABLE;
    mw_i2c_init(&acquisition);
    mw_serial_init(&app);
    if (mw_app_init(&app) != MW_OK || !crystal) {
        semihost_exit(1);
    }
    acquisition.imu = (mw_imu){.part = &mw_imu_lsm6ds3tr_c, .address = 0x6A};
    acquisition.found = true;
    mw_sensor sensor = {.rate_millihertz = mw_imu_lsm6ds3tr_c.rate_millihertz};
    strncpy(sensor.name, mw_imu_lsm6ds3tr_c.name, sizeof sensor.name - 1u);
    mw_app_set_sensor(&app, &sensor);
    mw_port_irq_restore(saved);
    line_takes_all();
    send_command(MW_WIRE_TYPE_START);
    if (!mw_app_is_sampling(&app)) {
        semihost_exit(1);
    }

    int32_t report = semihost_open("results.bin", SEMIHOST_WRITE);
    int32_t failed = report < 0;
    for (uint32_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char name[32] = {0};
        strncpy(name, paths[i].name, sizeof name - 1u);
        uint32_t value = tenths(&paths[i]);
        failed |= semihost_write(report, name, sizeof name);
        failed |= semihost_write(report, &value, sizeof value);
    }
    semihost_exit(failed != 0);
}
