// Serial: a pty's controlling side behind a buffer. It never waits.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cstring>

#include "Arduino.h"
#include "serial_line.h"

StandInSerial Serial;

namespace {

int line = -1;
bool begun = false;
uint8_t received[512];
ssize_t received_length = 0;
ssize_t received_at = 0;
uint8_t waiting[256]; // for the host, as in a core's buffer
size_t waiting_length = 0;

short state(short wanted, int timeout_ms) {
    pollfd look = {line, wanted, 0};
    return poll(&look, 1, timeout_ms) == 1 ? look.revents : static_cast<short>(0);
}

// A pty polls as hung up while nobody has its other end, as USB says that no host listens.
bool host_is_there(short events) { return (events & (POLLHUP | POLLERR)) == 0; }

// Moves what waits to the pty, which polls as writable also when it takes nothing.
void flush() {
    const ssize_t taken = ::write(line, waiting, waiting_length);
    if (taken > 0) {
        waiting_length -= static_cast<size_t>(taken);
        std::memmove(waiting, &waiting[taken], waiting_length);
    }
}

} // namespace

void serial_line::open(int descriptor) {
    line = descriptor;
    const int flags = fcntl(line, F_GETFL);
    (void)fcntl(line, F_SETFL, flags | O_NONBLOCK);
}

bool serial_line::is_backlogged() {
    flush();
    return waiting_length > 0 && host_is_there(state(POLLOUT, 0));
}

void serial_line::wait(int timeout_ms) {
    const short events = state(POLLIN, timeout_ms);
    if (!host_is_there(events)) {
        (void)poll(nullptr, 0, timeout_ms); // returns at once on a line nobody has open
    }
}

void StandInSerial::begin(unsigned long) { begun = true; }

StandInSerial::operator bool() { return connected(); }

bool StandInSerial::connected() {
    if (!begun || !host_is_there(state(POLLOUT, 0))) {
        waiting_length = 0;
        return false;
    }
    return true;
}

int StandInSerial::available() {
    if (begun && received_at == received_length) {
        received_at = 0;
        received_length = ::read(line, received, sizeof received);
        if (received_length < 0) {
            received_length = 0;
        }
    }
    return static_cast<int>(received_length - received_at);
}

int StandInSerial::read() { return available() > 0 ? received[received_at++] : -1; }

int StandInSerial::availableForWrite() {
    flush();
    return static_cast<int>(sizeof waiting - waiting_length);
}

size_t StandInSerial::write(const uint8_t *bytes, size_t length) {
    const size_t room = begun ? static_cast<size_t>(availableForWrite()) : 0u;
    const size_t taken = length < room ? length : room;
    std::memcpy(&waiting[waiting_length], bytes, taken);
    waiting_length += taken;
    flush();
    return taken;
}
