// The file descriptor behind Serial, for the stand-in's own use.
#ifndef SERIAL_LINE_H
#define SERIAL_LINE_H

namespace serial_line {

void open(int descriptor);
// Whether a host is there that has not taken what was sent.
bool is_backlogged();
// Waits in real time, until the host sends something or the time is over.
void wait(int timeout_ms);

} // namespace serial_line

#endif
