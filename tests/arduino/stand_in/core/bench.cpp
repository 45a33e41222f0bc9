// The bench: virtual time, pins, the IMU behind them, and the program that runs a sketch.
//
//     program.elf --serial FD [--imu NAME --counts FILE] [--control FD] [--sda PIN --scl PIN]
//                 [--power PIN] [--data-ready PIN] [--begin-us US]
//
// --serial is a pty's controlling side. The IMU is a register-level model (ports/simulated) that
// moves as the raw counts in FILE say, over and over. --begin-us is what micros() says at boot. Lines on --control happen to it:
//
//     refuse N    the next N transfers find nobody at the address
//     corrupt N   the next N registers written are not acknowledged
//     stuck N     SDA is held low until SCL has risen N times
//     reset       the IMU loses its registers
//     freeze      its outputs stay as they are, until it is reset
//     silent      its data-ready line does not rise any more
//     go          and it does again
//     rush        time goes on although the host does not read
//
// The light answers there: "light 1" when it goes on, "light 0" when it goes off.
#include "bench.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "Arduino.h"
#include "serial_line.h"

extern "C" {
#include "imu_model.h"
}

namespace {

constexpr int pins = 64;
// What a turn of a loop that only waits takes on a slow core.
constexpr uint64_t yield_ns = 10000;
// Virtual time without a transfer after which the sketch is taken to be idle.
constexpr uint64_t idle_after_ns = 20000000;
constexpr uint64_t idle_ns = 500000;
constexpr uint64_t control_period_ns = 1000000;
constexpr int no_pin = -1;

uint64_t now = 0;
uint64_t last_transfer = 0;
uint64_t next_control = 0;
PinStatus levels[pins];
bool driven[pins];
void (*handlers[pins])();

struct {
    bool there = false;
    imu_model model;
    truth movement;
    int sda = SDA;
    int scl = SCL;
    int power = no_pin;
    int data_ready = no_pin;
    bool silent = false;
    long refuse = 0;
    long corrupt = 0;
    long stuck = 0;
} imu;

int control = -1;
bool rushing = false;

void obey(const char *line) {
    char name[16] = "";
    long count = 0;
    (void)std::sscanf(line, "%15s %ld", name, &count);
    if (std::strcmp(name, "refuse") == 0) {
        imu.refuse = count;
    } else if (std::strcmp(name, "corrupt") == 0) {
        imu.corrupt = count;
    } else if (std::strcmp(name, "stuck") == 0) {
        imu.stuck = count;
    } else if (std::strcmp(name, "reset") == 0) {
        imu_model_reset(&imu.model, now);
    } else if (std::strcmp(name, "freeze") == 0) {
        imu.model.frozen_ns = now;
    } else if (std::strcmp(name, "silent") == 0) {
        imu.silent = true;
    } else if (std::strcmp(name, "go") == 0) {
        imu.silent = false;
    } else if (std::strcmp(name, "rush") == 0) {
        rushing = true;
    } else {
        (void)std::fprintf(stderr, "unknown control '%s'\n", line);
        std::exit(2);
    }
}

void serve_control() {
    static char line[64];
    static size_t length = 0;
    char byte = 0;
    while (control >= 0 && ::read(control, &byte, 1) == 1) {
        if (byte == '\n') {
            line[length] = '\0';
            length = 0;
            obey(line);
        } else if (length + 1 < sizeof line) {
            line[length++] = byte;
        }
    }
}

bool imu_is_powered() {
    return imu.there && (imu.power == no_pin || (driven[imu.power] && levels[imu.power] == HIGH));
}

} // namespace

void bench::pass_ns(uint64_t ns) {
    const uint64_t end = now + ns;
    while (imu.there && imu.data_ready != no_pin && handlers[imu.data_ready] != nullptr &&
           !imu.silent) {
        const uint64_t pulse = imu_model_next_pulse_ns(&imu.model, now);
        if (pulse > end) {
            break;
        }
        now = pulse;
        handlers[imu.data_ready]();
    }
    now = end;
}

bench::Answer bench::address(uint8_t sda, uint8_t scl, uint8_t address) {
    last_transfer = now;
    if (imu.stuck > 0) {
        return Answer::stuck;
    }
    if (sda != imu.sda || scl != imu.scl || !imu_is_powered() ||
        !imu_model_answers(&imu.model, address, now)) {
        return Answer::refused;
    }
    if (imu.refuse > 0) {
        imu.refuse--;
        return Answer::refused;
    }
    return Answer::acknowledged;
}

