/* An nRF52840 with an IMU on I2C and a serial line: what the application asks of its board. */
#include <stdint.h>

#include "acquisition.h"
#include "app.h"
#include "clock.h"
#include "fault.h"
#include "i2c.h"
#include "port.h"
#include "serial.h"
#include "system.h"

static mw_app app;
static mw_acquisition acquisition = {.app = &app};

const char *mw_port_board(void) { return MW_BOARD_NAME; }

void mw_port_sample_clock_start(uint32_t rate_hz) {
    uint32_t period_us = 1000000u / rate_hz;
    mw_acquisition_start(&acquisition, mw_port_time_us(), period_us);
    if (mw_acquisition_wants_data_ready(&acquisition)) {
        mw_clock_start_data_ready();
    } else {
        mw_clock_start_timer(period_us);
    }
}

void mw_port_sample_clock_stop(void) {
    mw_clock_stop();
    mw_acquisition_stop(&acquisition);
}

/* What happened before this boot, and what did not work in it. */
static void report(bool crystal) {
    if (mw_fault_happened()) {
        char text[MW_FAULT_TEXT_SIZE];
        mw_fault_text(text);
        mw_app_say(&app, MW_WIRE_LEVEL_ERROR, text);
    }
    if (!crystal) {
        mw_app_say(&app, MW_WIRE_LEVEL_ERROR, "the crystal has not started: time is inexact");
    }
}

int main(void) {
    mw_fault_init();
    mw_system_init();
    uint32_t saved = mw_port_irq_save();
    bool crystal = mw_clock_init(&acquisition);
    mw_watchdog_start();
    mw_i2c_init(&acquisition);
    mw_serial_init(&app);
    mw_status status = mw_app_init(&app);
    report(crystal);
    if (status == MW_OK) {
        mw_acquisition_begin(&acquisition);
    }
    mw_port_irq_restore(saved);
    for (;;) {
        mw_watchdog_feed();
        mw_serial_serve();
        if (status == MW_OK) {
            mw_acquisition_serve(&acquisition, mw_port_time_us());
            mw_app_run_once(&app);
        }
    }
}
