/* The port's use of the Arduino API: Serial, Wire, micros, one interrupt pin. All there is to it.
 *
 * Beside them a light, and the pins of the bus while it is being freed.
 *
 * What differs between boards comes as defines from environments.ini:
 *   MW_IMU_WIRE, MW_IMU_SDA, MW_IMU_SCL  bus of the IMU [Wire on SDA, SCL]
 *   MW_IMU_POWER_PIN                     output that powers the IMU, where there is one
 *   MW_IMU_DATA_READY_PIN                input at the IMU's data-ready line, where one is wired */
#include <Arduino.h>
#include <Wire.h>
#if defined(USE_TINYUSB) && defined(ARDUINO_ARCH_NRF52)
#include <Adafruit_TinyUSB.h> /* where this core has its USB `Serial` */
#endif

#include "arduino_io.h"
#include "sketch.h"

#ifndef MW_IMU_WIRE
#define MW_IMU_WIRE Wire
#endif
#ifndef MW_IMU_SDA
#define MW_IMU_SDA SDA
#define MW_IMU_SCL SCL
#endif

namespace {

constexpr uint32_t bus_hz = 400000;
/* USB ignores it; a board whose Serial is a UART needs it (host/myowave/link.py). */
constexpr uint32_t serial_baud = 1000000;
/* A part holds SDA for the rest of its byte and the acknowledgement at most: UM10204, 3.1.16. */
constexpr int recovery_clocks = 9;
constexpr unsigned half_clock_us = 5;

#ifdef LED_STATE_ON /* cores of boards with a light that is on when its pin is low say so */
constexpr bool light_is_on_high = LED_STATE_ON != 0;
#else
constexpr bool light_is_on_high = true;
#endif

volatile uint32_t edges;
volatile uint32_t edge_us;

#ifdef MW_IMU_DATA_READY_PIN
void on_edge() {
    edge_us = static_cast<uint32_t>(micros());
    edges = edges + 1;
}
#endif

void begin_bus() {
    MW_IMU_WIRE.begin();
    MW_IMU_WIRE.setClock(bus_hz);
}

/* Of an open-drain line: driven low, or left to its pull-up. */
void drive(uint8_t pin, bool high) {
    if (high) {
        pinMode(pin, INPUT_PULLUP);
    } else {
        pinMode(pin, OUTPUT);
        digitalWrite(pin, LOW);
    }
    delayMicroseconds(half_clock_us);
}

bool data_line_is_low() { return digitalRead(MW_IMU_SDA) == LOW; }

/* Wire's codes: 1 too long, 2 address refused, 3 data refused, 4 other, 5 timeout. */
mw_bus_status status_of(uint8_t code) {
    switch (code) {
    case 0:
        return MW_BUS_OK;
    case 2:
        return MW_BUS_NACK_ADDRESS;
    case 3:
        return MW_BUS_NACK_DATA;
    default:
        return data_line_is_low() ? MW_BUS_STUCK : MW_BUS_TIMEOUT;
    }
}

}  // namespace

void mw_io_begin(void) {
#ifdef MW_IMU_POWER_PIN
    pinMode(MW_IMU_POWER_PIN, OUTPUT);
    digitalWrite(MW_IMU_POWER_PIN, HIGH);
    delay(50); /* longest power-up of the parts there are: LSM6DS3TR-C, 35 ms */
#endif
#ifdef LED_BUILTIN
    pinMode(LED_BUILTIN, OUTPUT);
    digitalWrite(LED_BUILTIN, light_is_on_high ? LOW : HIGH);
#endif
    Serial.begin(serial_baud);
    begin_bus();
#ifdef MW_IMU_DATA_READY_PIN
    pinMode(MW_IMU_DATA_READY_PIN, INPUT);
    attachInterrupt(digitalPinToInterrupt(MW_IMU_DATA_READY_PIN), on_edge, RISING);
#endif
}

