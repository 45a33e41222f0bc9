/* Fuzz target: the application and the IMU link of an emulated board, both fed the same bytes.
 *
 * Whatever they are told, what the board sends are whole frames, and in the end it answers a ping. */
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "fuzz.h"
#include "port.h"
#include "stream_imu.h"

/* Bytes between two rounds of the main loop, as many as the receive ring surely holds. */
#define ROUND_BYTES 256u
#define ROUND_US 7000u
/* A round takes at most what the sample queue holds; the clock must not run away from the loop. */
#define ROUNDS_AT_THE_END 4u

static mw_app app;
static mw_stream_imu imu;
static mw_wire_decoder sent;
static uint64_t now_us;
static bool sampling;
static uint64_t pongs;

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

const char *mw_port_board(void) { return "fuzz"; }
uint8_t mw_port_reset_cause(void) { return MW_WIRE_RESET_CAUSE_UNKNOWN; }
void mw_port_led(mw_led state) { (void)state; }
uint64_t mw_port_time_us(void) { return now_us; }
void mw_port_serial_kick(void) {}
uint32_t mw_port_irq_save(void) { return 0; }
void mw_port_irq_restore(uint32_t saved) { (void)saved; }
void mw_port_sleep(void) {}

void mw_port_sample_clock_start(uint32_t rate_hz) {
    mw_stream_imu_start(&imu, now_us, 1000000u / rate_hz);
    sampling = true;
}

void mw_port_sample_clock_stop(void) {
    sampling = false;
    mw_stream_imu_stop(&imu);
}

static void drain(void) {
    uint8_t byte;
    while (mw_app_next_byte(&app, &byte)) {
        mw_wire_frame frame;
        mw_wire_event event = mw_wire_decode(&sent, byte, &frame);
        require(event == MW_WIRE_NOTHING || event == MW_WIRE_FRAME);
        if (event == MW_WIRE_FRAME && frame.type == MW_WIRE_TYPE_PONG) {
            pongs++;
        }
    }
    mw_ring *credits = &imu.tx;
    while (mw_ring_read(credits, &byte)) {
    }
}

static void round_of_the_loop(void) {
    now_us += ROUND_US;
    if (sampling) {
        mw_stream_imu_serve(&imu, now_us);
    }
    mw_app_run_once(&app);
    drain();
}

/* The right IMU is there from the beginning, or no command but `identify` would do anything. The
 * self-test takes longer than all that follows, so it is done once. */
static void boot(void) {
    static mw_app booted;
    static mw_stream_imu linked;
    static bool done;
    now_us = 0;
    sampling = false;
    pongs = 0;
    mw_wire_decoder_init(&sent);
    if (done) {
        app = booted;
        imu = linked;
        return;
    }
    require(mw_app_init(&app) == MW_OK);
    mw_stream_imu_init(&imu, &app);
    mw_sensor sensor = {.acc_lsb_m_s2 = 0.001f, .gyro_lsb_rad_s = 0.001f};
    strncpy(sensor.name, mw_model_info.imu, sizeof sensor.name - 1u);
    mw_app_set_sensor(&app, &sensor);
    drain();
    booted = app;
    linked = imu;
    done = true;
}

static void ping(void) {
    uint8_t payload[MW_WIRE_PING_HEAD_SIZE] = {0};
    uint8_t frame[MW_WIRE_ENCODE_SIZE];
    size_t length = mw_wire_encode(frame, MW_WIRE_TYPE_PING, 0u, payload, sizeof payload);
    for (size_t i = 0; i < length; i++) {
        mw_app_on_byte(&app, frame[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    boot();
    size_t since = 0;
    for (size_t i = 0; i < size; i++) {
        mw_app_on_byte(&app, data[i]);
        mw_stream_imu_on_byte(&imu, data[i]);
        require(imu.received >= imu.next || imu.received == 0u || imu.next > imu.end);
        if (data[i] == 0u || ++since == ROUND_BYTES) {
            since = 0;
            round_of_the_loop();
        }
    }
    for (uint32_t i = 0; i < ROUNDS_AT_THE_END; i++) {
        round_of_the_loop();
    }
    uint64_t before = pongs;
    ping();
    round_of_the_loop();
    /* What lay unfinished on the line may have been one too: the zero byte of this ping ends it. */
    require(pongs > before);
    return 0;
}
