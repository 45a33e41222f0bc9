"""Estimated cycles: every instruction a sample executes, costed with the core's published timing.

QEMU executes the compiled image one instruction at a time and logs the registers before each; with
the disassembly this gives the instructions in order, the jumps taken and the addresses read. A cost
table turns them into a range of cycles for memory without wait states; `flash_waits` adds what a
board's flash makes the core wait. The instructions are exact, the cycles are an estimate that was
compared with no silicon. What each core's range stands on is in `TIMINGS`.
"""

import os
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from myowave.errors import ConfigError, ToolError
from myowave.tools import require_tool

_RECORD = b"R00="
_FIELD = 13  # "Rnn=XXXXXXXX" and a separator; fifteen of them go before the program counter
_PC_END = 15 * _FIELD + 8
_REGISTERS = {f"r{i}": i for i in range(16)} | {
    **{"sb": 9, "sl": 10, "fp": 11, "ip": 12, "sp": 13, "lr": 14, "pc": 15}
}
_CONDITIONS = "eq|ne|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|hs|lo"
_MULTIPLY = re.compile(r"mul|mla|mls|smul|smla[bt]|smlaw|smlad|smlsd|smua|smus|smmu|smml|usad")
_ACCUMULATES = re.compile(r"ml[as]|sml[as]|smml[as]|usada|[su]mlal|umaal")
_LONG_MULTIPLY = re.compile(r"[su]mull|[su]mlal|umaal|smlsld")
_SYSTEM = re.compile(r"cps|mrs|msr|dsb|dmb|isb|wfi|wfe|sev|svc|bkpt|clrex")
_GATHER = re.compile(r"\[\w+, q\d")
_REDUCTION = re.compile(r"vr?ml[as]l?d?a?v|vaddl?v|v(max|min)a?v")
# Without it, objdump takes Helium for coprocessor instructions.
_ARCHITECTURES = {"cortex-m55": ("-m", "armv8.1-m.main")}
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Range:
    """Cycles from the best to the worst the method cannot exclude."""

    low: float
    high: float

    def scaled(self, factor: float) -> "Range":
        """Return the range times `factor`."""
        return Range(self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Instruction:
    """One instruction of an image.

    Attributes
    ----------
    address, size : int
        In bytes.
    kind : str
        alu, multiply, long_multiply, divide, load, load_many, store, store_many, branch, call,
        indirect, table, condition, system, vector, vector_memory, vector_gather, vector_reduce,
        loop, float or unknown.
    words : int
        Registers or elements loaded or stored; of a multiplication 1 when it accumulates.
    sets, address_registers : int
        Bit sets of the registers written, and of those an address is made of.
    base, index, shift, offset : int
        How a load makes its address; base and index -1 where there is none.
    writeback, stores_with_index : bool
        The base changes with the access; a store whose address has an index register.
    """

    address: int
    size: int
    kind: str
    words: int = 0
    sets: int = 0
    address_registers: int = 0
    base: int = -1
    index: int = -1
    shift: int = 0
    offset: int = 0
    writeback: bool = False
    stores_with_index: bool = False


@dataclass(frozen=True)
class Trace:
    """Instructions in the order of their execution.

    Attributes
    ----------
    instructions : tuple of Instruction
        Every one that occurs, once.
    steps : (n,) int32 array
        Indices into `instructions`.
    reads : (n,) int64 array
        Address of the first word a load reads; -1 for what is no load or has several addresses.
    end : int
        Address of the step after the last, -1 where it is not known.
    """

    instructions: tuple[Instruction, ...]
    steps: NDArray[np.int32]
    reads: NDArray[np.int64]
    end: int = -1

    def column(self, value: Callable[[Instruction], float]) -> NDArray[np.float64]:
        """Return a value of each executed instruction, (n,) float64."""
        return np.array([value(item) for item in self.instructions], dtype=np.float64)[self.steps]


@dataclass(frozen=True)
class FlashTiming:
    """How long a core waits for its flash.

    Attributes
    ----------
    line_bytes : int
        What one access to the flash brings.
    miss_cycles : float
        Wait for one line.
    cache_bytes, ways : int
        Least recently used within a set; 0 bytes: only the line in hand is remembered.
    data_cycles : float
        Wait for each word of constants, which go past the cache.
    unified : bool
        Constants go through the cache too; `data_cycles` is not used.
    """

    line_bytes: int
    miss_cycles: float
    cache_bytes: int = 0
    ways: int = 1
    data_cycles: float = 0.0
    unified: bool = False


@dataclass(frozen=True)
class CoreTiming:
    """Where a core's cycles come from, for the reader of an estimate.

    Attributes
    ----------
    method, error : str
        One line each.
    cost : callable
        From an instruction to (cycles at best, at worst, more if it jumps at best, at worst).
    pairs_loads : bool
        Neighbouring loads and stores overlap as the Cortex-M3 and -M4 manuals say.
    exception_cycles : int
        Entry and return of one interrupt.
    """

    method: str
    error: str
    cost: Callable[[Instruction], tuple[float, float, float, float]]
    pairs_loads: bool
    exception_cycles: int


def _cost_m0plus(item: Instruction) -> tuple[float, float, float, float]:
    cycles = {
        **{"load": 2.0, "store": 2.0, "call": 2.0, "system": 3.0},
        **{"load_many": 1.0 + item.words, "store_many": 1.0 + item.words},
    }.get(item.kind, 1.0)
    # POP with the program counter takes 3 + N, every other jump one cycle more than its base.
    jump = 2.0 if item.kind == "load_many" else 1.0
    return cycles, cycles, jump, jump


def _cost_m4(item: Instruction) -> tuple[float, float, float, float]:
    fixed = {
        **{"load": (2.0, 2.0), "store": (1.0, 1.0), "divide": (2.0, 12.0)},
        **{"condition": (0.0, 1.0), "table": (2.0, 3.0), "system": (1.0, 4.0)},
        **{"load_many": (1.0 + item.words,) * 2, "store_many": (1.0 + item.words,) * 2},
        **{"float": (1.0, 14.0), "unknown": (1.0, 12.0)},
    }
    low, high = fixed.get(item.kind, (1.0, 1.0))
    if item.kind == "store" and item.stores_with_index:
        low = high = 2.0
    if item.kind == "load" and item.base == _REGISTERS["pc"]:
        high = 3.0  # contention with the fetch
    return low, high, 1.0, 3.0


def _cost_m3(item: Instruction) -> tuple[float, float, float, float]:
    low, high, jump_low, jump_high = _cost_m4(item)
    if item.kind == "multiply" and item.words == 1:  # accumulates
        low = high = 2.0
    elif item.kind == "long_multiply":
        low, high = (4.0, 7.0) if item.words == 1 else (3.0, 5.0)
    return low, high, jump_low, jump_high


def _cost_m7(item: Instruction) -> tuple[float, float, float, float]:
    _, high, _, jump = _cost_m4(item)
    low = 0.5 if item.kind not in ("load_many", "store_many") else max(item.words / 2.0, 0.5)
    return low, high, 0.0, jump


def _cost_m55(item: Instruction) -> tuple[float, float, float, float]:
    vectors = {
        **{"vector": (1.0, 2.0), "vector_memory": (1.0, 2.0), "vector_reduce": (1.0, 3.0)},
        **{"vector_gather": (item.words / 2.0, 2.0 * item.words)},
    }
    if item.kind in vectors:
        return *vectors[item.kind], 0.0, 0.0
    if item.kind == "loop":
        return 0.0, 1.0, 0.0, 3.0
    return _cost_m7(item)


TIMINGS: Mapping[str, CoreTiming] = {
    "cortex-m0plus": CoreTiming(
        "cycle table of Arm DDI 0484, section 3.3, with the single-cycle multiplier",
        "the table is exact for memory without wait states",
        _cost_m0plus,
        pairs_loads=False,
        exception_cycles=30,
    ),
    "cortex-m3": CoreTiming(
        "cycle table and load/store timings of Arm DDI 0337, section 3.3",
        "range: refill after a jump 1 to 3 cycles, division 2 to 12, long multiply 3 to 7, fetch",
        _cost_m3,
        pairs_loads=True,
        exception_cycles=24,
    ),
    "cortex-m4": CoreTiming(
        "cycle table and load/store timings of Arm 100166, section 3.3",
        "range: refill after a jump 1 to 3 cycles, division 2 to 12, fetch",
        _cost_m4,
        pairs_loads=True,
        exception_cycles=24,
    ),
    "cortex-m7": CoreTiming(
        "no public table: two instructions a cycle at best, the Cortex-M4's worst at worst",
        "bracket, about a factor of three wide",
        _cost_m7,
        pairs_loads=False,
        exception_cycles=24,
    ),
    "cortex-m55": CoreTiming(
        "no public table: two instructions a cycle at best, the Cortex-M4's worst at worst; a "
        "vector instruction 1 to 2 (two beats a cycle), reductions to 3, gathers to 2 an element",
        "bracket, about a factor of three wide",
        _cost_m55,
        pairs_loads=False,
        exception_cycles=24,
    ),
}


def timing_of(core: str) -> CoreTiming:
    """Return a core's timing; raise ConfigError for a core without one."""
    try:
        return TIMINGS[core]
    except KeyError:
        raise ConfigError(
            f"no cycle timing for core '{core}', expected one of {', '.join(TIMINGS)}"
        ) from None


# ---- the image -----------------------------------------------------------------------------------


def disassemble(elf: Path, core: str) -> dict[int, Instruction]:
    """Return the instructions of an image for a core by address.

    Raises
    ------
    ToolError
        If binutils for Arm are missing or cannot read the image.
    """
    objdump = require_tool("arm-none-eabi-objdump", "binutils-arm-none-eabi")
    done = subprocess.run(
        [objdump, "-d", *_ARCHITECTURES.get(core, ()), str(elf)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ToolError(f"{elf}: arm-none-eabi-objdump failed: {done.stderr.strip()}")
    found = {}
    for line in done.stdout.splitlines():
        cells = line.split("\t")
        if len(cells) < 3 or cells[2].startswith("."):
            continue
        address = int(cells[0].strip().rstrip(":"), 16)
        operands = re.split(r"\s*[@;]", cells[3])[0].strip() if len(cells) > 3 else ""
        size = sum(len(group) for group in cells[1].split()) // 2
        found[address] = _instruction(address, size, cells[2].strip(), operands)
    return found


def _kind(name: str, operands: str) -> str:
    """Return the kind of an instruction from its mnemonic without width suffix."""
    if name.startswith("v"):
        return _vector_kind(name, operands)
    if re.fullmatch(r"it[te]{0,3}", name):
        return "condition"
    if re.match(r"(le|letp|[dw]ls|[dw]lstp|lctp)(\.|$)", name):
        return "loop"
    if re.fullmatch(rf"b({_CONDITIONS})?|cbn?z", name):
        return "branch"
    if re.fullmatch(rf"bl({_CONDITIONS})?", name):
        return "call"
    if re.fullmatch(rf"bl?xn?s?({_CONDITIONS})?", name):
        return "indirect"
    families: tuple[tuple[str, str], ...] = (
        (r"tb[bh]", "table"),
        (r"ldrd|ldm|pop", "load_many"),
        (r"strd|stm|push", "store_many"),
        (r"ldr|lda", "load"),
        (r"str|stl", "store"),
        (r"[su]div", "divide"),
        (_LONG_MULTIPLY.pattern, "long_multiply"),
        (_MULTIPLY.pattern, "multiply"),
        (_SYSTEM.pattern, "system"),
        (
            r"mov|mvn|adc|adr|sbc|rsb|neg|cmp|cmn|tst|teq|and|orr|orn|eor|bic|lsl|lsr|asr|ror|rrx"
            r"|rev|rbit|clz|[su]sat|[su]xt|bf[ic]|[su]bfx|sel|pkh|nop|pld|cs|cin|cneg|[su]q?r?sh[lr]"
            r"|[su]?[qh]?d?(add|sub|asx|sax)",
            "alu",
        ),
    )
    for pattern, kind in families:
        if re.match(pattern, name):
            return kind
    return "unknown"


def _vector_kind(name: str, operands: str) -> str:
    if re.match(r"vp(st|t|not)", name):
        return "vector"
    if name.startswith(("vldr", "vstr", "vld2", "vld4", "vst2", "vst4")) and "q" in operands:
        return "vector_gather" if _GATHER.search(operands) else "vector_memory"
    if _REDUCTION.match(name):
        return "vector_reduce"
    return "vector" if re.search(r"\bq\d", operands) else "float"


def _instruction(address: int, size: int, mnemonic: str, operands: str) -> Instruction:
    name = re.sub(r"\.[nw]$", "", mnemonic)
    kind = _kind(name, operands)
    registers = re.findall(r"\b(?:r1[0-5]|r\d|sb|sl|fp|ip|sp|lr|pc)\b", operands.partition("[")[0])
    numbers = [_REGISTERS[item] for item in registers]
    if kind in ("load_many", "store_many"):
        return _many(address, size, kind, name, operands)
    if kind in ("load", "store"):
        item = _memory(address, size, kind, operands)
        sets = 1 << numbers[0] if kind == "load" and numbers else 0
        return replace(item, sets=sets, words=1)
    if kind == "vector_gather":
        width = re.search(r"\.\w?(8|16|32|64)$", name)
        return Instruction(address, size, kind, words=128 // int(width.group(1)) if width else 16)
    if kind == "vector_memory":
        return replace(_memory(address, size, kind, operands), words=4)
    sets, words = 0, 0
    if kind in ("alu", "multiply", "divide") and not name.startswith(("cmp", "cmn", "tst", "teq")):
        sets = 1 << numbers[0] if numbers else 0
    elif kind == "long_multiply":
        sets = sum(1 << number for number in set(numbers[:2]))
    if kind in ("multiply", "long_multiply"):
        words = int(_ACCUMULATES.match(name) is not None)
    return Instruction(address, size, kind, words=words, sets=sets)


def _many(address: int, size: int, kind: str, name: str, operands: str) -> Instruction:
    """Return a load or store of several registers."""
    if name.startswith(("ldrd", "strd")):
        return replace(_memory(address, size, kind, operands), words=2)
    inside = operands[operands.find("{") + 1 : operands.find("}")]
    count = 0
    for part in inside.split(","):
        first, _, last = part.strip().partition("-")
        count += _REGISTERS[last.strip()] - _REGISTERS[first.strip()] + 1 if last else 1
    stack = name.startswith(("push", "pop"))
    base = _REGISTERS["sp"] if stack else _REGISTERS[operands.partition(",")[0].strip().rstrip("!")]
    down = -4 * count if name.startswith("ldmdb") else 0
    return Instruction(
        address, size, kind, words=count, base=base, offset=down, address_registers=1 << base
    )


def _memory(address: int, size: int, kind: str, operands: str) -> Instruction:
    """Return a load or store with its addressing."""
    match = re.search(r"\[([^\]]*)\](!?)(.*)", operands)
    if match is None:  # "ldr r0, 1234 <name>" and the like
        return Instruction(address, size, kind)
    parts = [part.strip() for part in match.group(1).split(",")]
    base = _REGISTERS[parts[0]]
    index, shift, offset = -1, 0, 0
    if len(parts) > 1 and parts[1].startswith("#"):
        offset = int(parts[1][1:], 0)
    elif len(parts) > 1:
        index = _REGISTERS[parts[1]]
        shift = int(parts[2].split("#")[1]) if len(parts) > 2 else 0
    uses = 1 << base | (1 << index if index >= 0 else 0)
    return Instruction(
        *(address, size, kind),
        base=base,
        index=index,
        shift=shift,
        offset=offset,
        address_registers=uses,
        writeback=bool(match.group(2)) or "#" in match.group(3),
        stores_with_index=kind == "store" and index >= 0,
    )


# ---- the trace -----------------------------------------------------------------------------------


class TraceParser:
    """Turns QEMU's register log into a trace, from one address on to another.

    Parameters
    ----------
    code : mapping
        As from `disassemble`.
    begin, end : collection of int, optional
        Addresses; the trace starts with the first step at one of `begin` and stops before the
        first later one at one of `end`. Without `begin` it starts at once.
    """

    def __init__(
        self,
        code: Mapping[int, Instruction],
        begin: Sequence[int] = (),
        end: Sequence[int] = (),
    ) -> None:
        self.done = False
        self._code = code
        self._begin, self._end = frozenset(begin), frozenset(end)
        self._running = not begin
        self._pending = b""
        self._end_address = -1
        self._numbers: dict[int, int] = {}
        self._instructions: list[Instruction] = []
        self._steps: list[int] = []
        self._reads: list[int] = []

    def feed(self, data: bytes) -> None:
        """Take the next piece of the log."""
        records = (self._pending + data).split(_RECORD)
        # The last one may go on in the next piece.
        self._pending = _RECORD + records.pop() if len(records) > 1 else records.pop()
        for record in records:
            if len(record) >= _PC_END and not self.done:
                self._take(record)

    def finish(self) -> Trace:
        """Return what was executed."""
        self.feed(_RECORD)
        return Trace(
            tuple(self._instructions),
            np.array(self._steps, dtype=np.int32),
            np.array(self._reads, dtype=np.int64),
            self._end_address,
        )

    def _take(self, record: bytes) -> None:
        address = int(record[_PC_END - 8 : _PC_END], 16)
        if not self._running:
            if address not in self._begin:
                return
            self._running = True
        elif address in self._end:
            self.done, self._end_address = True, address
            return
        number = self._numbers.get(address)
        if number is None:
            if address not in self._code:
                return  # an exception return's magic address
            number = self._numbers[address] = len(self._instructions)
            self._instructions.append(self._code[address])
        item = self._instructions[number]
        self._steps.append(number)
        self._reads.append(_read_address(item, record))


_LOADS = frozenset(("load", "load_many", "vector_memory"))


def _read_address(item: Instruction, record: bytes) -> int:
    if item.kind not in _LOADS or item.base < 0:
        return -1
    address = _register(record, item.base)
    if item.base == _REGISTERS["pc"]:
        address = (address + 4) & ~3
    if item.index >= 0:
        address += _register(record, item.index) << item.shift
    return (address + item.offset) & 0xFFFFFFFF


def _register(record: bytes, number: int) -> int:
    return int(record[number * _FIELD : number * _FIELD + 8], 16)


def trace_qemu(
    command: Sequence[str],
    folder: Path,
    parser: TraceParser,
    *,
    keep: Sequence[int] = (),
    finished: Callable[[], bool] = lambda: False,
    timeout_s: float = TIMEOUT_S,
) -> Trace:
    """Run QEMU with one instruction a block and its registers logged; return the trace.

    Parameters
    ----------
    command : sequence of str
        QEMU and its arguments.
    folder : Path
        Working directory.
    parser : TraceParser
    keep : sequence of int
        File descriptors the command needs.
    finished : callable
        Asked now and then; the run ends when it says so.
    timeout_s : float
        Ends a run that hangs.

    Raises
    ------
    ToolError
        If QEMU fails or does not come to the end of the trace.
    """
    with (folder / "messages.txt").open("w+") as messages:
        process = subprocess.Popen(
            # "cpu" logs the registers before a block; unchained, before every execution of it.
            [*command, *_single_step(command[0]), "-d", "cpu,nochain", "-D", "/dev/stdout"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=messages,
            pass_fds=tuple(keep),
        )
        assert process.stdout is not None
        end = time.monotonic() + timeout_s
        try:
            while not parser.done:
                ready, _, _ = select.select([process.stdout], [], [], 0.05)
                data = os.read(process.stdout.fileno(), 1 << 20) if ready else b""
                parser.feed(data)
                if (ready and not data) or (not ready and finished()):
                    break
                if time.monotonic() > end:
                    raise ToolError(f"the emulator's trace did not end within {timeout_s:.0f} s")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        trace = parser.finish()
        messages.seek(0)
        lines = messages.read().strip().splitlines() or ["no message"]
    if len(trace.steps) == 0:
        raise ToolError(f"{Path(command[0]).name} gave no trace: {lines[-1]}")
    return trace


def _single_step(qemu: str) -> tuple[str, ...]:
    """Return QEMU's option for one instruction a block, which 8.1 has renamed."""
    done = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\d+)\.(\d+)", done.stdout)
    if found is not None and (int(found.group(1)), int(found.group(2))) >= (8, 1):
        return ("-accel", "tcg,one-insn-per-tb=on")
    return ("-singlestep",)


def trace_runner(
    elf: Path, core: str, machine: Sequence[str], content: bytes, *, begin: str = "mw_scale_input"
) -> Trace:
    """Return the trace of the measuring runner over a file of samples.

    Parameters
    ----------
    elf : Path
        The runner that takes raw counts.
    core : str
    machine : sequence of str
        QEMU's arguments for the board.
    content : bytes
        Samples as the runner takes them, at most its chunk.
    begin : str
        Function whose first call the trace begins with.

    Returns
    -------
    Trace
        Up to the writing of the predictions.
    """
    qemu = require_tool("qemu-system-arm", "qemu-system-arm")
    symbols = symbols_of(elf)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "input.bin").write_bytes(content)
        first, last = symbols[begin], symbols["semihost_write"]
        parser = TraceParser(disassemble(elf, core), [first], [last])
        return trace_qemu(
            [
                *(qemu, *machine, "-serial", "none", "-kernel", str(elf)),
                *("-semihosting-config", "enable=on,target=native"),
            ],
            folder,
            parser,
        )


def symbols_of(elf: Path) -> dict[str, int]:
    """Return the addresses of an image's symbols, without the Thumb bit."""
    nm = require_tool("arm-none-eabi-nm", "binutils-arm-none-eabi")
    done = subprocess.run([nm, str(elf)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolError(f"{elf}: arm-none-eabi-nm failed: {done.stderr.strip()}")
    rows = (line.split() for line in done.stdout.splitlines())
    return {row[2]: int(row[0], 16) & ~1 for row in rows if len(row) == 3}


# ---- the cost ------------------------------------------------------------------------------------


def core_cycles(trace: Trace, core: str) -> Range:
    """Return the cycles of a trace on a core whose memory never makes it wait.

    Jumps are seen in the trace: a step that is not followed by the next address. A step that goes
    elsewhere without being able to is an interrupt.

    Raises
    ------
    ConfigError
        If the core has no timing.
    """
    timing = timing_of(core)
    costs = np.array([timing.cost(item) for item in trace.instructions])[trace.steps]
    address = trace.column(lambda item: item.address)
    follows = trace.column(lambda item: item.address + item.size)
    left = np.append(address[1:], trace.end if trace.end >= 0 else follows[-1]) != follows
    can_jump = trace.column(_can_jump) > 0
    cycles = costs[:, :2] + np.where((left & can_jump)[:, None], costs[:, 2:], 0.0)
    low, high = cycles.sum(axis=0) + timing.exception_cycles * int((left & ~can_jump).sum())
    if timing.pairs_loads:
        stalls = _pairing(trace)
        low, high = low + stalls, high + stalls + _unaligned(trace)
    return Range(float(low), float(high))


_JUMPS = frozenset(("branch", "call", "indirect", "table", "loop", "load_many", "load", "alu"))


def _can_jump(item: Instruction) -> bool:
    """Whether it may set the program counter (a pop of it, a move to it)."""
    return item.kind in _JUMPS and (
        item.kind not in ("load", "alu") or bool(item.sets & 1 << _REGISTERS["pc"])
    )


def _pairing(trace: Trace) -> float:
    """Return what neighbours add to or take from each other's cycles.

    "Load/store timings" of the Cortex-M3 and -M4 manuals: a load or store directly after a load
    whose result its address does not need takes one cycle less, unless the first one changes its
    base; an address computed by the instruction before costs one more.
    """
    kinds = {kind: trace.column(lambda i, k=kind: i.kind == k) > 0 for kind in ("load", "store")}  # type: ignore[misc]
    single = kinds["load"] | kinds["store"]
    many = trace.column(lambda item: item.kind in ("load_many", "store_many")) > 0
    computes = trace.column(lambda item: item.kind in ("alu", "multiply", "long_multiply")) > 0
    sets = trace.column(lambda item: item.sets).astype(np.int64)
    uses = trace.column(lambda item: item.address_registers).astype(np.int64)
    plain = kinds["load"] & (trace.column(lambda item: item.writeback) == 0)
    indexed = trace.column(lambda item: item.stores_with_index) > 0
    needs = (sets[:-1] & uses[1:]) != 0
    # A store with a constant offset takes one cycle anyway.
    shorter = plain[:-1] & (kinds["load"] | indexed)[1:] & ~needs
    stalled = computes[:-1] & (single | many)[1:] & needs
    return float(stalled.sum()) - float(shorter.sum())


def _unaligned(trace: Trace) -> int:
    """Return the cycles that wide instructions across words may cost the fetch.

    Not in the manuals. Measured by others on a Cortex-M4 (compendium.i-0.nl, "Alignment rules"):
    three or more in a row take one cycle more; here, one for every three.
    """
    address = trace.column(lambda item: item.address)
    size = trace.column(lambda item: item.size)
    crosses = (size == 4) & (address % 4 == 2)
    goes_on = np.append(False, crosses[:-1] & (address[1:] == address[:-1] + size[:-1])) & crosses
    begins = np.flatnonzero(crosses & ~goes_on)
    runs = np.diff(np.append(np.flatnonzero(crosses).searchsorted(begins), crosses.sum()))
    return int((runs // 3).sum())


@dataclass(frozen=True)
class FlashWaits:
    """Cycles a core waits for its flash: for instructions, and for constants."""

    code: float
    constants: float


def flash_waits(trace: Trace, timing: FlashTiming, begin: int, end: int) -> FlashWaits:
    """Return the cycles a core waits for instructions and constants in flash.

    The cache is followed over the trace twice and the second pass counted, so that it is warm. An
    instruction in the line in hand costs nothing; nothing is credited for fetching ahead.

    Parameters
    ----------
    trace : Trace
    timing : FlashTiming
    begin, end : int
        Addresses of the flash in the traced image.
    """
    size = timing.line_bytes
    first = trace.column(lambda item: item.address).astype(np.int64) // size
    last = trace.column(lambda item: item.address + item.size - 1).astype(np.int64) // size
    words = trace.column(lambda item: item.words).astype(np.int64)
    constant = (trace.reads >= begin) & (trace.reads < end)
    read_first = np.where(constant & timing.unified, trace.reads // size, -1)
    read_last = (trace.reads + 4 * words - 1) // size
    rows = np.stack([first, last, read_first, read_last], axis=1).tolist()
    cache = _Cache(timing)
    code = data = 0
    for _ in range(2):
        code = data = 0
        for fetch, tail, read, read_end in rows:
            code += cache.fetch(fetch)
            if tail != fetch:
                code += cache.fetch(tail)
            if read >= 0:
                data += sum(cache.access(line) for line in range(read, read_end + 1))
    if timing.unified:
        return FlashWaits(code * timing.miss_cycles, data * timing.miss_cycles)
    return FlashWaits(code * timing.miss_cycles, float(words[constant].sum()) * timing.data_cycles)


class _Cache:
    """A cache of lines, and the line the core's fetch has in hand."""

    def __init__(self, timing: FlashTiming) -> None:
        lines = timing.cache_bytes // timing.line_bytes
        self._ways = timing.ways
        self._sets: list[list[int]] = [[] for _ in range(lines // timing.ways)]
        self._in_hand = -1

    def fetch(self, line: int) -> bool:
        """Fetch an instruction from a line; return whether the core waits for it."""
        if line == self._in_hand:
            return False
        self._in_hand = line
        return self.access(line)

    def access(self, line: int) -> bool:
        """Look a line up, and bring it in where it is not there; return whether it was not."""
        if not self._sets:
            return True
        ways = self._sets[line % len(self._sets)]
        missed = line not in ways
        if not missed:
            ways.remove(line)
        elif len(ways) == self._ways:
            ways.pop(0)
        ways.append(line)
        return missed
