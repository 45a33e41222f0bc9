/* The application's main loop: samples to data frames, commands to answers, counters. */
#include "app.h"

#include <string.h>

#include "port.h"

#define STATISTICS_PERIOD_US 1000000u
/* A batch that does not fill (the IMU has gone silent) is sent after this time. */
#define BATCH_TIMEOUT_US 100000u

static void transmit(mw_app *app, uint8_t type, const uint8_t *end) {
    if (mw_transmitter_send(&app->transmitter, type, end, 0u)) {
        app->counters.tx_frames++;
    } else {
        app->counters.tx_dropped_frames++;
    }
}

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

static void send_text(mw_app *app, uint8_t level, const char *text) {
    uint8_t *at = mw_wire_put_text(app->transmitter.payload, &(mw_wire_text){.level = level});
    transmit(app, MW_WIRE_TYPE_TEXT, mw_wire_put_string(at, text));
}

static void send_identity(mw_app *app) {
    mw_wire_identity head = {
        .protocol_version = MW_WIRE_VERSION,
        .firmware_major = MW_FIRMWARE_MAJOR,
        .firmware_minor = MW_FIRMWARE_MINOR,
        .firmware_patch = MW_FIRMWARE_PATCH,
        .rate_hz = mw_model_info.rate_hz,
        .receptive_field = (uint16_t)mw_model_info.receptive_field,
        .outputs = MW_MODEL_OUTPUTS,
        .output_scale = mw_model_info.output_scale,
        .output_zero_point = (int8_t)mw_model_info.output_zero_point,
        .acc_lsb_m_s2 = app->sensor.acc_lsb_m_s2,
        .gyro_lsb_rad_s = app->sensor.gyro_lsb_rad_s,
        .running = app->mode == MW_APP_SAMPLING,
        .raw = app->raw,
    };
    memcpy(head.model_sha256, mw_model_info.sha256, sizeof head.model_sha256);
    uint8_t *at = mw_wire_put_identity(app->transmitter.payload, &head);
    const uint8_t *limit = app->transmitter.payload + sizeof app->transmitter.payload;
    at = mw_wire_put_string(at, app->sensor.name);
    at = mw_wire_put_string(at, mw_port_board());
    *at++ = (uint8_t)mw_model_info.n_muscles;
    for (uint32_t i = 0; i < mw_model_info.n_muscles; i++) {
        /* Names too long for one frame are sent empty: the host still sees how many there are. */
        const char *name = mw_model_info.muscles[i];
        size_t left = (size_t)(limit - at);
        bool fits = strlen(name) + 1u + (mw_model_info.n_muscles - i - 1u) <= left;
        at = mw_wire_put_string(at, fits ? name : "");
    }
    transmit(app, MW_WIRE_TYPE_IDENTITY, at);
}

static void send_statistics(mw_app *app) {
    uint64_t now = mw_port_time_us();
    uint64_t elapsed = now - app->statistics_us;
    uint64_t busy = elapsed > app->slept_us ? elapsed - app->slept_us : 0u;
    mw_wire_statistics head = {
        .time_us = now,
        .mode = (uint8_t)app->mode,
        .processed = app->counters.processed,
        .missed = atomic_load(&app->shared.missed),
        .dropped = atomic_load(&app->shared.dropped),
        .overruns = atomic_load(&app->shared.overruns),
        .gaps = app->counters.gaps,
        .tx_frames = app->counters.tx_frames,
        .tx_dropped_batches = app->counters.tx_dropped_batches,
        .tx_dropped_frames = app->counters.tx_dropped_frames,
        .rx_frames = app->counters.rx_frames,
        .rx_crc_errors = app->counters.rx_crc_errors,
        .rx_malformed = app->counters.rx_malformed,
        .rx_overflow = atomic_load(&app->shared.rx_overflow),
        .longest_step_us = app->counters.longest_step_us,
        .cpu_load_permille = (uint16_t)(elapsed > 0u ? 1000u * busy / elapsed : 0u),
        .queue_high_water = (uint16_t)atomic_load(&app->shared.queue_high_water),
    };
    app->statistics_us = now;
    app->slept_us = 0;
    transmit(app, MW_WIRE_TYPE_STATISTICS,
             mw_wire_put_statistics(app->transmitter.payload, &head));
}

