/* What every IMU model does alike: registers, samples in time, transfers. */
#include "imu_model.h"

#include <string.h>

#define AXES_OF_ONE 3u
#define PS_PER_NS 1000u

static uint8_t bank_of(const imu_model *imu) {
    uint8_t selector = imu->part->bank_register;
    uint8_t bank = selector == 0u ? 0u : imu->registers[0][selector];
    return bank < IMU_MODEL_BANKS ? bank : 0u;
}

static const imu_model_register *find(const imu_model_part *part, uint8_t bank, uint8_t address) {
    for (size_t i = 0; i < part->register_count; i++) {
        const imu_model_register *row = &part->registers[i];
        if (row->address == address && (row->bank == bank || address == part->bank_register)) {
            return row;
        }
    }
    return NULL;
}

static uint64_t true_period_ps(const imu_model *imu, const imu_model_sensor *sensor) {
    int64_t period = (int64_t)sensor->period_ps;
    return (uint64_t)(period - period / 1000000 * imu->rate_error_ppm);
}

/* Time of sample `index` of the clock that acc and gyro share. */
static uint64_t sample_time_ns(const imu_model *imu, uint64_t period_ps, uint64_t index) {
    return imu->power_ns + (index * period_ps + PS_PER_NS - 1u) / PS_PER_NS;
}

/* Time of the newest sample at `now_ns`; false when there is none yet. */
static bool newest(const imu_model *imu, const imu_model_sensor *sensor, uint32_t start_ns,
                   uint64_t now_ns, uint64_t *sample_ns) {
    if (!sensor->on || now_ns < imu->power_ns) {
        return false;
    }
    uint64_t period_ps = true_period_ps(imu, sensor);
    uint64_t index = (now_ns - imu->power_ns) * PS_PER_NS / period_ps;
    *sample_ns = sample_time_ns(imu, period_ps, index);
    return *sample_ns >= imu->power_ns + start_ns;
}

static int16_t scaled(int16_t count, int32_t gain_log2) {
    int32_t value = count;
    value = gain_log2 >= 0 ? value * (1 << gain_log2) : value / (1 << -gain_log2);
    if (value > INT16_MAX) {
        return INT16_MAX;
    }
    return (int16_t)(value < INT16_MIN ? INT16_MIN : value);
}

/* The number of output register `offset` (even) at `now_ns`. */
static int16_t output(const imu_model *imu, uint8_t offset, uint64_t now_ns) {
    const imu_model_part *part = imu->part;
    const imu_model_sensor *sensor = NULL;
    uint32_t start_ns = 0;
    uint32_t axis = 0;
    if (offset >= part->acc_offset && offset < part->acc_offset + 2u * AXES_OF_ONE) {
        sensor = &imu->settings.acc;
        start_ns = part->acc_start_ns;
        axis = (uint32_t)(offset - part->acc_offset) / 2u;
    } else if (offset >= part->gyro_offset && offset < part->gyro_offset + 2u * AXES_OF_ONE) {
        sensor = &imu->settings.gyro;
        start_ns = part->gyro_start_ns;
        axis = AXES_OF_ONE + (uint32_t)(offset - part->gyro_offset) / 2u;
    } else {
        return 0; /* temperature */
    }
    uint64_t time_ns = now_ns < imu->frozen_ns ? now_ns : imu->frozen_ns;
    uint64_t sample_ns = 0;
    if (!newest(imu, sensor, start_ns, time_ns, &sample_ns)) {
        return part->no_sample;
    }
    return scaled(truth_at(imu->movement, sample_ns, axis), sensor->gain_log2);
}

static bool same(const imu_model_sensor *a, const imu_model_sensor *b) {
    return a->on == b->on && a->period_ps == b->period_ps;
}

static void take_settings(imu_model *imu, uint64_t now_ns) {
    imu_model_settings settings = imu->part->settings((const imu_model_registers *)&imu->registers);
    if (!same(&settings.acc, &imu->settings.acc) || !same(&settings.gyro, &imu->settings.gyro)) {
        imu->power_ns = now_ns;
    }
    imu->settings = settings;
}

