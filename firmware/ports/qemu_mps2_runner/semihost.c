/* Files of the machine that runs the emulator, through Arm semihosting. */
#include "semihost.h"

#include <string.h>

enum { SYS_OPEN = 0x01, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT = 0x18 };

static const uint32_t ADP_STOPPED_APPLICATION_EXIT = 0x20026U;
static const uint32_t ADP_STOPPED_RUN_TIME_ERROR = 0x20023U;

static uint32_t call(uint32_t operation, uint32_t parameter) {
    register uint32_t r0 __asm__("r0") = operation;
    register uint32_t r1 __asm__("r1") = parameter;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static uint32_t address(const void *pointer) { return (uint32_t)(uintptr_t)pointer; }

int32_t semihost_open(const char *path, semihost_mode mode) {
    const uint32_t block[3] = {address(path), (uint32_t)mode, (uint32_t)strlen(path)};
    return (int32_t)call(SYS_OPEN, address(block));
}

size_t semihost_read(int32_t handle, void *buffer, size_t size) {
    const uint32_t block[3] = {(uint32_t)handle, address(buffer), (uint32_t)size};
    /* The call returns how many bytes were NOT read. */
    const uint32_t missing = call(SYS_READ, address(block));
    return missing > size ? 0U : size - missing;
}

int32_t semihost_write(int32_t handle, const void *buffer, size_t size) {
    const uint32_t block[3] = {(uint32_t)handle, address(buffer), (uint32_t)size};
    return (int32_t)call(SYS_WRITE, address(block));
}

_Noreturn void semihost_exit(int failed) {
    call(SYS_EXIT, failed ? ADP_STOPPED_RUN_TIME_ERROR : ADP_STOPPED_APPLICATION_EXIT);
    for (;;) {
    }
}
