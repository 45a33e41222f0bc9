/* Files of the machine that runs the emulator, through Arm semihosting.
 *
 * Arm "Semihosting for AArch32 and AArch64", version 2.0: operation in r0, parameter block in r1,
 * BKPT 0xAB on M-profile cores. */
#ifndef MW_SEMIHOST_H
#define MW_SEMIHOST_H

#include <stddef.h>
#include <stdint.h>

typedef enum { SEMIHOST_READ = 1, SEMIHOST_WRITE = 5 } semihost_mode; /* fopen "rb" and "wb" */

/* Returns a handle, or -1. */
int32_t semihost_open(const char *path, semihost_mode mode);

/* Returns how many bytes were read; fewer than `size` at the end of the file. */
size_t semihost_read(int32_t handle, void *buffer, size_t size);

/* Returns 0 when all bytes were written. */
int32_t semihost_write(int32_t handle, const void *buffer, size_t size);

/* Ends the emulator with exit code 0 for success, 1 for failure. */
_Noreturn void semihost_exit(int failed);

#endif
