// Wire: buffers and codes as in the Arduino cores, transfers that take the time they take on a wire.
#include "Wire.h"

#include <cstring>

#include "bench.h"

TwoWire Wire(18, 19);
TwoWire Wire1(17, 16);

namespace {

// What endTransmission returns.
constexpr uint8_t sent = 0, address_refused = 2, data_refused = 3, other = 4;

constexpr uint64_t second_ns = 1000000000;
// A core gives up on a bus that is held after a while; on most this is configurable.
constexpr uint64_t timeout_ns = 10000000;

void bits(uint32_t hz, uint32_t count) { bench::pass_ns(count * second_ns / hz); }

} // namespace

void TwoWire::begin() { begun_ = true; }
void TwoWire::end() { begun_ = false; }
void TwoWire::setClock(uint32_t hz) { hz_ = hz; }

void TwoWire::beginTransmission(uint8_t address) {
    address_ = address;
    out_length_ = 0;
}

size_t TwoWire::write(uint8_t byte) { return write(&byte, 1); }

size_t TwoWire::write(const uint8_t *bytes, size_t length) {
    const size_t room = buffer_size - out_length_;
    const size_t taken = length < room ? length : room;
    std::memcpy(&out_[out_length_], bytes, taken);
    out_length_ += taken;
    return taken;
}

bool TwoWire::begin_transfer(uint8_t address, uint8_t *code) {
    bits(hz_, 10); // start, address, acknowledgement
    switch (bench::address(sda_, scl_, address)) {
    case bench::Answer::acknowledged:
        return true;
    case bench::Answer::refused:
        *code = address_refused;
        return false;
    case bench::Answer::stuck:
    default:
        bench::pass_ns(timeout_ns);
        *code = other;
        return false;
    }
}

uint8_t TwoWire::endTransmission(bool stop) {
    uint8_t code = other;
    if (!begun_ || !begin_transfer(address_, &code)) {
        return code;
    }
    for (size_t i = 0; i < out_length_; i++) {
        bits(hz_, 9);
        if (bench::write(out_[i], i == 0) != bench::Answer::acknowledged) {
            return data_refused;
        }
    }
    bits(hz_, stop ? 1 : 0);
    return sent;
}

uint8_t TwoWire::requestFrom(uint8_t address, uint8_t length, bool stop) {
    uint8_t code = other;
    in_at_ = 0;
    in_length_ = 0;
    if (!begun_ || length > buffer_size || !begin_transfer(address, &code)) {
        return 0;
    }
    for (; in_length_ < length; in_length_++) {
        bits(hz_, 9);
        in_[in_length_] = bench::read();
    }
    bits(hz_, stop ? 1 : 0);
    return length;
}

int TwoWire::available() { return static_cast<int>(in_length_ - in_at_); }

int TwoWire::read() { return in_at_ < in_length_ ? in_[in_at_++] : -1; }