bench::Answer bench::write(uint8_t byte, bool first) {
    if (imu.corrupt > 0) {
        imu.corrupt--;
        return Answer::refused;
    }
    if (first) {
        imu_model_select(&imu.model, byte, now);
    } else {
        imu_model_write(&imu.model, byte, now);
    }
    return Answer::acknowledged;
}

uint8_t bench::read() { return imu_model_read(&imu.model, now); }

unsigned long micros() {
    return static_cast<uint32_t>(now / 1000u); // 32 bits, as on every board
}

void delay(unsigned long ms) { bench::pass_ns(ms * 1000000u); }

void delayMicroseconds(unsigned int us) { bench::pass_ns(us * 1000u); }

void yield() {
    if (now >= next_control) {
        next_control = now + control_period_ns;
        serve_control();
    }
    if (!rushing && serial_line::is_backlogged()) {
        serial_line::wait(1); // the host is slower than virtual time
        serve_control();
    } else if (now - last_transfer > idle_after_ns) {
        serial_line::wait(1);
        bench::pass_ns(idle_ns);
    } else {
        bench::pass_ns(yield_ns);
    }
}

void pinMode(uint8_t pin, PinMode mode) {
    const bool was_low = driven[pin % pins] && levels[pin % pins] == LOW;
    driven[pin % pins] = mode == OUTPUT;
    if (pin == imu.scl && was_low && mode != OUTPUT && imu.stuck > 0) {
        imu.stuck--;
    }
}

void digitalWrite(uint8_t pin, PinStatus value) {
    if (pin == LED_BUILTIN && control >= 0 && value != levels[pin]) {
        (void)dprintf(control, "light %d\n", value == HIGH ? 1 : 0);
    }
    levels[pin % pins] = value;
}

PinStatus digitalRead(uint8_t pin) {
    if (pin == imu.sda && imu.stuck > 0) {
        return LOW;
    }
    const int at = pin % pins;
    return driven[at] ? levels[at] : HIGH; // everything here has a pull-up
}

void attachInterrupt(int interrupt, void (*handler)(), PinStatus) { handlers[interrupt] = handler; }

int main(int argc, char **argv) {
    const char *name = nullptr;
    const char *counts = nullptr;
    int serial = -1;
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *option = argv[i];
        const char *value = argv[i + 1];
        const int number = std::atoi(value);
        if (std::strcmp(option, "--serial") == 0) {
            serial = number;
        } else if (std::strcmp(option, "--control") == 0) {
            control = number;
        } else if (std::strcmp(option, "--imu") == 0) {
            name = value;
        } else if (std::strcmp(option, "--counts") == 0) {
            counts = value;
        } else if (std::strcmp(option, "--sda") == 0) {
            imu.sda = number;
        } else if (std::strcmp(option, "--scl") == 0) {
            imu.scl = number;
        } else if (std::strcmp(option, "--power") == 0) {
            imu.power = number;
        } else if (std::strcmp(option, "--data-ready") == 0) {
            imu.data_ready = number;
        } else if (std::strcmp(option, "--begin-us") == 0) {
            now = std::strtoull(value, nullptr, 10) * 1000u;
        } else {
            (void)std::fprintf(stderr, "unknown option %s\n", option);
            return 2;
        }
    }
    if (serial < 0 || (name == nullptr) != (counts == nullptr)) {
        (void)std::fprintf(stderr, "expected --serial FD, and --imu with --counts\n");
        return 2;
    }
    serial_line::open(serial);
    if (control >= 0) {
        (void)fcntl(control, F_SETFL, fcntl(control, F_GETFL) | O_NONBLOCK);
    }
    if (name != nullptr) {
        truth_load(&imu.movement, counts);
        imu.movement.row_ns = 1000000;
        imu.movement.loop = true;
        imu.there = imu_model_init(&imu.model, name, false, &imu.movement);
        if (!imu.there) {
            (void)std::fprintf(stderr, "no model of an IMU '%s'\n", name);
            return 2;
        }
    }
    setup();
    for (;;) {
        loop();
    }
}
