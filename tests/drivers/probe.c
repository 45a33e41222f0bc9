/* The drivers over a register model on the simulated bus, one command a line, one answer a line.
 *
 *     part NAME SECOND_ADDRESS      a part as after power on, no faults
 *     detect | configure | verify   STATUS BUS_STATUS NAME ADDRESS NANOSECONDS
 *     burst                         BUS_STATUS NANOSECONDS BYTES COUNTS
 *     decode NAME BYTES             COUNTS
 *     gravity NAME X,Y,Z            0 or 1
 *     fault KIND N                  nack, nack_data, arbitration, hang or sda_low; after how many
 *                                   transfers is what `skip` says
 *     skip N                        transfers that go well before the fault
 *     clear                         no faults any more, but for SDA that is held
 *     recover                       BUS_STATUS
 *     refuse BANK REGISTER          this register does not take the next writes
 *     poke BANK REGISTER VALUE      changes a register behind the driver's back
 *     peek BANK REGISTER            VALUE
 *     write REGISTER VALUE          BUS_STATUS, over the bus
 *     reset | wait NANOSECONDS
 *     table                         a line for each part, then `end` */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "i2c.h"
#include "imu.h"
#include "imu_model.h"

static truth movement = {.row_ns = 1000000};
static imu_model model;
static i2c_bus wire;
static mw_bus bus;
static mw_imu imu;
static uint64_t time_ns;

static uint64_t now_ns(void) { return time_ns; }
static void advance_to(uint64_t then_ns) { time_ns = then_ns; }

/* Faults come after `skip` transfers: the bus below lets them through one by one. */
static uint32_t skip;
static char fault[16];
static uint32_t fault_count;

static void arm(void) {
    if (fault_count == 0u) {
        return;
    }
    if (skip > 0u) {
        skip--;
        return;
    }
    uint32_t count = fault_count;
    fault_count = 0;
    if (strcmp(fault, "nack") == 0) {
        wire.nack_address = count;
    } else if (strcmp(fault, "nack_data") == 0) {
        wire.nack_data = count;
    } else if (strcmp(fault, "arbitration") == 0) {
        wire.arbitration_lost = count;
    } else if (strcmp(fault, "hang") == 0) {
        wire.hang = count;
    } else {
        wire.hold_clocks = count;
    }
}

static mw_bus_status write_armed(void *context, uint8_t address, const uint8_t *bytes,
                                 size_t length) {
    (void)context;
    arm();
    return bus.write(bus.context, address, bytes, length);
}

static mw_bus_status read_armed(void *context, uint8_t address, uint8_t first_register,
                                uint8_t *bytes, size_t length) {
    (void)context;
    arm();
    return bus.read(bus.context, address, first_register, bytes, length);
}

static void delay_us(void *context, uint32_t us) {
    (void)context;
    bus.delay_us(bus.context, us);
}

static const mw_bus armed = {.write = write_armed, .read = read_armed, .delay_us = delay_us};

/* A part that does not take one register. */
static imu_model_part part_that_refuses;
static const imu_model_part *refusing;
static uint8_t refused_bank;
static uint8_t refused_register;

static bool accepts_but_one(const imu_model_registers *registers, uint8_t bank, uint8_t address,
                            uint64_t since_power_ns) {
    if (address == refused_register && (bank == refused_bank || address == refusing->bank_register)) {
        return false;
    }
    return refusing->accepts == NULL ||
           refusing->accepts(registers, bank, address, since_power_ns);
}

static const mw_imu_part *part_named(const char *name) {
    for (const mw_imu_part *const *part = mw_imu_parts; *part != NULL; part++) {
        if (strcmp((*part)->name, name) == 0) {
            return *part;
        }
    }
    printf("no part %s\n", name);
    exit(1);
}

static void print_counts(const int16_t counts[MW_IMU_AXES]) {
    for (size_t i = 0; i < MW_IMU_AXES; i++) {
        printf("%s%d", i == 0u ? "" : ",", counts[i]);
    }
    printf("\n");
}

static void run(mw_imu_status (*call)(const mw_bus *, mw_imu *)) {
    uint64_t begin_ns = time_ns;
    imu.bus_status = MW_BUS_OK;
    mw_imu_status status = call(&armed, &imu);
    printf("%d %d %s %d %" PRIu64 "\n", (int)status, (int)imu.bus_status,
           imu.part == NULL ? "-" : imu.part->name, imu.address, time_ns - begin_ns);
}

static void burst(void) {
    uint8_t bytes[MW_IMU_MAX_BURST_LENGTH] = {0};
    uint64_t begin_ns = time_ns;
    mw_bus_status status = bus.read(bus.context, imu.address, imu.part->burst_register, bytes,
                                    imu.part->burst_length);
    printf("%d %" PRIu64 " ", (int)status, time_ns - begin_ns);
    for (size_t i = 0; i < imu.part->burst_length; i++) {
        printf("%02x", bytes[i]);
    }
    printf(" ");
    int16_t counts[MW_IMU_AXES];
    imu.part->decode(bytes, counts);
    print_counts(counts);
}

