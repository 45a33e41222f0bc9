/* Finding, setting up and checking an IMU, alike for every part. */
#include "imu.h"

#include "imu_parts.h"

/* Between two looks at whether a reset has ended. */
#define RESET_POLL_US 1000u
/* Adjacent registers read back at once: no longer than a sample's burst. */
#define MAX_READ_BACK 8u

/* A part with banks last: the write that looks for it must not reach one without. */
const mw_imu_part *const mw_imu_parts[] = {
    &mw_imu_lsm6ds3tr_c, &mw_imu_lsm6dso,   &mw_imu_mpu6050, &mw_imu_mpu6500,
    &mw_imu_mpu9250,     &mw_imu_icm42688p, NULL,
};

static mw_imu_status bus_error(mw_imu *imu, mw_bus_status status) {
    imu->bus_status = status;
    return MW_IMU_BUS_ERROR;
}

static mw_bus_status write_register(const mw_bus *bus, uint8_t address, mw_imu_register setting) {
    const uint8_t bytes[2] = {setting.address, setting.value};
    return bus->write(bus->context, address, bytes, sizeof bytes);
}

/* Whether `part` is at `address`. */
static mw_bus_status identify(const mw_bus *bus, const mw_imu_part *part, uint8_t address,
                              bool *found) {
    *found = false;
    if (part->bank_register != 0u) {
        /* A board that was reset in the middle of set-up has left another bank selected. */
        mw_bus_status status =
            write_register(bus, address, (mw_imu_register){.address = part->bank_register});
        if (status != MW_BUS_OK) {
            return status;
        }
    }
    uint8_t value = 0;
    mw_bus_status status = bus->read(bus->context, address, part->who_am_i.address, &value, 1u);
    *found = status == MW_BUS_OK && value == part->who_am_i.value;
    return status;
}

mw_imu_status mw_imu_detect(const mw_bus *bus, mw_imu *imu) {
    *imu = (mw_imu){0};
    for (const mw_imu_part *const *part = mw_imu_parts; *part != NULL; part++) {
        for (size_t i = 0; i < sizeof(*part)->addresses; i++) {
            uint8_t address = (*part)->addresses[i];
            bool found = false;
            mw_bus_status status = identify(bus, *part, address, &found);
            if (found) {
                imu->part = *part;
                imu->address = address;
                return MW_IMU_OK;
            }
            if (status != MW_BUS_OK && status != MW_BUS_NACK_ADDRESS) {
                return bus_error(imu, status);
            }
        }
    }
    return MW_IMU_NOT_FOUND;
}

static mw_bus_status reset(const mw_bus *bus, const mw_imu *imu) {
    const mw_imu_part *part = imu->part;
    mw_bus_status status = write_register(bus, imu->address, part->reset);
    if (status != MW_BUS_OK) {
        return status;
    }
    for (uint32_t waited = 0; waited < part->reset_limit_us; waited += RESET_POLL_US) {
        bus->delay_us(bus->context, RESET_POLL_US);
        uint8_t value = 0;
        status = bus->read(bus->context, imu->address, part->reset.address, &value, 1u);
        if (status == MW_BUS_OK) {
            if ((value & part->reset.value) == 0u) {
                return MW_BUS_OK;
            }
            status = MW_BUS_TIMEOUT;
        } else if (status != MW_BUS_NACK_ADDRESS && status != MW_BUS_NACK_DATA) {
            return status;
        }
        /* A part in reset may not answer. */
    }
    return status;
}

/* Reads settings back from number `from` on, adjacent registers at once. */
static mw_imu_status read_back(const mw_bus *bus, mw_imu *imu, uint32_t from) {
    const mw_imu_part *part = imu->part;
    const mw_imu_register *settings = part->settings;
    uint32_t next = from;
    while (next < part->settings_count) {
        mw_imu_register first = settings[next];
        if (part->bank_register != 0u && first.address == part->bank_register) {
            mw_bus_status status = write_register(bus, imu->address, first);
            if (status != MW_BUS_OK) {
                return bus_error(imu, status);
            }
            next++;
            continue;
        }
        uint32_t length = 1;
        while (length < MAX_READ_BACK && next + length < part->settings_count &&
               settings[next + length].address == first.address + length) {
            length++;
        }
        uint8_t values[MAX_READ_BACK] = {0};
        mw_bus_status status = bus->read(bus->context, imu->address, first.address, values, length);
        if (status != MW_BUS_OK) {
            return bus_error(imu, status);
        }
        for (uint32_t i = 0; i < length; i++) {
            if (values[i] != settings[next + i].value) {
                return MW_IMU_CONFIGURATION_LOST;
            }
        }
        next += length;
    }
    return MW_IMU_OK;
}

mw_imu_status mw_imu_configure(const mw_bus *bus, mw_imu *imu) {
    const mw_imu_part *part = imu->part;
    bool found = false;
    mw_bus_status status = identify(bus, part, imu->address, &found);
    if (status == MW_BUS_OK && !found) {
        return MW_IMU_NOT_FOUND;
    }
    if (status == MW_BUS_OK) {
        status = reset(bus, imu);
    }
    for (uint32_t i = 0; i < part->settings_count && status == MW_BUS_OK; i++) {
        status = write_register(bus, imu->address, part->settings[i]);
    }
    if (status != MW_BUS_OK) {
        return bus_error(imu, status);
    }
    /* Also the time without a write that some parts want after they are switched on. */
    bus->delay_us(bus->context, part->settle_us);
    return read_back(bus, imu, 0u);
}

mw_imu_status mw_imu_verify(const mw_bus *bus, mw_imu *imu) {
    return read_back(bus, imu, imu->part->verify_from);
}

bool mw_imu_gravity_is_plausible(const mw_imu_part *part, const int16_t counts[MW_IMU_AXES]) {
    uint32_t squared = 0; /* of three int16 at most 3 * 2^30: fits */
    for (uint32_t i = 0; i < 3u; i++) {
        squared += (uint32_t)((int32_t)counts[i] * counts[i]);
    }
    /* 0.5 g <= |a| <= 1.5 g */
    uint32_t g_squared = (uint32_t)part->acc_counts_per_g * part->acc_counts_per_g;
    return 4u * (uint64_t)squared >= g_squared && 4u * (uint64_t)squared <= 9u * (uint64_t)g_squared;
}
