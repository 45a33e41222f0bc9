/* Frames about the board itself. */
#include "report.h"

#include <string.h>

#include "port.h"

void mw_report(mw_app *app, uint8_t type, const uint8_t *end) {
    if (mw_transmitter_send(&app->transmitter, type, end, 0u)) {
        app->counters.tx_frames++;
    } else {
        app->counters.tx_dropped_frames++;
    }
}

void mw_app_say(mw_app *app, uint8_t level, const char *text) {
    uint8_t *at = mw_wire_put_text(app->transmitter.payload, &(mw_wire_text){.level = level});
    mw_report(app, MW_WIRE_TYPE_TEXT, mw_wire_put_string(at, text));
}

void mw_app_identify(mw_app *app) {
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
        .imu_rate_millihertz = app->sensor.rate_millihertz,
        .self_test_run = app->self_test_run,
        .self_test_failed = app->self_test_failed,
        .reset_cause = mw_port_reset_cause(),
        .calibrated = app->calibration.set,
        .turn = app->calibration.turn,
        .gyro_bias_x = app->calibration.gyro_bias[0],
        .gyro_bias_y = app->calibration.gyro_bias[1],
        .gyro_bias_z = app->calibration.gyro_bias[2],
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
    mw_report(app, MW_WIRE_TYPE_IDENTITY, at);
}

void mw_report_statistics(mw_app *app) {
    uint64_t now = mw_port_time_us();
    uint64_t elapsed = now - app->statistics_us;
    uint64_t busy = elapsed > app->slept_us ? elapsed - app->slept_us : 0u;
    const mw_faults *faults = &app->faults;
    uint32_t jitter_ticks = atomic_load(&faults->jitter_ticks);
    uint64_t jitter_ns = 1000u * (uint64_t)atomic_load(&faults->jitter_sum_us);
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
        .bus_nacks = atomic_load(&faults->nacks),
        .bus_arbitration_lost = atomic_load(&faults->arbitration_lost),
        .bus_stuck = atomic_load(&faults->stuck),
        .bus_timeouts = atomic_load(&faults->timeouts),
        .bus_recoveries = faults->recoveries,
        .longest_recovery_us = atomic_load(&faults->longest_recovery_us),
        .imu_lost_configurations = faults->lost_configurations,
        .imu_configurations = faults->configurations,
        .imu_frozen = faults->frozen,
        .clock_silent = faults->clock_silent,
        .imu_repeated = atomic_load(&faults->repeated),
        .imu_skipped = atomic_load(&faults->skipped),
        .jitter_max_us = atomic_load(&faults->jitter_max_us),
        .jitter_mean_ns = (uint32_t)(jitter_ticks > 0u ? jitter_ns / jitter_ticks : 0u),
    };
    app->statistics_us = now;
    app->slept_us = 0;
    mw_report(app, MW_WIRE_TYPE_STATISTICS,
             mw_wire_put_statistics(app->transmitter.payload, &head));
}

void mw_report_acknowledge(mw_app *app, const mw_wire_frame *command, uint8_t status) {
    mw_wire_acknowledge head = {
        .command = command->type,
        .command_sequence = command->sequence,
        .status = status,
    };
    mw_report(app, MW_WIRE_TYPE_ACKNOWLEDGE,
             mw_wire_put_acknowledge(app->transmitter.payload, &head));
}

void mw_report_gyro_bias(mw_app *app, uint8_t status, const mw_bias_result *result) {
    mw_wire_gyro_bias head = {
        .status = status,
        .samples = (uint16_t)result->samples,
        .x = result->bias[0],
        .y = result->bias[1],
        .z = result->bias[2],
        .gyro_range = result->gyro_range,
        .acc_range = result->acc_range,
    };
    mw_report(app, MW_WIRE_TYPE_GYRO_BIAS,
              mw_wire_put_gyro_bias(app->transmitter.payload, &head));
}
