// The part of the Arduino API that firmware/ports/arduino uses, on this computer, for tests.
//
// Signatures as in the Arduino language reference. Time is virtual: it passes with transfers on the
// bus, with delays and while the sketch yields, never with computing, so that no host is too slow.
#ifndef ARDUINO_H
#define ARDUINO_H

#include <cstddef>
#include <cstdint>

// Types of their own, as in Arduino's newer cores; on the others these are numbers.
enum PinStatus { LOW = 0, HIGH = 1, CHANGE = 2, FALLING = 3, RISING = 4 };
enum PinMode { INPUT = 0, OUTPUT = 1, INPUT_PULLUP = 2 };

constexpr uint8_t SDA = 18;
constexpr uint8_t SCL = 19;
// Where the XIAO has its IMU, and what powers it there.
constexpr uint8_t PIN_WIRE1_SDA = 17;
constexpr uint8_t PIN_WIRE1_SCL = 16;
constexpr uint8_t PIN_LSM6DS3TR_C_POWER = 15;

#define LED_BUILTIN 13

unsigned long micros();
void delay(unsigned long ms);
void delayMicroseconds(unsigned int us);
void yield();

void pinMode(uint8_t pin, PinMode mode);
void digitalWrite(uint8_t pin, PinStatus value);
PinStatus digitalRead(uint8_t pin);
constexpr int digitalPinToInterrupt(uint8_t pin) { return pin; }
void attachInterrupt(int interrupt, void (*handler)(), PinStatus mode);

// The USB serial line: a file descriptor that is a pty's controlling side.
class StandInSerial {
public:
    void begin(unsigned long baud);
    explicit operator bool();
    bool connected(); // of the mbed core
    int available();
    int read();
    int availableForWrite();
    size_t write(const uint8_t *bytes, size_t length);
};

extern StandInSerial Serial;

void setup();
void loop();

#endif
