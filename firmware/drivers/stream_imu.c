/* An IMU at the far end of a byte stream. */
#include "stream_imu.h"

#include <string.h>

_Static_assert((MW_WIRE_IMU_WINDOW & (MW_WIRE_IMU_WINDOW - 1u)) == 0u, "indices wrap at 2^32");

static uint32_t slot(uint32_t index) { return index & (MW_WIRE_IMU_WINDOW - 1u); }

static void send_credit(mw_stream_imu *imu) {
    uint8_t payload[MW_WIRE_IMU_CREDIT_HEAD_SIZE];
    (void)mw_wire_put_imu_credit(
        payload, &(mw_wire_imu_credit){.play = imu->play, .next = imu->next});
    uint8_t frame[MW_WIRE_ENCODE_SIZE];
    size_t length = mw_wire_encode(frame, MW_WIRE_TYPE_IMU_CREDIT, imu->sequence, payload,
                                   sizeof payload);
    /* A credit that finds no room is made up for by the next. */
    if (mw_ring_write(&imu->tx, frame, (uint32_t)length)) {
        imu->sequence++;
    }
}

void mw_stream_imu_init(mw_stream_imu *imu, mw_app *app) {
    memset(imu, 0, sizeof *imu);
    imu->app = app;
    imu->end = UINT32_MAX;
    mw_wire_decoder_init(&imu->decoder);
    mw_ring_init(&imu->tx, imu->tx_storage, sizeof imu->tx_storage);
    send_credit(imu);
}

void mw_stream_imu_start(mw_stream_imu *imu, uint64_t now_us, uint32_t period_us) {
    imu->period_us = period_us;
    imu->due_us = now_us + period_us;
    /* Should the credit of the rewinding have found no room, this one makes up for it. */
    send_credit(imu);
}

void mw_stream_imu_stop(mw_stream_imu *imu) {
    if (imu->next == 0u) {
        return; /* nothing taken: what is here is the beginning */
    }
    imu->play++;
    imu->next = 0;
    imu->received = 0;
    imu->end = UINT32_MAX;
    memset(imu->filled, 0, sizeof imu->filled);
    send_credit(imu);
}

static void serve_one(mw_stream_imu *imu) {
    bool *filled = &imu->filled[slot(imu->next)];
    mw_app_on_tick(imu->app, imu->due_us, *filled ? imu->fifo[slot(imu->next)] : NULL);
    *filled = false;
    if (imu->received == imu->next) {
        imu->received++;
    }
    imu->next++;
    imu->due_us += imu->period_us;
    if (imu->next % MW_STREAM_IMU_CREDIT_TICKS == 0u) {
        send_credit(imu);
    }
}

uint64_t mw_stream_imu_next_us(const mw_stream_imu *imu, uint64_t now_us) {
    bool late = now_us > imu->due_us + MW_STREAM_IMU_LATE_US;
    return late ? imu->served_us + imu->catch_up_us : imu->due_us;
}

void mw_stream_imu_serve(mw_stream_imu *imu, uint64_t now_us) {
    for (uint32_t served = 0; served < MW_SAMPLE_QUEUE_SIZE; served++) {
        if (now_us < mw_stream_imu_next_us(imu, now_us)) {
            return;
        }
        if (imu->next >= imu->end) {
            send_credit(imu);
            mw_app_on_sensor_end(imu->app);
            return;
        }
        if (mw_app_queue_room(imu->app) == 0u) {
            return;
        }
        if (!mw_stream_imu_ready(imu) && now_us - imu->due_us < MW_STREAM_IMU_PATIENCE_US) {
            return;
        }
        if (now_us - imu->due_us > imu->period_us) {
            mw_app_on_overrun(imu->app);
        }
        serve_one(imu);
        imu->served_us = now_us;
    }
}

bool mw_stream_imu_ready(const mw_stream_imu *imu) {
    /* Samples come in order: one that a later one has overtaken never comes. */
    return imu->next >= imu->end || imu->next != imu->received;
}

static void take_samples(mw_stream_imu *imu, const mw_wire_frame *frame) {
    mw_wire_imu_samples head;
    if (frame->length < MW_WIRE_IMU_SAMPLES_HEAD_SIZE) {
        return;
    }
    const uint8_t *at = mw_wire_get_imu_samples(frame->payload, &head);
    if (head.play != imu->play || head.count > MW_WIRE_IMU_BATCH ||
        frame->length != MW_WIRE_IMU_SAMPLES_HEAD_SIZE + (size_t)head.count * 2u * MW_IMU_CHANNELS) {
        return;
    }
    for (uint32_t i = 0; i < head.count; i++) {
        /* Too late (its tick is over) or too early (its place is taken): not a sample. */
        bool wanted = head.first + i - imu->next < MW_WIRE_IMU_WINDOW;
        int16_t *counts = imu->fifo[slot(head.first + i)];
        for (uint32_t channel = 0; channel < MW_IMU_CHANNELS; channel++) {
            if (wanted) {
                counts[channel] = (int16_t)mw_wire_get_u(at, 2u);
            }
            at += 2;
        }
        if (wanted) {
            imu->filled[slot(head.first + i)] = true;
            imu->received = head.first + i + 1u;
        }
    }
}

static void take_description(mw_stream_imu *imu, const mw_wire_frame *frame) {
    mw_wire_imu_describe head;
    if (frame->length < MW_WIRE_IMU_DESCRIBE_HEAD_SIZE + 1u) {
        return;
    }
    const uint8_t *at = mw_wire_get_imu_describe(frame->payload, &head);
    size_t length = *at++;
    if (length >= MW_SENSOR_NAME_SIZE ||
        frame->length != MW_WIRE_IMU_DESCRIBE_HEAD_SIZE + 1u + length) {
        return;
    }
    mw_sensor sensor = {
        .acc_lsb_m_s2 = head.acc_lsb_m_s2,
        .gyro_lsb_rad_s = head.gyro_lsb_rad_s,
        /* It has a sample for every tick. */
        .rate_millihertz = 1000u * mw_model_info.rate_hz,
    };
    memcpy(sensor.name, at, length);
    mw_app_set_sensor(imu->app, &sensor);
    /* The answer: from now on the board can start. */
    send_credit(imu);
}

void mw_stream_imu_on_byte(mw_stream_imu *imu, uint8_t byte) {
    mw_wire_frame frame;
    if (mw_wire_decode(&imu->decoder, byte, &frame) != MW_WIRE_FRAME) {
        return;
    }
    switch (frame.type) {
    case MW_WIRE_TYPE_IMU_DESCRIBE:
        take_description(imu, &frame);
        break;
    case MW_WIRE_TYPE_IMU_SAMPLES:
        take_samples(imu, &frame);
        break;
    case MW_WIRE_TYPE_IMU_END:
        if (frame.length == MW_WIRE_IMU_END_HEAD_SIZE) {
            mw_wire_imu_end head;
            (void)mw_wire_get_imu_end(frame.payload, &head);
            if (head.play == imu->play) {
                imu->end = head.total;
            }
        }
        break;
    default:
        break;
    }
}
