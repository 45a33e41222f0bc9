/* Acquisition: ticks, bursts, faults and how each is recovered from. */
#include "acquisition.h"

#include <string.h>

#include "counter.h"
#include "port.h"

#define MAX_NACKS 3u
/* Ticks without which the clock counts as silent. */
#define SILENT_PERIODS 10
#define RETRY_US 5000u
#define LOOK_FOR_IMU_US 1000000u
#define REPORT_PERIOD_US 1000000u
/* Bound of the sum of deviations: halved with its count, the mean becomes one of recent ticks. */
#define JITTER_SUM_MAX 0x40000000u

static bool get(const atomic_bool *flag) { return atomic_load(flag); }

/* ---- The clock's interrupt ------------------------------------------------------------------- */

/* Ticks from the last one, or from the start, to the one stamped `time_us`: 1, or more when the clock
 * left some out. Notes by how much the stamp is off. */
static uint32_t ticks_until(mw_acquisition *acquisition, uint64_t time_us, bool first) {
    int64_t period = acquisition->period_us;
    int64_t since = (int64_t)(time_us - acquisition->due_us);
    uint32_t passed = 1;
    if (4 * since >= 7 * period) {
        passed = (uint32_t)((since + period / 4) / period);
    }
    bool follows = !first && passed == 1u;
    acquisition->burst_deviation_us = follows ? (int32_t)(since - period) : 0;
    /* An IMU's clock is its own: each tick is measured against the one before. */
    bool on_grid = follows && !acquisition->on_data_ready;
    acquisition->due_us = on_grid ? acquisition->due_us + acquisition->period_us : time_us;
    return passed;
}

void mw_acquisition_on_clock(mw_acquisition *acquisition, uint64_t time_us) {
    if (!get(&acquisition->running)) {
        return;
    }
    bool in_flight = get(&acquisition->in_flight);
    uint32_t ticks = atomic_load(&acquisition->ticks);
    atomic_store(&acquisition->last_us, (uint32_t)time_us);
    ticks += ticks_until(acquisition, time_us, ticks == 0u);
    atomic_store(&acquisition->ticks, ticks);
    if (in_flight) {
        mw_app_on_overrun(acquisition->app);
        return;
    }
    if (get(&acquisition->paused)) {
        return;
    }
    acquisition->burst_us = time_us;
    atomic_store(&acquisition->burst_tick, ticks);
    atomic_store(&acquisition->in_flight, true);
    const mw_imu_part *part = acquisition->imu.part;
    if (!mw_port_burst_start(acquisition->imu.address, part->burst_register, part->burst_length)) {
        atomic_store(&acquisition->in_flight, false);
        atomic_store(&acquisition->refused, true);
    }
}

/* ---- The burst's interrupt ------------------------------------------------------------------- */

static void measure_jitter(mw_acquisition *acquisition) {
    mw_faults *faults = &acquisition->app->faults;
    int32_t deviation = acquisition->burst_deviation_us;
    uint32_t size = (uint32_t)(deviation < 0 ? -deviation : deviation);
    mw_keep_largest(&faults->jitter_max_us, size);
    uint32_t sum = atomic_load(&faults->jitter_sum_us) + size;
    uint32_t ticks = atomic_load(&faults->jitter_ticks) + 1u;
    if (sum > JITTER_SUM_MAX || ticks == UINT32_MAX) {
        sum /= 2u;
        ticks /= 2u;
    }
    atomic_store(&faults->jitter_sum_us, sum);
    atomic_store(&faults->jitter_ticks, ticks);
}

static void raise_fault(mw_acquisition *acquisition, mw_fault fault) {
    if (acquisition->fault == MW_FAULT_NONE) {
        acquisition->fault = fault;
    }
}

static void note_bus_failure(mw_acquisition *acquisition, uint64_t time_us) {
    if (!acquisition->bus_failed) {
        acquisition->bus_failed = true;
        acquisition->failed_us = time_us;
    }
}

