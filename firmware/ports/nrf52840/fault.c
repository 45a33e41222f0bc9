/* What is kept of a processor fault, over the reset that follows, for the next boot's log.
 *
 * Armv7-M Architecture Reference Manual, B1.5.6 (exception entry) and B3.2 (fault status). All
 * faults come as HardFault, since the handlers of the others are never enabled. */
#include "fault.h"

#include <stdint.h>
#include <string.h>

#include "handlers.h"
#include "soc.h"

#define MAGIC 0x4D574658u

/* What the core pushes on exception entry. */
typedef struct {
    uint32_t r0, r1, r2, r3, r12, lr, pc, xpsr;
} exception_frame;

typedef struct {
    uint32_t magic;
    exception_frame frame; /* zeros when the stack pointer pointed nowhere */
    uint32_t sp;
    uint32_t exception; /* number: 3 is HardFault */
    uint32_t cfsr, hfsr, mmfar, bfar;
    uint32_t check; /* sum of all words before */
} fault_record;

extern uint32_t mw_ram_begin[];
extern uint32_t mw_ram_end[];
extern uint32_t mw_stack_top[];

/* Not set to zero at boot. */
__attribute__((section(".noinit"))) static fault_record kept;

static fault_record last;
static bool happened;

static uint32_t sum(const fault_record *record) {
    const uint32_t *words = (const uint32_t *)record;
    uint32_t total = 0;
    for (uint32_t i = 0; i < offsetof(fault_record, check) / sizeof(uint32_t); i++) {
        total += words[i];
    }
    return total;
}

void mw_fault_init(void) {
    happened = kept.magic == MAGIC && kept.check == sum(&kept);
    if (happened) {
        last = kept;
    }
    memset(&kept, 0, sizeof kept);
}

bool mw_fault_happened(void) { return happened; }

/* Runs on a fresh stack: after an overflow there is none left. */
__attribute__((noreturn, used)) void mw_fault_keep(uint32_t sp);

void mw_fault_keep(uint32_t sp) {
    memset(&kept, 0, sizeof kept);
    kept.magic = MAGIC;
    kept.sp = sp;
    uint32_t low = (uint32_t)(uintptr_t)mw_ram_begin;
    uint32_t high = (uint32_t)(uintptr_t)mw_ram_end;
    if (sp >= low && sp <= high - sizeof(exception_frame) && sp % 4u == 0u) {
        memcpy(&kept.frame, (const void *)(uintptr_t)sp, sizeof kept.frame);
    }
    uint32_t ipsr;
    __asm volatile("mrs %0, ipsr" : "=r"(ipsr));
    kept.exception = ipsr;
    kept.cfsr = SCB_CFSR;
    kept.hfsr = SCB_HFSR;
    kept.mmfar = SCB_MMFAR;
    kept.bfar = SCB_BFAR;
    kept.check = sum(&kept);
    __asm volatile("dsb" ::: "memory");
    SCB_AIRCR = SCB_AIRCR_RESET;
    for (;;) {
    }
}

/* Only main's stack is in use, and so is the main stack pointer. */
__attribute__((naked)) void mw_fault_handler(void) {
    __asm volatile("cpsid i\n"
                   "mrs r0, msp\n"
                   "ldr r1, =mw_stack_top\n"
                   "msr msp, r1\n"
                   "b mw_fault_keep\n");
}

/* ---- As text --------------------------------------------------------------------------------- */

static char *put_text(char *at, const char *text) {
    size_t length = strlen(text);
    memcpy(at, text, length);
    return at + length;
}

static char *put_hex(char *at, const char *name, uint32_t value) {
    at = put_text(at, name);
    for (uint32_t shift = 32; shift > 0u; shift -= 4u) {
        *at++ = "0123456789abcdef"[(value >> (shift - 4u)) & 0xFu];
    }
    return at;
}

void mw_fault_text(char text[MW_FAULT_TEXT_SIZE]) {
    static const char begin[] = "the last run ended in a fault:";
    enum { NAMED_VALUES = 8, NAMED_VALUE_SIZE = sizeof " bfar " - 1 + 8 };
    _Static_assert(sizeof begin + NAMED_VALUES * NAMED_VALUE_SIZE <= MW_FAULT_TEXT_SIZE,
                   "the line has room");
    char *at = put_text(text, begin);
    at = put_hex(at, " pc ", last.frame.pc);
    at = put_hex(at, " lr ", last.frame.lr);
    at = put_hex(at, " sp ", last.sp);
    at = put_hex(at, " psr ", last.frame.xpsr);
    at = put_hex(at, " exc ", last.exception);
    at = put_hex(at, " cfsr ", last.cfsr);
    at = put_hex(at, " hfsr ", last.hfsr);
    at = put_hex(at, " bfar ", last.bfar);
    *at = '\0';
}
