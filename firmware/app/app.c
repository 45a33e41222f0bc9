/* The application's main loop: samples to data frames, commands to answers, counters. */
#include "app.h"

#include <string.h>

#include "commands.h"
#include "counter.h"
#include "port.h"
#include "report.h"
#include "selftest.h"

#define STATISTICS_PERIOD_US 1000000u
/* A batch that does not fill (the IMU has gone silent) is sent after this time. */
#define BATCH_TIMEOUT_US 100000u
/* Twice the time a measurement of the gyroscope's bias takes without a missed sample. */
#define CALIBRATION_TIMEOUT_US 2000000u
#define LED_UNKNOWN 0xFFu

static void send_batch(mw_app *app) {
    if (app->batch.head.count == 0u) {
        return;
    }
    const uint8_t *end = mw_batch_write(&app->batch, app->transmitter.payload, app->raw);
    if (mw_transmitter_send(&app->transmitter, MW_WIRE_TYPE_DATA, end, MW_TX_RESERVE)) {
        app->counters.tx_frames++;
    } else {
        app->counters.tx_dropped_batches++;
    }
    app->batch.head.count = 0;
}

/* ---- Samples --------------------------------------------------------------------------------- */

bool mw_app_step(mw_app *app, const int16_t *counts, int8_t *predictions) {
    uint64_t begin = mw_port_time_us();
    bool warm_up = mw_pipeline_step(&app->pipeline, counts, predictions);
    uint32_t took = (uint32_t)(mw_port_time_us() - begin);
    if (took > app->counters.longest_step_us) {
        app->counters.longest_step_us = took;
    }
    app->counters.processed++;
    return warm_up;
}

static void process_sample(mw_app *app, const mw_sample *sample) {
    if (app->mode == MW_APP_CALIBRATING) {
        mw_bias_meter_add(&app->meter, sample->counts);
        return;
    }
    uint32_t gap = sample->tick - app->next_tick;
    if (gap > 0u) {
        /* What the network remembers is from before the gap: it starts anew. */
        send_batch(app);
        mw_pipeline_reset(&app->pipeline);
        app->counters.gaps++;
    }
    if (app->batch.head.count == 0u) {
        mw_batch_begin(&app->batch, sample->tick, sample->time_us, gap);
        app->batch_is_new = true;
    }
    app->next_tick = sample->tick + 1u;
    int16_t corrected[MW_IMU_CHANNELS];
    mw_calibration_apply(&app->calibration, sample->counts, corrected);
    int8_t predictions[MW_MODEL_OUTPUTS];
    bool warm_up = mw_app_step(app, corrected, predictions);
    (void)mw_batch_add(&app->batch, sample->counts, predictions, warm_up);
    if (app->batch.head.count == MW_WIRE_BATCH_SAMPLES) {
        send_batch(app);
    }
}

static void process_samples(mw_app *app) {
    mw_sample sample;
    for (uint32_t i = 0; i < MW_SAMPLE_QUEUE_SIZE; i++) {
        if (!mw_sample_queue_get(&app->shared.queue, &sample)) {
            break;
        }
        process_sample(app, &sample);
    }
}

/* Starts the sample clock in `mode`, everything about samples fresh. */
static uint8_t start_clock(mw_app *app, mw_app_mode mode) {
    if (app->mode != MW_APP_IDLE) {
        return app->mode == mode ? MW_WIRE_STATUS_OK : MW_WIRE_STATUS_BUSY;
    }
    if (strcmp(app->sensor.name, mw_model_info.imu) != 0) {
        return MW_WIRE_STATUS_NO_SENSOR;
    }
    mw_sample_queue_init(&app->shared.queue);
    mw_pipeline_reset(&app->pipeline);
    app->meter = (mw_bias_meter){0};
    app->batch.head.count = 0;
    app->next_tick = 0;
    app->shared.tick = 0;
    atomic_store(&app->shared.sensor_ended, false);
    app->mode = mode;
    app->started_us = mw_port_time_us();
    app->statistics_us = app->started_us;
    app->slept_us = 0;
    mw_port_sample_clock_start(mw_model_info.rate_hz);
    return MW_WIRE_STATUS_OK;
}

uint8_t mw_app_start(mw_app *app) { return start_clock(app, MW_APP_SAMPLING); }