bool imu_model_init(imu_model *imu, const char *name, bool second_address, const truth *movement) {
    for (size_t i = 0; i < imu_model_part_count; i++) {
        const imu_model_part *part = &imu_model_parts[i];
        if (strcmp(part->name, name) == 0) {
            *imu = (imu_model){
                .part = part,
                .address = part->addresses[second_address ? 1 : 0],
                .movement = movement,
            };
            imu_model_reset(imu, 0u);
            imu->answers_ns = 0;
            return true;
        }
    }
    return false;
}

void imu_model_reset(imu_model *imu, uint64_t now_ns) {
    memset(imu->registers, 0, sizeof imu->registers);
    for (size_t i = 0; i < imu->part->register_count; i++) {
        const imu_model_register *row = &imu->part->registers[i];
        imu->registers[row->bank][row->address] = row->reset;
    }
    imu->frozen_ns = UINT64_MAX;
    imu->answers_ns = now_ns + imu->part->reset_ns;
    imu->latch_of = 0;
    imu->settings = (imu_model_settings){0};
    take_settings(imu, now_ns);
}

bool imu_model_answers(const imu_model *imu, uint8_t address, uint64_t now_ns) {
    return address == imu->address && now_ns >= imu->answers_ns && now_ns >= imu->unplugged_ns;
}

void imu_model_select(imu_model *imu, uint8_t first_register, uint64_t now_ns) {
    imu->pointer = first_register;
    imu->burst_ns = now_ns;
    imu->latch_of = 0;
}

static void advance(imu_model *imu) {
    if (imu->settings.increments) {
        imu->pointer++;
    }
}

void imu_model_write(imu_model *imu, uint8_t value, uint64_t now_ns) {
    const imu_model_part *part = imu->part;
    uint8_t bank = bank_of(imu);
    uint8_t address = imu->pointer;
    advance(imu);
    const imu_model_register *row = find(part, bank, address);
    bool taken = part->accepts == NULL ||
                 part->accepts((const imu_model_registers *)&imu->registers, bank, address,
                               now_ns - imu->power_ns);
    if (row == NULL || !taken) {
        return;
    }
    uint8_t *stored = &imu->registers[row->bank][address];
    *stored = (uint8_t)((*stored & ~row->writable) | (value & row->writable));
    if (row->bank == 0u && address == part->reset_register && (value & part->reset_bit) != 0u) {
        imu_model_reset(imu, now_ns);
        return;
    }
    take_settings(imu, now_ns);
}

uint8_t imu_model_read(imu_model *imu, uint64_t now_ns) {
    const imu_model_part *part = imu->part;
    uint8_t bank = bank_of(imu);
    uint8_t address = imu->pointer;
    advance(imu);
    uint8_t offset = (uint8_t)(address - part->data_first);
    if (bank != 0u || address < part->data_first || offset >= part->data_length) {
        return imu->registers[address == part->bank_register ? 0u : bank][address];
    }
    bool second = offset % 2u != 0u;
    uint8_t first_of_pair = (uint8_t)(address - (second ? 1u : 0u));
    int16_t number = 0;
    if (second && imu->settings.block_updates && imu->latch_of == first_of_pair) {
        number = imu->latch;
    } else {
        uint64_t time_ns = part->whole_burst ? imu->burst_ns : now_ns;
        number = output(imu, (uint8_t)(first_of_pair - part->data_first), time_ns);
        imu->latch = number;
        imu->latch_of = first_of_pair;
    }
    bool high = second == imu->settings.little_endian;
    return (uint8_t)(high ? (uint16_t)number >> 8 : (uint16_t)number & 0xFFu);
}

uint64_t imu_model_next_pulse_ns(const imu_model *imu, uint64_t after_ns) {
    const imu_model_sensor *gyro = &imu->settings.gyro;
    if (!imu->settings.data_ready || !gyro->on) {
        return UINT64_MAX;
    }
    uint64_t first_ns = imu->power_ns + imu->part->gyro_start_ns;
    uint64_t from_ns = after_ns < first_ns ? first_ns - 1u : after_ns;
    uint64_t period_ps = true_period_ps(imu, gyro);
    uint64_t index = (from_ns - imu->power_ns) * PS_PER_NS / period_ps + 1u;
    return sample_time_ns(imu, period_ps, index);
}