static void take_failure(mw_acquisition *acquisition, mw_bus_status status) {
    mw_faults *faults = &acquisition->app->faults;
    note_bus_failure(acquisition, acquisition->burst_us);
    switch (status) {
    case MW_BUS_NACK_ADDRESS:
    case MW_BUS_NACK_DATA:
        mw_count_one(&faults->nacks);
        if (++acquisition->nacks >= MAX_NACKS) {
            raise_fault(acquisition, MW_FAULT_NACKS);
        }
        return;
    case MW_BUS_ARBITRATION_LOST:
        mw_count_one(&faults->arbitration_lost);
        break;
    case MW_BUS_STUCK:
        mw_count_one(&faults->stuck);
        break;
    case MW_BUS_TIMEOUT:
    case MW_BUS_OK:
    default:
        mw_count_one(&faults->timeouts);
        break;
    }
    raise_fault(acquisition, MW_FAULT_BUS);
}

/* Outputs of the IMU that nobody read, by its nominal rate: those since the last read, less the one
 * read now. One that is early by jitter is made up for by the next. */
static void count_skipped(mw_acquisition *acquisition, uint64_t time_us, bool repeated) {
    if (acquisition->has_last) {
        uint64_t since = time_us - acquisition->last_read_us;
        acquisition->unread_billionths += since * acquisition->imu.part->rate_millihertz;
        acquisition->unread += (int32_t)(acquisition->unread_billionths / 1000000000u);
        acquisition->unread_billionths %= 1000000000u;
        acquisition->unread -= repeated ? 0 : 1;
        if (acquisition->unread > 0) {
            atomic_uint_least32_t *skipped = &acquisition->app->faults.skipped;
            atomic_store(skipped, atomic_load(skipped) + (uint32_t)acquisition->unread);
            acquisition->unread = 0;
        } else if (acquisition->unread < -1) {
            acquisition->unread = -1; /* the IMU's clock is faster than it should be */
        }
    }
    acquisition->last_read_us = time_us;
}

/* What output registers hold after a reset, of all parts there are. */
static bool is_reset_value(const int16_t *counts) {
    for (uint32_t i = 1; i < MW_IMU_AXES; i++) {
        if (counts[i] != counts[0]) {
            return false;
        }
    }
    return counts[0] == 0 || counts[0] == INT16_MIN;
}

/* Whether `counts` are a measurement, and not what a part gives that does not measure. */
static bool is_measured(mw_acquisition *acquisition, uint64_t time_us, const int16_t *counts) {
    bool repeated =
        acquisition->has_last && memcmp(acquisition->last, counts, sizeof acquisition->last) == 0;
    count_skipped(acquisition, time_us, repeated);
    acquisition->has_last = true;
    memcpy(acquisition->last, counts, sizeof acquisition->last);
    acquisition->repeats = repeated ? acquisition->repeats + 1u : 0u;
    if (repeated) {
        mw_count_one(&acquisition->app->faults.repeated);
    }
    if (acquisition->repeats >= MW_FROZEN_SAMPLES) {
        raise_fault(acquisition, MW_FAULT_FROZEN);
        return false;
    }
    if (is_reset_value(counts)) {
        if (!repeated) {
            raise_fault(acquisition, MW_FAULT_SUSPECT);
        }
        return false;
    }
    return true;
}

/* Tells the application of every tick up to `tick` that it has not heard of. */
static void tell_missed(mw_acquisition *acquisition, uint32_t tick) {
    while ((int32_t)(tick - acquisition->served) > 0) {
        mw_app_on_tick(acquisition->app, acquisition->burst_us, NULL);
        acquisition->served++;
    }
}