static void decode(const mw_imu_part *part, const char *hex) {
    /* Of exactly the burst's length: the sanitizer sees a byte read too many. */
    uint8_t *bytes = malloc(part->burst_length);
    for (size_t i = 0; i < part->burst_length; i++) {
        const char digits[3] = {hex[2u * i], hex[2u * i + 1u], '\0'};
        bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    int16_t counts[MW_IMU_AXES];
    part->decode(bytes, counts);
    free(bytes);
    print_counts(counts);
}

static void table(void) {
    for (const mw_imu_part *const *at = mw_imu_parts; *at != NULL; at++) {
        const mw_imu_part *part = *at;
        printf("%s %.9g %.9g %u %u %" PRIu32 " %d %d %d\n", part->name,
               (double)part->acc_lsb_m_s2, (double)part->gyro_lsb_rad_s, part->acc_counts_per_g,
               part->burst_length, part->rate_millihertz, part->has_1khz_data_ready,
               part->addresses[0], part->addresses[1]);
    }
    printf("end\n");
}

static void obey(const char *command, char words[4][64]) {
    unsigned a = (unsigned)strtoul(words[1], NULL, 0);
    unsigned b = (unsigned)strtoul(words[2], NULL, 0);
    unsigned c = (unsigned)strtoul(words[3], NULL, 0);
    if (strcmp(command, "part") == 0) {
        if (!imu_model_init(&model, words[1], b != 0u, &movement)) {
            exit(1);
        }
        wire = (i2c_bus){.imu = &model, .now_ns = now_ns, .advance_to = advance_to};
        bus = i2c_interface(&wire);
        imu = (mw_imu){0};
        fault_count = 0;
        skip = 0;
    } else if (strcmp(command, "detect") == 0) {
        run(mw_imu_detect);
    } else if (strcmp(command, "configure") == 0) {
        run(mw_imu_configure);
    } else if (strcmp(command, "verify") == 0) {
        run(mw_imu_verify);
    } else if (strcmp(command, "burst") == 0) {
        burst();
    } else if (strcmp(command, "decode") == 0) {
        decode(part_named(words[1]), words[2]);
    } else if (strcmp(command, "gravity") == 0) {
        int x = 0;
        int y = 0;
        int z = 0;
        if (sscanf(words[2], "%d,%d,%d", &x, &y, &z) != 3) {
            exit(1);
        }
        const int16_t counts[MW_IMU_AXES] = {(int16_t)x, (int16_t)y, (int16_t)z};
        printf("%d\n", mw_imu_gravity_is_plausible(part_named(words[1]), counts));
    } else if (strcmp(command, "fault") == 0) {
        (void)snprintf(fault, sizeof fault, "%s", words[1]);
        fault_count = b;
    } else if (strcmp(command, "skip") == 0) {
        skip = a;
    } else if (strcmp(command, "clear") == 0) {
        fault_count = 0;
        wire.nack_address = 0;
        wire.nack_data = 0;
        wire.arbitration_lost = 0;
        wire.hang = 0;
    } else if (strcmp(command, "refuse") == 0) {
        refused_bank = (uint8_t)a;
        refused_register = (uint8_t)b;
        refusing = model.part;
        part_that_refuses = *model.part;
        part_that_refuses.accepts = accepts_but_one;
        model.part = &part_that_refuses;
    } else if (strcmp(command, "recover") == 0) {
        printf("%d\n", (int)bus.recover(bus.context));
    } else if (strcmp(command, "poke") == 0) {
        model.registers[a][b] = (uint8_t)c;
        model.settings = model.part->settings((const imu_model_registers *)&model.registers);
    } else if (strcmp(command, "peek") == 0) {
        printf("%u\n", model.registers[a][b]);
    } else if (strcmp(command, "write") == 0) {
        const uint8_t bytes[2] = {(uint8_t)a, (uint8_t)b};
        printf("%d\n", (int)bus.write(bus.context, model.address, bytes, sizeof bytes));
    } else if (strcmp(command, "reset") == 0) {
        imu_model_reset(&model, time_ns);
    } else if (strcmp(command, "wait") == 0) {
        time_ns += strtoull(words[1], NULL, 10);
    } else if (strcmp(command, "table") == 0) {
        table();
    } else {
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        return 2;
    }
    truth_load(&movement, argv[1]);
    char line[256];
    while (fgets(line, sizeof line, stdin) != NULL) {
        char words[4][64] = {{0}};
        if (sscanf(line, "%63s %63s %63s %63s", words[0], words[1], words[2], words[3]) > 0) {
            obey(words[0], words);
        }
    }
    free((void *)(uintptr_t)movement.counts);
    return 0;
}
