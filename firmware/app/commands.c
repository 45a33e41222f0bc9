/* Commands of the host, and the replay of recorded counts. */
#include "commands.h"

#include <string.h>

#include "port.h"
#include "report.h"

/* ---- Replay ---------------------------------------------------------------------------------- */

static uint8_t begin_replay(mw_app *app) {
    if (mw_app_is_sampling(app)) {
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
        if (mw_app_step(app, counts, predictions)) {
            result.warm_up++;
        }
        memcpy(out, predictions, sizeof predictions);
        out += sizeof predictions;
    }
    app->replay_next += head.count;
    (void)mw_wire_put_replay_result(app->transmitter.payload, &result);
    mw_report(app, MW_WIRE_TYPE_REPLAY_RESULT, out);
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
    case MW_WIRE_TYPE_MEASURE_GYRO_BIAS:
        return 0;
    case MW_WIRE_TYPE_SET_CALIBRATION:
        return MW_WIRE_SET_CALIBRATION_HEAD_SIZE;
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
    mw_faults *faults = &app->faults;
    atomic_uint_least32_t *const of_interrupts[] = {
        &faults->nacks,         &faults->arbitration_lost,    &faults->stuck,
        &faults->timeouts,      &faults->longest_recovery_us, &faults->repeated,
        &faults->skipped,       &faults->jitter_max_us,       &faults->jitter_sum_us,
        &faults->jitter_ticks,
    };
    for (size_t i = 0; i < sizeof of_interrupts / sizeof of_interrupts[0]; i++) {
        atomic_store(of_interrupts[i], 0u);
    }
    faults->recoveries = 0;
    faults->lost_configurations = 0;
    faults->configurations = 0;
    faults->frozen = 0;
    faults->clock_silent = 0;
}

static uint8_t set_calibration(mw_app *app, const mw_wire_frame *frame) {
    mw_wire_set_calibration wanted;
    (void)mw_wire_get_set_calibration(frame->payload, &wanted);
    if (mw_app_is_sampling(app)) {
        return MW_WIRE_STATUS_BUSY;
    }
    if (wanted.turn > MW_WIRE_TURN_180Z) {
        return MW_WIRE_STATUS_BAD_ARGUMENT;
    }
    app->calibration = (mw_calibration){
        .set = true,
        .turn = wanted.turn,
        .gyro_bias = {wanted.gyro_bias_x, wanted.gyro_bias_y, wanted.gyro_bias_z},
    };
    return MW_WIRE_STATUS_OK;
}

void mw_app_obey(mw_app *app, const mw_wire_frame *frame) {
    size_t expected = expected_length(frame);
    if (expected != frame->length) {
        mw_report_acknowledge(app, frame,
                    expected == SIZE_MAX ? MW_WIRE_STATUS_UNKNOWN_COMMAND
                                         : MW_WIRE_STATUS_BAD_LENGTH);
        return;
    }
    uint8_t status = MW_WIRE_STATUS_OK;
    switch (frame->type) {
    case MW_WIRE_TYPE_IDENTIFY:
        mw_app_identify(app);
        return;
    case MW_WIRE_TYPE_GET_STATISTICS:
        mw_report_statistics(app);
        return;
    case MW_WIRE_TYPE_PING: {
        mw_wire_ping ping;
        (void)mw_wire_get_ping(frame->payload, &ping);
        mw_wire_pong pong = {.token = ping.token, .time_us = mw_port_time_us()};
        mw_report(app, MW_WIRE_TYPE_PONG, mw_wire_put_pong(app->transmitter.payload, &pong));
        return;
    }
    case MW_WIRE_TYPE_REPLAY_SAMPLES:
        status = replay(app, frame);
        if (status == MW_WIRE_STATUS_OK) {
            return; /* answered by its result */
        }
        break;
    case MW_WIRE_TYPE_START:
        status = mw_app_start(app);
        break;
    case MW_WIRE_TYPE_STOP:
        mw_app_stop(app);
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
    case MW_WIRE_TYPE_MEASURE_GYRO_BIAS:
        status = mw_app_start_calibrating(app);
        break;
    case MW_WIRE_TYPE_SET_CALIBRATION:
        status = set_calibration(app, frame);
        break;
    default:
        status = MW_WIRE_STATUS_UNKNOWN_COMMAND;
        break;
    }
    mw_report_acknowledge(app, frame, status);
}