void mw_acquisition_on_burst(mw_acquisition *acquisition, mw_bus_status status,
                             const uint8_t *bytes) {
    if (!get(&acquisition->in_flight)) {
        return;
    }
    uint32_t tick = atomic_load(&acquisition->burst_tick);
    uint64_t time_us = acquisition->burst_us;
    int16_t counts[MW_IMU_AXES];
    const int16_t *sample = NULL;
    measure_jitter(acquisition);
    if (status != MW_BUS_OK) {
        take_failure(acquisition, status);
    } else {
        acquisition->nacks = 0;
        acquisition->imu.part->decode(bytes, counts);
        sample = is_measured(acquisition, time_us, counts) ? counts : NULL;
    }
    if (sample != NULL && acquisition->bus_failed) {
        acquisition->bus_failed = false;
        mw_keep_largest(&acquisition->app->faults.longest_recovery_us,
                     (uint32_t)(time_us - acquisition->failed_us));
    }
    tell_missed(acquisition, tick - 1u);
    mw_app_on_tick(acquisition->app, time_us, sample);
    acquisition->served = tick;
    atomic_store(&acquisition->in_flight, false);
}

/* ---- Boot ------------------------------------------------------------------------------------ */

/* Finds and configures the IMU; an empty reason is success. */
static const char *set_up(mw_acquisition *acquisition) {
    const mw_bus *bus = mw_port_bus();
    mw_imu_status status = mw_imu_detect(bus, &acquisition->imu);
    if (status == MW_IMU_BUS_ERROR) {
        acquisition->app->faults.recoveries++;
        if (bus->recover(bus->context) != MW_BUS_OK) {
            return "no IMU: SDA is held low";
        }
        status = mw_imu_detect(bus, &acquisition->imu);
    }
    if (status != MW_IMU_OK) {
        return "no IMU answers: check wiring, power and address";
    }
    if (mw_imu_configure(bus, &acquisition->imu) != MW_IMU_OK) {
        return "the IMU does not take its configuration";
    }
    return "";
}

/* Reads one sample, the board at rest as far as anyone knows. */
static bool gravity_is_plausible(const mw_acquisition *acquisition) {
    const mw_bus *bus = mw_port_bus();
    const mw_imu_part *part = acquisition->imu.part;
    uint8_t bytes[MW_IMU_MAX_BURST_LENGTH];
    int16_t counts[MW_IMU_AXES];
    if (bus->read(bus->context, acquisition->imu.address, part->burst_register, bytes,
                  part->burst_length) != MW_BUS_OK) {
        return false;
    }
    part->decode(bytes, counts);
    return mw_imu_gravity_is_plausible(part, counts);
}

static void look_for_imu(mw_acquisition *acquisition) {
    mw_app *app = acquisition->app;
    const char *reason = set_up(acquisition);
    acquisition->found = reason[0] == '\0';
    if (!acquisition->found) {
        if ((app->self_test_run & MW_WIRE_SELF_TEST_IMU) == 0u) { /* once */
            mw_app_say(app, MW_WIRE_LEVEL_ERROR, reason);
        }
        mw_app_set_self_test(app, MW_WIRE_SELF_TEST_IMU, MW_WIRE_SELF_TEST_IMU);
        return;
    }
    const mw_imu_part *part = acquisition->imu.part;
    mw_sensor sensor = {
        .acc_lsb_m_s2 = part->acc_lsb_m_s2,
        .gyro_lsb_rad_s = part->gyro_lsb_rad_s,
        .rate_millihertz = part->rate_millihertz,
    };
    strncpy(sensor.name, part->name, sizeof sensor.name - 1u);
    mw_app_set_sensor(app, &sensor);
    bool plausible = gravity_is_plausible(acquisition);
    mw_app_set_self_test(app, MW_WIRE_SELF_TEST_GRAVITY,
                         plausible ? 0u : MW_WIRE_SELF_TEST_GRAVITY);
    if (!plausible) {
        mw_app_say(app, MW_WIRE_LEVEL_WARNING, "self-test: the IMU measures no gravity");
    }
    mw_app_identify(app);
}

void mw_acquisition_begin(mw_acquisition *acquisition) {
    look_for_imu(acquisition);
    if (!acquisition->found) {
        mw_app_identify(acquisition->app);
    }
}

/* ---- The sample clock, main loop -------------------------------------------------------------- */

bool mw_acquisition_wants_data_ready(const mw_acquisition *acquisition) {
    return acquisition->found && acquisition->imu.part->has_1khz_data_ready &&
           !acquisition->no_data_ready;
}

