"""Estimated cycles: short sequences cost what Arm's tables and examples say, on the real trace."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from myowave.cycles import (
    TIMINGS,
    FlashTiming,
    Trace,
    TraceParser,
    core_cycles,
    disassemble,
    flash_waits,
    symbols_of,
    timing_of,
    trace_qemu,
)
from myowave.errors import ConfigError, ToolError
from myowave.firmware import boards
from myowave.paths import firmware_dir

pytestmark = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None or shutil.which("arm-none-eabi-gcc") is None,
    reason="needs qemu-system-arm and arm-none-eabi-gcc on PATH",
)

# r3 to r6 point into RAM, r7 is an index; the snippet begins at a word, after it nothing counts.
IMAGE = """
    .syntax unified
    .thumb
    .text
    .word 0x{ram:x}00, reset + 1
    .balign 32
table: .word 1, 2, 3, 4, 5, 6, 7, 8
    .thumb_func
reset:
    ldr r3, =0x{ram:x}00
    subs r3, #128
    mov r4, r3
    mov r5, r3
    mov r6, r3
    movs r7, #0
    {enable}
    b begin
    .balign 32
    .global begin
begin:
{snippet}
    .global end
end: b end
    .balign 4
    .thumb_func
callee: bx lr
    .ltorg
"""


def trace_of(snippet: str, core: str, tmp_path: Path) -> Trace:
    """Assemble a snippet, run it on the emulated core and return its trace."""

    name = core.replace("-", "_")
    build = json.loads((firmware_dir() / "platform" / "boards" / f"{name}.json").read_text())[
        "build"
    ]
    origin = build["memory"]["flash_origin"]
    # Helium has to be switched on before it is used (CPACR).
    enable = (
        "ldr r0, =0xe000ed88\n ldr r1, =0xf00000\n str r1, [r0]\n dsb\n isb"
        if core == "cortex-m55"
        else ""
    )
    ram = (int(build["memory"]["ram_origin"], 0) + 0x1000) >> 8
    source, elf = tmp_path / "snippet.s", tmp_path / "snippet.elf"
    source.write_text(IMAGE.format(snippet=snippet, ram=ram, enable=enable))
    subprocess.run(
        [
            *("arm-none-eabi-gcc", *build["cpu_flags"], "-nostdlib", "-Wl,-e,reset"),
            *(f"-Wl,-Ttext={origin}", str(source), "-o", str(elf)),
        ],
        check=True,
        capture_output=True,
    )
    symbols = symbols_of(elf)
    return trace_qemu(
        [*("qemu-system-arm", *boards()[name].qemu, "-serial", "none", "-kernel", str(elf))],
        tmp_path,
        TraceParser(disassemble(elf, core), [symbols["begin"]], [symbols["end"]]),
    )


LOOP = "movs r0, #5\n1: subs r0, #1\n bne 1b"

# Arm DDI 0337 and 100166, section 3.3: the table, and the examples of "Load/store timings".
M3_AND_M4 = [
    ("adds r0, r0, r1", 1, 1),
    ("ldr r0, [r4]", 2, 2),
    ("str r0, [r4, #4]", 1, 1),
    ("str r0, [r4, r7]", 2, 2),
    ("ldr r0, [r4]\n ldr r1, [r5]", 3, 3),
    ("ldr r0, [r4, r7]\n str r0, [r3, #20]", 3, 3),
    ("ldr r0, [r4, r7]\n str r1, [r3, r7]", 3, 3),
    ("ldr r0, [r4, r7]\n ldr r1, [r5]\n ldr r2, [r3, #4]", 4, 4),
    ("ldr r0, [r4], #4\n ldr r1, [r5]", 4, 4),  # the base changes: not pipelined
    ("str r3, [r4]\n ldr r4, [r4]\n ldr r0, [r4]", 5, 5),  # its address is the first one's result
    ("adds r4, r4, #0\n ldr r0, [r4]", 4, 4),  # no forwarding into an address
    ("ldmia r4, {r0-r2}", 4, 4),
    ("ldrd r0, r1, [r4]", 3, 3),
    ("push {r0-r3}\n pop {r0-r3}", 10, 10),
    ("movs r0, #9\n udiv r0, r0, r0", 3, 13),
    ("b 1f\n nop\n1:", 2, 4),
    (LOOP, 1 + 5 + 5 + 4, 1 + 5 + 5 + 4 * 3),
    ("bl callee", 2 + 2, 4 + 4),
    ("cmp r0, r0\n it eq\n moveq r1, r2", 2, 3),
]
M3 = [
    ("mul r0, r1, r2", 1, 1),
    ("mla r0, r1, r2, r3", 2, 2),
    ("smull r0, r1, r2, r3", 3, 5),
    ("smlal r0, r1, r2, r3", 4, 7),
]
M4 = [
    ("mla r0, r1, r2, r3", 1, 1),
    ("smlad r0, r1, r2, r3", 1, 1),
    ("smlal r0, r1, r2, r3", 1, 1),
    ("smmulr r0, r1, r2", 1, 1),
    ("ssat r0, #8, r1, asr #4", 1, 1),
    # Three wide instructions in a row that lie across words: one cycle more where that counts.
    ("nop\n" + "smlad r0, r1, r2, r3\n" * 3, 4, 5),
]
# Arm DDI 0484, section 3.3: exact.
M0PLUS = [
    ("adds r0, r0, r1", 1, 1),
    ("muls r0, r1, r0", 1, 1),
    ("ldr r0, [r4]\n ldr r1, [r5]", 4, 4),
    ("strb r0, [r4]", 2, 2),
    ("ldmia r4!, {r0-r2}", 4, 4),
    ("push {r0-r3}\n pop {r0-r3}", 10, 10),
    ("b 1f\n nop\n1:", 2, 2),
    (LOOP, 1 + 5 + 5 + 4, 1 + 5 + 5 + 4),
    ("bl callee", 3 + 2, 3 + 2),
    ("adr r0, 1f\n adds r0, #1\n push {r0}\n pop {pc}\n nop\n .balign 4\n1: nop", 1 + 1 + 2 + 4 + 1,
     1 + 1 + 2 + 4 + 1),
]  # fmt: skip
CASES = [
    *(("cortex-m3", *case) for case in M3_AND_M4 + M3),
    *(("cortex-m4", *case) for case in M3_AND_M4 + M4),
    *(("cortex-m0plus", *case) for case in M0PLUS),
]


@pytest.mark.parametrize(("core", "snippet", "low", "high"), CASES)
def test_a_sequence_costs_what_the_manual_says(
    core: str, snippet: str, low: int, high: int, tmp_path: Path
) -> None:
    cycles = core_cycles(trace_of(snippet, core, tmp_path), core)
    assert (cycles.low, cycles.high) == (low, high)


@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m55"])
def test_a_bracket_holds_half_a_cycle_an_instruction_and_the_m4(core: str, tmp_path: Path) -> None:
    trace = trace_of("ldr r0, [r4]\n" + LOOP, core, tmp_path)
    bracket, single = core_cycles(trace, core), core_cycles(trace, "cortex-m4")
    assert bracket.low == len(trace.steps) / 2
    assert bracket.high >= single.high


def test_helium_is_disassembled_and_costed(tmp_path: Path) -> None:
    snippet = (
        "vldrb.u8 q0, [r4]\n vmlava.s8 r0, q0, q1\n vldrb.u8 q2, [r4, q3]\n vadd.i32 q0, q0, q1"
    )
    trace = trace_of("vmov.i32 q3, #0\n" + snippet, "cortex-m55", tmp_path)
    kinds = [trace.instructions[step].kind for step in trace.steps]
    assert kinds == ["vector", "vector_memory", "vector_reduce", "vector_gather", "vector"]
    cycles = core_cycles(trace, "cortex-m55")
    assert (cycles.low, cycles.high) == (1 + 1 + 1 + 8 + 1, 2 + 2 + 3 + 32 + 2)


def test_every_addressing_mode_is_followed(tmp_path: Path) -> None:
    snippet = (
        "movs r7, #2\n ldr r0, [r4, r7, lsl #2]\n ldr r0, [r4, #12]\n ldrb r0, [r4], #16\n"
        " ldrh r0, [r4, #-2]\n ldr r0, [r5, #4]!\n ldrd r0, r1, [r6, #24]\n ldmia r6!, {r0-r1}\n"
        " ldmdb r6, {r0-r1}\n ldr r0, =0x12345678\n push {r0}\n pop {r0}\n adr r0, end\n"
    )
    trace = trace_of(snippet, "cortex-m4", tmp_path)
    loads = [int(address) for address in trace.reads if address >= 0]
    base = loads[1] - 12
    literal = loads[8]
    assert [address - base for address in loads[:8]] == [8, 12, 0, 14, 4, 24, 0, 0]
    assert literal < 0x1000
    assert loads[9] > base, "the stack is above"


def test_waits_for_flash(tmp_path: Path) -> None:
    """Two lines of code; a literal and four constants, five words."""
    snippet = "ldr r0, =table\n ldmia r0, {r0-r2, r6}\n" + "nop\n" * 14
    trace = trace_of(snippet, "cortex-m4", tmp_path)
    # From the beginning of a line.
    assert sum(trace.column(lambda item: item.size)) == 32
    plain = flash_waits(trace, FlashTiming(16, 3, data_cycles=2), 0, 0x400000)
    assert (plain.code, plain.constants) == (2 * 3, 5 * 2)
    cached = flash_waits(trace, FlashTiming(16, 3, 1024, 2, data_cycles=2), 0, 0x400000)
    assert (cached.code, cached.constants) == (0, 5 * 2)
    unified = flash_waits(trace, FlashTiming(16, 3, 1024, 2, unified=True), 0, 0x400000)
    assert (unified.code, unified.constants) == (0, 0)
    # One line in all: literal, table and both lines of code push each other out.
    thrashing = flash_waits(trace, FlashTiming(16, 3, 16, 1, unified=True), 0, 0x400000)
    assert thrashing.code == 2 * 3
    assert thrashing.constants >= 2 * 3


def test_a_core_without_timing_is_refused() -> None:
    with pytest.raises(ConfigError, match="no cycle timing for core 'z80', expected one of"):
        timing_of("z80")
    assert all(timing.method and timing.error for timing in TIMINGS.values())


def test_a_trace_that_hangs_or_fails_is_an_error(tmp_path: Path) -> None:
    elf = tmp_path / "no.elf"
    elf.write_bytes(b"")
    command = ["qemu-system-arm", *boards()["cortex_m4"].qemu, "-kernel", str(elf)]
    with pytest.raises(ToolError, match="qemu-system-arm gave no trace"):
        trace_qemu(command, tmp_path, TraceParser({}))
    with pytest.raises(ToolError, match=r"no\.elf: arm-none-eabi-objdump failed"):
        disassemble(elf, "cortex-m4")