static void acknowledge(mw_app *app, const mw_wire_frame *command, uint8_t status) {
    mw_wire_acknowledge head = {
        .command = command->type,
        .command_sequence = command->sequence,
        .status = status,
    };
    transmit(app, MW_WIRE_TYPE_ACKNOWLEDGE,
             mw_wire_put_acknowledge(app->transmitter.payload, &head));
}

/* ---- Samples --------------------------------------------------------------------------------- */

static bool step(mw_app *app, const int16_t *counts, int8_t *predictions) {
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
    uint32_t gap = sample->tick - app->next_tick;
    if (gap > 0u) {
        /* What the network remembers is from before the gap: it starts anew. */
        send_batch(app);
        mw_pipeline_reset(&app->pipeline);
        app->counters.gaps++;
    }
    if (app->batch.head.count == 0u) {
        mw_batch_begin(&app->batch, sample->tick, sample->time_us, gap);
    }
    app->next_tick = sample->tick + 1u;
    int8_t predictions[MW_MODEL_OUTPUTS];
    bool warm_up = step(app, sample->counts, predictions);
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

static uint8_t start(mw_app *app) {
    if (app->mode == MW_APP_SAMPLING) {
        return MW_WIRE_STATUS_OK;
    }
    if (app->mode == MW_APP_REPLAYING) {
        return MW_WIRE_STATUS_BUSY;
    }
    if (strcmp(app->sensor.name, mw_model_info.imu) != 0) {
        return MW_WIRE_STATUS_NO_SENSOR;
    }
    mw_sample_queue_init(&app->shared.queue);
    mw_pipeline_reset(&app->pipeline);
    app->batch.head.count = 0;
    app->next_tick = 0;
    app->shared.tick = 0;
    atomic_store(&app->shared.sensor_ended, false);
    app->mode = MW_APP_SAMPLING;
    app->statistics_us = mw_port_time_us();
    app->slept_us = 0;
    mw_port_sample_clock_start(mw_model_info.rate_hz);
    return MW_WIRE_STATUS_OK;
}

static void stop(mw_app *app) {
    if (app->mode == MW_APP_SAMPLING) {
        mw_port_sample_clock_stop();
        process_samples(app);
        send_batch(app);
        app->mode = MW_APP_IDLE;
        send_statistics(app);
    }
    app->mode = MW_APP_IDLE;
}

/* ---- Replay ---------------------------------------------------------------------------------- */

static uint8_t begin_replay(mw_app *app) {
    if (app->mode == MW_APP_SAMPLING) {
        return MW_WIRE_STATUS_BUSY;
    }
    mw_pipeline_reset(&app->pipeline);
    app->replay_next = 0;
    app->mode = MW_APP_REPLAYING;
    return MW_WIRE_STATUS_OK;
}

/* Answers one frame of recorded counts with its predictions; a status other than ok when it is not
 * the frame that should follow. */
static uint8_t replay(mw_app *app, const mw_wire_frame *frame) {
    if (app->mode != MW_APP_REPLAYING) {
        return MW_WIRE_STATUS_BUSY;
    }
    mw_wire_replay_samples head;
    const uint8_t *at = mw_wire_get_replay_samples(frame->payload, &head);
    if (head.count == 0u || head.count > MW_WIRE_REPLAY_BATCH) {
        return MW_WIRE_STATUS_BAD_ARGUMENT;
    }
    if (head.first != app->replay_next) {
        return MW_WIRE_STATUS_OUT_OF_ORDER;
    }
    _Static_assert(MW_WIRE_REPLAY_RESULT_HEAD_SIZE + MW_WIRE_REPLAY_BATCH * MW_MODEL_OUTPUTS <=
                       MW_WIRE_MAX_PAYLOAD,
                   "a full replay result fits a payload");
    mw_wire_replay_result result = {
        .first = head.first,
        .count = head.count,
        .outputs = MW_MODEL_OUTPUTS,
    };
    uint8_t *out = app->transmitter.payload + MW_WIRE_REPLAY_RESULT_HEAD_SIZE;
    for (uint32_t i = 0; i < head.count; i++) {
        int16_t counts[MW_IMU_CHANNELS];
        for (uint32_t channel = 0; channel < MW_IMU_CHANNELS; channel++) {
            counts[channel] = (int16_t)mw_wire_get_u(at, 2u);
            at += 2;
        }
        int8_t predictions[MW_MODEL_OUTPUTS];
        if (step(app, counts, predictions)) {
            result.warm_up++;
        }
        memcpy(out, predictions, sizeof predictions);
        out += sizeof predictions;
    }
    app->replay_next += head.count;
    (void)mw_wire_put_replay_result(app->transmitter.payload, &result);
    transmit(app, MW_WIRE_TYPE_REPLAY_RESULT, out);
    return MW_WIRE_STATUS_OK;
}

/* ---- Commands -------------------------------------------------------------------------------- */

/* The one payload length a frame may have, or SIZE_MAX when the board takes no such frame. */
static size_t expected_length(const mw_wire_frame *frame) {
    switch (frame->type) {
    case MW_WIRE_TYPE_IDENTIFY:
    case MW_WIRE_TYPE_START:
    case MW_WIRE_TYPE_STOP:
    case MW_WIRE_TYPE_RESET_COUNTERS:
    case MW_WIRE_TYPE_GET_STATISTICS:
    case MW_WIRE_TYPE_REPLAY:
        return 0;
    case MW_WIRE_TYPE_SET_RAW:
        return MW_WIRE_SET_RAW_HEAD_SIZE;
    case MW_WIRE_TYPE_PING:
        return MW_WIRE_PING_HEAD_SIZE;
    case MW_WIRE_TYPE_REPLAY_SAMPLES: {
        if (frame->length < MW_WIRE_REPLAY_SAMPLES_HEAD_SIZE) {
            return MW_WIRE_REPLAY_SAMPLES_HEAD_SIZE;
        }
        mw_wire_replay_samples head;
        (void)mw_wire_get_replay_samples(frame->payload, &head);
        return MW_WIRE_REPLAY_SAMPLES_HEAD_SIZE + (size_t)head.count * 2u * MW_IMU_CHANNELS;
    }
    default:
        return SIZE_MAX;
    }
}

static void reset_counters(mw_app *app) {
    app->counters = (mw_app_counters){0};
    atomic_store(&app->shared.missed, 0u);
    atomic_store(&app->shared.dropped, 0u);
    atomic_store(&app->shared.overruns, 0u);
    atomic_store(&app->shared.rx_overflow, 0u);
    atomic_store(&app->shared.queue_high_water, 0u);
}

static void obey(mw_app *app, const mw_wire_frame *frame) {
    size_t expected = expected_length(frame);
    if (expected != frame->length) {
        acknowledge(app, frame,
                    expected == SIZE_MAX ? MW_WIRE_STATUS_UNKNOWN_COMMAND
                                         : MW_WIRE_STATUS_BAD_LENGTH);
        return;
    }
    uint8_t status = MW_WIRE_STATUS_OK;
    switch (frame->type) {
    case MW_WIRE_TYPE_IDENTIFY:
        send_identity(app);
        return;
    case MW_WIRE_TYPE_GET_STATISTICS:
        send_statistics(app);
        return;
    case MW_WIRE_TYPE_PING: {
        mw_wire_ping ping;
        (void)mw_wire_get_ping(frame->payload, &ping);
        mw_wire_pong pong = {.token = ping.token, .time_us = mw_port_time_us()};
        transmit(app, MW_WIRE_TYPE_PONG, mw_wire_put_pong(app->transmitter.payload, &pong));
        return;
    }
    case MW_WIRE_TYPE_REPLAY_SAMPLES:
        status = replay(app, frame);
        if (status == MW_WIRE_STATUS_OK) {
            return; /* answered by its result */
        }
        break;
    case MW_WIRE_TYPE_START:
        status = start(app);
        break;
    case MW_WIRE_TYPE_STOP:
        stop(app);
        break;
    case MW_WIRE_TYPE_SET_RAW:
        if (frame->payload[0] > 1u) {
            status = MW_WIRE_STATUS_BAD_ARGUMENT;
        } else {
            app->raw = frame->payload[0] == 1u;
        }
        break;
    case MW_WIRE_TYPE_RESET_COUNTERS:
        reset_counters(app);
        break;
    case MW_WIRE_TYPE_REPLAY:
        status = begin_replay(app);
        break;
    default:
        status = MW_WIRE_STATUS_UNKNOWN_COMMAND;
        break;
    }
    acknowledge(app, frame, status);
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
            obey(app, &frame);
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

mw_status mw_app_init(mw_app *app) {
    memset(app, 0, sizeof *app);
    mw_sample_queue_init(&app->shared.queue);
    mw_ring_init(&app->shared.rx, app->shared.rx_storage, sizeof app->shared.rx_storage);
    mw_wire_decoder_init(&app->decoder);
    mw_transmitter_init(&app->transmitter);
    app->mode = MW_APP_IDLE;
    mw_status status = mw_pipeline_init(&app->pipeline);
    if (status == MW_OK) {
        send_identity(app);
    } else {
        send_text(app, MW_WIRE_LEVEL_ERROR, "the model in flash is not usable");
    }
    return status;
}

void mw_app_set_sensor(mw_app *app, const mw_sensor *sensor) {
    app->sensor = *sensor;
    app->sensor.name[MW_SENSOR_NAME_SIZE - 1u] = '\0';
}

static void housekeeping(mw_app *app) {
    bool ended = atomic_load(&app->shared.sensor_ended);
    if (ended) {
        atomic_store(&app->shared.sensor_ended, false);
    }
    if (app->mode != MW_APP_SAMPLING) {
        return;
    }
    if (ended) {
        stop(app);
        send_text(app, MW_WIRE_LEVEL_INFO, "the IMU has no further samples: stopped");
        return;
    }
    uint64_t now = mw_port_time_us();
    if (app->batch.head.count > 0u && now > app->batch.head.time_us + BATCH_TIMEOUT_US) {
        send_batch(app);
    }
    if (now - app->statistics_us >= STATISTICS_PERIOD_US) {
        send_statistics(app);
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

/* Each counter has one interrupt that writes it, which the main loop cannot interrupt; ARMv6-M has
 * no atomic addition. */
static void count_one(atomic_uint_least32_t *counter) {
    atomic_store(counter, atomic_load(counter) + 1u);
}

void mw_app_on_tick(mw_app *app, uint64_t time_us, const int16_t *counts) {
    uint32_t tick = app->shared.tick++;
    if (counts == NULL) {
        count_one(&app->shared.missed);
        return;
    }
    mw_sample sample = {.time_us = time_us, .tick = tick};
    memcpy(sample.counts, counts, sizeof sample.counts);
    if (!mw_sample_queue_put(&app->shared.queue, &sample)) {
        count_one(&app->shared.dropped);
        return;
    }
    uint32_t used = mw_sample_queue_used(&app->shared.queue);
    if (used > atomic_load(&app->shared.queue_high_water)) {
        atomic_store(&app->shared.queue_high_water, used);
    }
}

void mw_app_on_overrun(mw_app *app) { count_one(&app->shared.overruns); }

uint32_t mw_app_queue_room(const mw_app *app) {
    return MW_SAMPLE_QUEUE_SIZE - mw_sample_queue_used(&app->shared.queue);
}

void mw_app_on_sensor_end(mw_app *app) { atomic_store(&app->shared.sensor_ended, true); }

void mw_app_on_byte(mw_app *app, uint8_t byte) {
    if (!mw_ring_write(&app->shared.rx, &byte, 1u)) {
        count_one(&app->shared.rx_overflow);
    }
}

bool mw_app_next_byte(mw_app *app, uint8_t *byte) {
    return mw_ring_read(&app->transmitter.ring, byte);
}

uint32_t mw_app_receive_room(const mw_app *app) { return mw_ring_room(&app->shared.rx); }
