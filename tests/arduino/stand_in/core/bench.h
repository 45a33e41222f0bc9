// What the test holds in its hands: the clock, the IMU and what happens to its wires.
#ifndef BENCH_H
#define BENCH_H

#include <cstdint>

namespace bench {

// Lets time pass: the IMU's data-ready line rises, the sketch's interrupt handler runs.
void pass_ns(uint64_t ns);

enum class Answer { acknowledged, refused, stuck };

// The bus on these pins, byte by byte. `address` begins a transfer.
Answer address(uint8_t sda, uint8_t scl, uint8_t address);
Answer write(uint8_t byte, bool first);
uint8_t read();

} // namespace bench

#endif
