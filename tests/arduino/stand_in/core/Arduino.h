// The part of the Arduino API that firmware/ports/arduino uses, on this computer, for tests.
//
// Signatures as in the Arduino language reference. Time is virtual: it passes with transfers on the
// bus, with delays and while the sketch yields, never with computing, so that no host is too slow.
#ifndef ARDUINO_H
#define ARDUINO_H

#include <cstddef>
#include <cstdint>

constexpr uint8_t LOW = 0;
constexpr uint8_t HIGH = 1;
constexpr uint8_t INPUT = 0;
constexpr uint8_t OUTPUT = 1;
constexpr uint8_t INPUT_PULLUP = 2;
constexpr int RISING = 3;

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

void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t value);
int digitalRead(uint8_t pin);
constexpr int digitalPinToInterrupt(uint8_t pin) { return pin; }
void attachInterrupt(int interrupt, void (*handler)(), int mode);

// The USB serial line: a file descriptor that is a pty's controlling side.
class StandInSerial {
public:
    void begin(unsigned long baud);
    explicit operator bool();
    int available();
    int read();
    int availableForWrite();
    size_t write(const uint8_t *bytes, size_t length);
};

extern StandInSerial Serial;

void setup();
void loop();

#endif