uint8_t mw_app_start_calibrating(mw_app *app) { return start_clock(app, MW_APP_CALIBRATING); }

bool mw_app_is_sampling(const mw_app *app) {
    return app->mode == MW_APP_SAMPLING || app->mode == MW_APP_CALIBRATING;
}

void mw_app_stop(mw_app *app) {
    if (mw_app_is_sampling(app)) {
        mw_port_sample_clock_stop();
        process_samples(app);
    }
    if (app->mode == MW_APP_SAMPLING) {
        send_batch(app);
        app->mode = MW_APP_IDLE;
        mw_report_statistics(app);
    }
    app->mode = MW_APP_IDLE;
}

/* Ends the measurement of the gyroscope's bias when it has its samples, or will not get them. */
static void serve_calibration(mw_app *app, bool ended) {
    bool complete = app->meter.samples == MW_CALIBRATION_SAMPLES;
    bool late = mw_port_time_us() - app->started_us > CALIBRATION_TIMEOUT_US;
    if (!complete && !ended && !late) {
        return;
    }
    mw_app_stop(app);
    mw_bias_result result = mw_bias_meter_result(&app->meter, app->sensor.acc_lsb_m_s2,
                                                 app->sensor.gyro_lsb_rad_s);
    uint8_t status = MW_WIRE_STATUS_OK;
    if (result.samples < MW_CALIBRATION_SAMPLES) {
        status = MW_WIRE_STATUS_NO_SAMPLES;
    } else if (!result.at_rest) {
        status = MW_WIRE_STATUS_MOVING;
    }
    mw_report_gyro_bias(app, status, &result);
}

static void receive(mw_app *app) {
    for (uint32_t i = 0; i < MW_RX_RING_SIZE; i++) {
        uint8_t byte;
        if (!mw_ring_read(&app->shared.rx, &byte)) {
            break;
        }
        mw_wire_frame frame;
        switch (mw_wire_decode(&app->decoder, byte, &frame)) {
        case MW_WIRE_FRAME:
            app->counters.rx_frames++;
            mw_app_obey(app, &frame);
            break;
        case MW_WIRE_CRC_ERROR:
            app->counters.rx_crc_errors++;
            break;
        case MW_WIRE_MALFORMED:
            app->counters.rx_malformed++;
            break;
        case MW_WIRE_NOTHING:
        default:
            break;
        }
    }
}

/* ---- Main loop ------------------------------------------------------------------------------- */

static void self_test(mw_app *app) {
    if (mw_self_test_model()) {
        mw_app_set_self_test(app, MW_WIRE_SELF_TEST_MODEL, 0u);
    } else {
        mw_app_set_self_test(app, MW_WIRE_SELF_TEST_MODEL, MW_WIRE_SELF_TEST_MODEL);
        mw_app_say(app, MW_WIRE_LEVEL_ERROR, "self-test: the model in flash is damaged");
    }
#ifndef MW_INFERENCE_TFLM /* which runs for some samples only */
    if (mw_self_test_engine(&app->pipeline)) {
        mw_app_set_self_test(app, MW_WIRE_SELF_TEST_ENGINE, 0u);
    } else {
        mw_app_set_self_test(app, MW_WIRE_SELF_TEST_ENGINE, MW_WIRE_SELF_TEST_ENGINE);
        mw_app_say(app, MW_WIRE_LEVEL_ERROR, "self-test: the engine computes wrong values");
    }
#endif
}

mw_status mw_app_init(mw_app *app) {
    memset(app, 0, sizeof *app);
    mw_sample_queue_init(&app->shared.queue);
    mw_ring_init(&app->shared.rx, app->shared.rx_storage, sizeof app->shared.rx_storage);
    mw_wire_decoder_init(&app->decoder);
    mw_transmitter_init(&app->transmitter);
    app->mode = MW_APP_IDLE;
    app->led = LED_UNKNOWN;
    mw_status status = mw_pipeline_init(&app->pipeline);
    if (status != MW_OK) {
        mw_app_say(app, MW_WIRE_LEVEL_ERROR, "the model in flash is not usable");
        return status;
    }
    self_test(app);
    mw_app_identify(app);
    return MW_OK;
}

