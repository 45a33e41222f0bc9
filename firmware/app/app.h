/* The application: samples in, predictions out over the wire protocol, commands obeyed.
 *
 * It names no hardware. A port owns one mw_app, calls mw_app_init once and mw_app_run_once for
 * ever, and calls the functions under "interrupts" from its interrupt handlers. What the
 * application asks of the port is in port.h. */
#ifndef MW_APP_H
#define MW_APP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "batch.h"
#include "calibration.h"
#include "pipeline.h"
#include "ring.h"
#include "sample_queue.h"
#include "transmitter.h"
#include "wire.h"

#define MW_FIRMWARE_MAJOR 0u
#define MW_FIRMWARE_MINOR 1u
#define MW_FIRMWARE_PATCH 0u

#define MW_RX_RING_SIZE 1024u /* holds MW_WIRE_REPLAY_WINDOW samples with their framing */
#define MW_SENSOR_NAME_SIZE 32u

/* The IMU as the board found it. */
typedef struct {
    char name[MW_SENSOR_NAME_SIZE]; /* part number as in the model, "" when there is none */
    float acc_lsb_m_s2;             /* m/s^2 a count */
    float gyro_lsb_rad_s;           /* rad/s a count */
    uint32_t rate_millihertz;       /* outputs a second, times 1000 */
} mw_sensor;

typedef enum {
    MW_APP_IDLE = MW_WIRE_MODE_IDLE,
    MW_APP_SAMPLING = MW_WIRE_MODE_SAMPLING,
    MW_APP_REPLAYING = MW_WIRE_MODE_REPLAYING,
    MW_APP_CALIBRATING = MW_WIRE_MODE_CALIBRATING /* the gyroscope's bias is being measured */
} mw_app_mode;

/* Counters of acquisition (acquisition.h); 0 on boards that sample another way. */
typedef struct {
    /* Written by interrupts, and by the main loop with interrupts masked. */
    atomic_uint_least32_t nacks;
    atomic_uint_least32_t arbitration_lost;
    atomic_uint_least32_t stuck;
    atomic_uint_least32_t timeouts;
    atomic_uint_least32_t longest_recovery_us;
    atomic_uint_least32_t repeated;
    atomic_uint_least32_t skipped;
    atomic_uint_least32_t jitter_max_us;
    atomic_uint_least32_t jitter_sum_us; /* over jitter_ticks; both are halved before they are full */
    atomic_uint_least32_t jitter_ticks;
    /* Written by the main loop. */
    uint32_t recoveries;
    uint32_t lost_configurations;
    uint32_t configurations;
    uint32_t frozen;
    uint32_t clock_silent;
} mw_faults;

/* Written by interrupts, read by the main loop. */
typedef struct {
    mw_sample_queue queue;
    mw_ring rx;
    uint8_t rx_storage[MW_RX_RING_SIZE];
    uint32_t tick; /* of the next sample; only the sample interrupt touches it while it runs */
    atomic_uint_least32_t missed;
    atomic_uint_least32_t dropped;
    atomic_uint_least32_t overruns;
    atomic_uint_least32_t rx_overflow;
    atomic_uint_least32_t queue_high_water;
    atomic_bool sensor_ended;
} mw_app_shared;

/* Written and read by the main loop only. */
typedef struct {
    uint32_t processed;
    uint32_t gaps;
    uint32_t tx_frames;
    uint32_t tx_dropped_batches;
    uint32_t tx_dropped_frames;
    uint32_t rx_frames;
    uint32_t rx_crc_errors;
    uint32_t rx_malformed;
    uint32_t longest_step_us;
} mw_app_counters;

typedef struct {
    mw_app_shared shared;
    mw_app_counters counters;
    mw_app_mode mode;
    mw_pipeline pipeline;
    mw_sensor sensor;
    mw_faults faults;
    mw_calibration calibration;
    mw_bias_meter meter;
    uint64_t started_us;     /* when the sample clock was started */
    uint8_t self_test_run;   /* MW_WIRE_SELF_TEST_* bits */
    uint8_t self_test_failed;
    uint8_t led; /* mw_led shown now */
    mw_batch batch;
    bool batch_is_new;       /* begun since the main loop looked last */
    uint64_t batch_since_us; /* when the main loop first saw it */
    mw_wire_decoder decoder;
    mw_transmitter transmitter;
    bool raw;                     /* data frames hold raw counts */
    uint32_t next_tick;           /* of the next sample the pipeline expects */
    uint32_t replay_next;         /* index of the next replayed sample */
    uint64_t slept_us;            /* since the last statistics frame */
    uint64_t statistics_us;       /* device time of the last statistics frame */
} mw_app;

/* Prepares the application, tests model and engine and sends the identity frame. Interrupts must
 * still be masked. A failed test is reported and shown; the board goes on, so that it can be asked.
 * Returns the engine's reason when the model is not usable; then the board must not go on. */
mw_status mw_app_init(mw_app *app);

/* Tells which IMU there is; an IMU the model is not for makes `start` fail. Interrupts masked. */
void mw_app_set_sensor(mw_app *app, const mw_sensor *sensor);

/* Adds results of the self-test: MW_WIRE_SELF_TEST_* bits of what was tested and of what failed;
 * an older result of the same test is replaced. Main loop only. */
void mw_app_set_self_test(mw_app *app, uint8_t run, uint8_t failed);

/* Sends a line for a person, `level` one of MW_WIRE_LEVEL_*. Main loop only. */
void mw_app_say(mw_app *app, uint8_t level, const char *text);

/* Sends the identity frame, for a board that knows more than at mw_app_init. Main loop only. */
void mw_app_identify(mw_app *app);

/* Whether the sample clock runs. */
bool mw_app_is_sampling(const mw_app *app);

/* One round of the main loop: does all work that waits, then sleeps until the next interrupt.
 * The work is bounded by what the queue and the receive ring hold when it is called. */
void mw_app_run_once(mw_app *app);

/* ---- Interrupts. All run at one priority, or with the others masked; none waits. ------------- */

/* The sample clock ticked at `time_us`. `counts[6]` is the sample, NULL when the IMU had none: then
 * the tick is counted as missed and the next sample follows a gap. */
void mw_app_on_tick(mw_app *app, uint64_t time_us, const int16_t *counts);

/* The last tick came more than one period late. */
void mw_app_on_overrun(mw_app *app);

/* Samples the queue takes now. A port whose IMU buffers may hold late ones back. */
uint32_t mw_app_queue_room(const mw_app *app);

/* The IMU says that no further sample comes: the board stops sampling. */
void mw_app_on_sensor_end(mw_app *app);

/* A byte came from the serial line. */
void mw_app_on_byte(mw_app *app, uint8_t byte);

/* The serial line takes a byte: true and the byte, or false when there is nothing to send. */
bool mw_app_next_byte(mw_app *app, uint8_t *byte);

/* Bytes the receive ring takes now, for a port that can hold a line back. */
uint32_t mw_app_receive_room(const mw_app *app);

#endif
