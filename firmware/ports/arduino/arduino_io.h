/* What the port needs of the Arduino API, in C: the cores' headers are C++, the application is C11.
 *
 * Everything here is for the main loop; no function waits longer than one I2C transfer unless it
 * says so. */
#ifndef MW_ARDUINO_IO_H
#define MW_ARDUINO_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Switches on the serial line, the IMU and its bus. Once, before all others. */
void mw_io_begin(void);

/* Microseconds since boot, modulo 2^32. */
uint32_t mw_io_micros(void);

/* Waits at least `us` microseconds. */
void mw_io_delay_us(uint32_t us);

/* Lets the core do its own work; the main loop has none. */
void mw_io_idle(void);

/* Switches the board's light on or off; nothing where the core knows of none. */
void mw_io_light(bool on);

/* ---- Serial line ----------------------------------------------------------------------------- */

/* Whether a byte has come. */
bool mw_io_serial_available(void);

/* Takes the oldest byte that has come; -1 when there is none. */
int mw_io_serial_read(void);

/* Whether a host has the line open. */
bool mw_io_serial_has_host(void);

/* Bytes the line takes now without waiting. */
size_t mw_io_serial_room(void);

/* Sends up to mw_io_serial_room bytes and returns how many. */
size_t mw_io_serial_write(const uint8_t *bytes, size_t length);

/* ---- The IMU's bus; as in bus.h -------------------------------------------------------------- */

mw_bus_status mw_io_bus_write(uint8_t address, const uint8_t *bytes, size_t length);
mw_bus_status mw_io_bus_read(uint8_t address, uint8_t first_register, uint8_t *bytes,
                             size_t length);
mw_bus_status mw_io_bus_recover(void);

/* ---- The IMU's data-ready line --------------------------------------------------------------- */

/* Whether the board has one. */
bool mw_io_has_data_ready(void);

/* Edges since boot, modulo 2^32, and mw_io_micros of the last one. */
uint32_t mw_io_data_ready(uint32_t *stamp_us);

#ifdef __cplusplus
}
#endif

#endif