void mw_app_set_self_test(mw_app *app, uint8_t run, uint8_t failed) {
    app->self_test_run = (uint8_t)(app->self_test_run | run);
    app->self_test_failed = (uint8_t)((app->self_test_failed & ~run) | (failed & run));
}

void mw_app_set_sensor(mw_app *app, const mw_sensor *sensor) {
    app->sensor = *sensor;
    app->sensor.name[MW_SENSOR_NAME_SIZE - 1u] = '\0';
    bool fits = strcmp(app->sensor.name, mw_model_info.imu) == 0;
    mw_app_set_self_test(app, MW_WIRE_SELF_TEST_IMU, fits ? 0u : MW_WIRE_SELF_TEST_IMU);
}

static void show_state(mw_app *app) {
    mw_led led = MW_LED_READY;
    if (app->self_test_failed != 0u) {
        led = MW_LED_FAULT;
    } else if (mw_app_is_sampling(app)) {
        led = MW_LED_SAMPLING;
    }
    if (app->led != (uint8_t)led) {
        app->led = (uint8_t)led;
        mw_port_led(led);
    }
}

static void housekeeping(mw_app *app) {
    bool ended = atomic_load(&app->shared.sensor_ended);
    if (ended) {
        atomic_store(&app->shared.sensor_ended, false);
    }
    show_state(app);
    if (app->mode == MW_APP_CALIBRATING) {
        serve_calibration(app, ended);
    }
    if (app->mode != MW_APP_SAMPLING) {
        return;
    }
    if (ended) {
        mw_app_stop(app);
        mw_app_say(app, MW_WIRE_LEVEL_INFO, "the IMU has no further samples: stopped");
        return;
    }
    uint64_t now = mw_port_time_us();
    if (app->batch_is_new) {
        app->batch_is_new = false;
        app->batch_since_us = now;
    }
    if (app->batch.head.count > 0u && now - app->batch_since_us > BATCH_TIMEOUT_US) {
        send_batch(app);
    }
    if (now - app->statistics_us >= STATISTICS_PERIOD_US) {
        mw_report_statistics(app);
    }
}

static bool has_work(const mw_app *app) {
    return mw_sample_queue_used(&app->shared.queue) > 0u || mw_ring_used(&app->shared.rx) > 0u ||
           atomic_load(&app->shared.sensor_ended);
}

void mw_app_run_once(mw_app *app) {
    process_samples(app);
    receive(app);
    housekeeping(app);

    uint32_t saved = mw_port_irq_save();
    if (!has_work(app)) {
        uint64_t begin = mw_port_time_us();
        mw_port_sleep();
        app->slept_us += mw_port_time_us() - begin;
    }
    mw_port_irq_restore(saved);
}

/* ---- Interrupts ------------------------------------------------------------------------------ */

void mw_app_on_tick(mw_app *app, uint64_t time_us, const int16_t *counts) {
    uint32_t tick = app->shared.tick++;
    if (counts == NULL) {
        mw_count_one(&app->shared.missed);
        return;
    }
    mw_sample sample = {.time_us = time_us, .tick = tick};
    memcpy(sample.counts, counts, sizeof sample.counts);
    if (!mw_sample_queue_put(&app->shared.queue, &sample)) {
        mw_count_one(&app->shared.dropped);
        return;
    }
    uint32_t used = mw_sample_queue_used(&app->shared.queue);
    mw_keep_largest(&app->shared.queue_high_water, used);
}

void mw_app_on_overrun(mw_app *app) { mw_count_one(&app->shared.overruns); }

uint32_t mw_app_queue_room(const mw_app *app) {
    return MW_SAMPLE_QUEUE_SIZE - mw_sample_queue_used(&app->shared.queue);
}

void mw_app_on_sensor_end(mw_app *app) { atomic_store(&app->shared.sensor_ended, true); }

void mw_app_on_byte(mw_app *app, uint8_t byte) {
    if (!mw_ring_write(&app->shared.rx, &byte, 1u)) {
        mw_count_one(&app->shared.rx_overflow);
    }
}

bool mw_app_next_byte(mw_app *app, uint8_t *byte) {
    return mw_ring_read(&app->transmitter.ring, byte);
}

uint32_t mw_app_receive_room(const mw_app *app) { return mw_ring_room(&app->shared.rx); }