/* Ends the burst under way, if any; ticks start no other. */
static void take_bus(mw_acquisition *acquisition) {
    atomic_store(&acquisition->paused, true);
    mw_port_burst_abort();
    atomic_store(&acquisition->in_flight, false);
}

void mw_acquisition_start(mw_acquisition *acquisition, uint64_t now_us, uint32_t period_us) {
    acquisition->on_data_ready = mw_acquisition_wants_data_ready(acquisition);
    atomic_store(&acquisition->last_us, (uint32_t)now_us);
    if (acquisition->restarting) {
        return; /* ticks go on where they were */
    }
    acquisition->period_us = period_us;
    acquisition->due_us = now_us;
    acquisition->served = 0;
    acquisition->fault = MW_FAULT_NONE;
    acquisition->recovering = MW_FAULT_NONE;
    acquisition->nacks = 0;
    acquisition->repeats = 0;
    acquisition->has_last = false;
    acquisition->bus_failed = false;
    atomic_store(&acquisition->ticks, 0u);
    atomic_store(&acquisition->refused, false);
    atomic_store(&acquisition->in_flight, false);
    atomic_store(&acquisition->paused, false);
    atomic_store(&acquisition->running, true);
}

void mw_acquisition_stop(mw_acquisition *acquisition) {
    if (acquisition->restarting) {
        return;
    }
    atomic_store(&acquisition->running, false);
    uint32_t told = atomic_load(&acquisition->ticks);
    if (get(&acquisition->in_flight)) {
        told = atomic_load(&acquisition->burst_tick) - 1u;
    }
    take_bus(acquisition);
    tell_missed(acquisition, told);
}

/* ---- Faults, main loop ------------------------------------------------------------------------ */

static mw_fault next_fault(mw_acquisition *acquisition, uint64_t now_us) {
    mw_faults *faults = &acquisition->app->faults;
    uint32_t saved = mw_port_irq_save();
    mw_fault fault = acquisition->fault;
    acquisition->fault = MW_FAULT_NONE;
    /* While a burst is in flight and its interrupt masked, its stamp stays. */
    if (get(&acquisition->in_flight) &&
        (int64_t)(now_us - acquisition->burst_us) > 2 * (int64_t)acquisition->period_us) {
        mw_count_one(&faults->timeouts);
        note_bus_failure(acquisition, acquisition->burst_us);
        fault = MW_FAULT_BUS;
    }
    mw_port_irq_restore(saved);
    if (get(&acquisition->refused)) {
        atomic_store(&acquisition->refused, false);
        saved = mw_port_irq_save();
        mw_count_one(&faults->timeouts);
        note_bus_failure(acquisition, now_us);
        mw_port_irq_restore(saved);
        fault = MW_FAULT_BUS;
    }
    int32_t silence = (int32_t)((uint32_t)now_us - atomic_load(&acquisition->last_us));
    if (silence > SILENT_PERIODS * (int32_t)acquisition->period_us) {
        faults->clock_silent++;
        fault = MW_FAULT_SILENT;
    }
    return fault;
}

static bool is_nack(mw_bus_status status) {
    return status == MW_BUS_NACK_ADDRESS || status == MW_BUS_NACK_DATA;
}

/* Starts the port's clock anew: with a data-ready line that has failed it is a timer now. */
static void restart_clock(mw_acquisition *acquisition) {
    acquisition->restarting = true;
    mw_port_sample_clock_stop();
    mw_port_sample_clock_start(1000000u / acquisition->period_us);
    acquisition->restarting = false;
}

/* Sends the configuration; what the IMU gave before says nothing about what it gives now. */
static mw_imu_status configure_again(mw_acquisition *acquisition) {
    acquisition->app->faults.configurations++;
    mw_imu_status status = mw_imu_configure(mw_port_bus(), &acquisition->imu);
    uint32_t saved = mw_port_irq_save();
    acquisition->repeats = 0;
    acquisition->has_last = false;
    acquisition->bus_failed = false; /* the time that takes is the IMU's, not the bus's */
    mw_port_irq_restore(saved);
    return status;
}

