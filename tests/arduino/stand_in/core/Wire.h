// Wire as Arduino has it, with the stand-in's IMU on its pins.
#ifndef WIRE_H
#define WIRE_H

#include <cstddef>
#include <cstdint>

class TwoWire {
public:
    explicit TwoWire(uint8_t sda, uint8_t scl) : sda_(sda), scl_(scl) {}
    void begin();
    void end();
    void setClock(uint32_t hz);
    void beginTransmission(uint8_t address);
    size_t write(uint8_t byte);
    size_t write(const uint8_t *bytes, size_t length);
    uint8_t endTransmission(bool stop = true);
    uint8_t requestFrom(uint8_t address, uint8_t length, bool stop = true);
    int available();
    int read();

private:
    bool begin_transfer(uint8_t address, uint8_t *code);

    static constexpr size_t buffer_size = 32; // that of the smallest cores
    uint8_t sda_;
    uint8_t scl_;
    bool begun_ = false;
    uint32_t hz_ = 100000;
    uint8_t address_ = 0;
    uint8_t out_[buffer_size] = {};
    size_t out_length_ = 0;
    uint8_t in_[buffer_size] = {};
    size_t in_length_ = 0;
    size_t in_at_ = 0;
};

extern TwoWire Wire;
extern TwoWire Wire1;

#endif