uint32_t mw_io_micros(void) { return static_cast<uint32_t>(micros()); }

void mw_io_delay_us(uint32_t us) {
    /* delayMicroseconds is exact up to 16383 us only. */
    delay(us / 1000u);
    delayMicroseconds(us % 1000u);
}

void mw_io_idle(void) { yield(); }

void mw_io_light(bool on) {
#ifdef LED_BUILTIN
    static bool lit = false;
    if (on != lit) {
        lit = on;
        digitalWrite(LED_BUILTIN, on == light_is_on_high ? HIGH : LOW);
    }
#else
    (void)on;
#endif
}

bool mw_io_serial_available(void) { return Serial.available() > 0; }

int mw_io_serial_read(void) { return Serial.read(); }

bool mw_io_serial_has_host(void) {
#ifdef ARDUINO_ARCH_MBED
    return Serial.connected(); /* as a bool this core's Serial waits a millisecond */
#else
    return static_cast<bool>(Serial);
#endif
}

size_t mw_io_serial_room(void) {
#ifdef ARDUINO_ARCH_MBED
    return 64u; /* this core does not say; its write waits for each packet of 64 bytes */
#else
    const int room = Serial.availableForWrite();
    return room > 0 ? static_cast<size_t>(room) : 0u;
#endif
}

size_t mw_io_serial_write(const uint8_t *bytes, size_t length) {
    return Serial.write(bytes, length);
}

mw_bus_status mw_io_bus_write(uint8_t address, const uint8_t *bytes, size_t length) {
    MW_IMU_WIRE.beginTransmission(address);
    if (MW_IMU_WIRE.write(bytes, length) != length) {
        return MW_BUS_TIMEOUT;
    }
    return status_of(MW_IMU_WIRE.endTransmission());
}

mw_bus_status mw_io_bus_read(uint8_t address, uint8_t first_register, uint8_t *bytes,
                             size_t length) {
    MW_IMU_WIRE.beginTransmission(address);
    if (MW_IMU_WIRE.write(first_register) != 1u) {
        return MW_BUS_TIMEOUT;
    }
    const mw_bus_status status = status_of(MW_IMU_WIRE.endTransmission(false));
    if (status != MW_BUS_OK) {
        return status;
    }
    const size_t got = MW_IMU_WIRE.requestFrom(address, static_cast<uint8_t>(length));
    if (got != length) {
        if (data_line_is_low()) {
            return MW_BUS_STUCK;
        }
        return got == 0u ? MW_BUS_NACK_ADDRESS : MW_BUS_TIMEOUT;
    }
    for (size_t i = 0; i < length; i++) {
        bytes[i] = static_cast<uint8_t>(MW_IMU_WIRE.read());
    }
    return MW_BUS_OK;
}

mw_bus_status mw_io_bus_recover(void) {
    MW_IMU_WIRE.end();
    drive(MW_IMU_SDA, true);
    drive(MW_IMU_SCL, true);
    for (int i = 0; i < recovery_clocks && data_line_is_low(); i++) {
        drive(MW_IMU_SCL, false);
        drive(MW_IMU_SCL, true);
    }
    /* Stop: SDA rises while SCL is high. */
    drive(MW_IMU_SCL, false);
    drive(MW_IMU_SDA, false);
    drive(MW_IMU_SCL, true);
    drive(MW_IMU_SDA, true);
    const bool stuck = data_line_is_low();
    begin_bus();
    return stuck ? MW_BUS_STUCK : MW_BUS_OK;
}

bool mw_io_has_data_ready(void) {
#ifdef MW_IMU_DATA_READY_PIN
    return true;
#else
    return false;
#endif
}

uint32_t mw_io_data_ready(uint32_t *stamp_us) {
    uint32_t count;
    do { /* the interrupt may come between the two */
        count = edges;
        *stamp_us = edge_us;
    } while (count != edges);
    return count;
}

void setup() { mw_sketch_setup(); }

void loop() { mw_sketch_loop(); }