/* Lets ticks start bursts again. */
static void resume(mw_acquisition *acquisition) {
    acquisition->recovering = MW_FAULT_NONE;
    acquisition->fault = MW_FAULT_NONE;
    acquisition->nacks = 0;
    atomic_store(&acquisition->paused, false);
}

/* One attempt at recovery, with the bus in hand. Returns whether sampling can go on. */
static bool recover(mw_acquisition *acquisition) {
    mw_faults *faults = &acquisition->app->faults;
    const mw_bus *bus = mw_port_bus();
    if (acquisition->free_bus) {
        faults->recoveries++;
        if (bus->recover(bus->context) != MW_BUS_OK) {
            return false;
        }
        acquisition->free_bus = false;
    }
    mw_imu_status status = mw_imu_verify(bus, &acquisition->imu);
    if (status == MW_IMU_CONFIGURATION_LOST) {
        faults->lost_configurations++;
        status = configure_again(acquisition);
    } else if (status == MW_IMU_OK && acquisition->recovering == MW_FAULT_FROZEN) {
        faults->frozen++;
        status = configure_again(acquisition);
    } else if (status == MW_IMU_OK && acquisition->recovering == MW_FAULT_SILENT) {
        /* The IMU is as it should be: the line from it is not. */
        acquisition->no_data_ready = true;
    }
    acquisition->free_bus =
        status == MW_IMU_BUS_ERROR && !is_nack(acquisition->imu.bus_status);
    return status == MW_IMU_OK;
}

/* Tells the application of ticks that had no burst. */
static void flush_missed(mw_acquisition *acquisition) {
    uint32_t saved = mw_port_irq_save();
    /* In this order: a tick that comes in between has its burst in flight and is left alone. */
    uint32_t ticks = atomic_load(&acquisition->ticks);
    if (!get(&acquisition->in_flight)) {
        tell_missed(acquisition, ticks);
    }
    mw_port_irq_restore(saved);
}

static void report(mw_acquisition *acquisition, uint64_t now_us) {
    static const char *const texts[] = {
        [MW_FAULT_NONE] = "",
        [MW_FAULT_BUS] = "fault on the I2C bus: freed, samples are missing",
        [MW_FAULT_NACKS] = "the IMU did not answer: samples are missing",
        [MW_FAULT_SUSPECT] = "the IMU gave values as after a reset: samples are missing",
        [MW_FAULT_FROZEN] = "the IMU's output stood still: configured again",
        [MW_FAULT_SILENT] = "the sample clock was silent: started again",
    };
    if (acquisition->unreported == 0u || now_us < acquisition->report_us) {
        return;
    }
    acquisition->report_us = now_us + REPORT_PERIOD_US;
    for (uint32_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if ((acquisition->unreported & (1u << i)) != 0u) {
            acquisition->unreported &= ~(1u << i);
            mw_app_say(acquisition->app, MW_WIRE_LEVEL_WARNING, texts[i]);
            return;
        }
    }
}

void mw_acquisition_serve(mw_acquisition *acquisition, uint64_t now_us) {
    if (!acquisition->found) {
        if (now_us >= acquisition->retry_us) {
            acquisition->retry_us = now_us + LOOK_FOR_IMU_US;
            look_for_imu(acquisition);
        }
        return;
    }
    if (get(&acquisition->running)) {
        if (acquisition->recovering == MW_FAULT_NONE) {
            acquisition->recovering = next_fault(acquisition, now_us);
            if (acquisition->recovering != MW_FAULT_NONE) {
                acquisition->unreported |= 1u << acquisition->recovering;
                acquisition->free_bus = acquisition->recovering == MW_FAULT_BUS;
                acquisition->retry_us = now_us;
                take_bus(acquisition);
            }
        }
        if (acquisition->recovering != MW_FAULT_NONE && now_us >= acquisition->retry_us) {
            acquisition->retry_us = now_us + RETRY_US;
            if (recover(acquisition)) {
                if (acquisition->recovering == MW_FAULT_SILENT) {
                    restart_clock(acquisition);
                }
                resume(acquisition);
            }
        }
        flush_missed(acquisition);
    }
    report(acquisition, now_us);
}
