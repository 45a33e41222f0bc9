"""The streaming engine on this machine: the firmware's C sources behind a Python class.

The sources of `firmware/engine` and the model's tables are compiled once by the system's C
compiler, linked, and kept under `build/native/`, named by their content.
"""

import functools
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cffi
import numpy as np
from numpy.typing import NDArray

from myowave.compiler.derive import load_plan
from myowave.compiler.emit import content_hash, emit
from myowave.compiler.optimize import Optimize
from myowave.compiler.plan import Plan
from myowave.errors import ModelError, ToolError
from myowave.paths import build_dir, firmware_dir
from myowave.tflm import check_input

CFLAGS = ("-std=c11", "-O3", "-fPIC", "-fvisibility=hidden")

# Bound by its binary interface: these lines repeat mw_engine.h's types by size only, through
# functions of the shim, so a change of a structure cannot go unnoticed here.
_INTERFACE = """
size_t mw_native_engine_bytes(void);
size_t mw_native_state_bytes(void);
int mw_native_init(void *engine, void *state, size_t state_bytes);
void mw_native_reset(void *engine);
void mw_native_step(void *engine, const int8_t *in, int8_t *out);
void mw_native_step_block(void *engine, const int8_t *in, int8_t *out, size_t samples);
"""
# Samples a pass over the network's steps takes at most: enough to share the fixed work, few enough
# for the vectors of all to stay in the first cache.
BLOCK_SAMPLES = 64
_SHIM = f"""\
/* Entry points of the shared library. */
#include "model_data.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT size_t mw_native_engine_bytes(void) {{ return sizeof(mw_engine); }}
EXPORT size_t mw_native_state_bytes(void) {{
  return MW_MODEL_BLOCK_STATE_BYTES({BLOCK_SAMPLES}U);
}}
EXPORT int mw_native_init(void *engine, void *state, size_t state_bytes) {{
  return (int)mw_engine_init_block((mw_engine *)engine, &mw_model_data, state, state_bytes,
                                   {BLOCK_SAMPLES}U);
}}
EXPORT void mw_native_reset(void *engine) {{ mw_engine_reset((mw_engine *)engine); }}
EXPORT void mw_native_step(void *engine, const int8_t *in, int8_t *out) {{
  mw_engine_step((mw_engine *)engine, in, out);
}}
EXPORT void mw_native_step_block(void *engine, const int8_t *in, int8_t *out, size_t samples) {{
  mw_engine_step_block((mw_engine *)engine, in, out, samples);
}}
"""


class NativeEngine:
    """One running network; samples go in one at a time or many at once, with the same result.

    Parameters
    ----------
    tflite : bytes
        The int8 window model.
    optimize : bool or collection of str
        As for `compiler.load_plan`.
    portable : bool
        Whether to use the engine's portable kernels only, not those for this machine.

    Raises
    ------
    ModelError, UnsupportedModelError
        If the model cannot be read or streamed.
    ToolError
        If there is no C compiler, or it fails.
    """

    def __init__(self, tflite: bytes, *, optimize: Optimize = True, portable: bool = False) -> None:
        self.plan: Plan = load_plan(tflite, optimize=optimize)
        self._ffi = cffi.FFI()
        self._ffi.cdef(_INTERFACE)
        library = _build(self.plan, portable=portable)
        try:
            self._lib = cast(Any, self._ffi.dlopen(str(library)))
        except OSError as error:
            raise ToolError(f"{library}: cannot be loaded: {error}") from error
        self._engine = self._ffi.new("uint64_t[]", self._lib.mw_native_engine_bytes() // 8 + 1)
        state_bytes = self._lib.mw_native_state_bytes()
        self._state = self._ffi.new("uint32_t[]", state_bytes // 4)
        status = self._lib.mw_native_init(self._engine, self._state, state_bytes)
        if status != 0:
            raise ModelError(f"the engine refuses its own tables: mw_engine_init gave {status}")

    @property
    def receptive_field(self) -> int:
        """Samples one output depends on."""
        return self.plan.receptive_field

    @property
    def n_inputs(self) -> int:
        """Channels of the input."""
        return self.plan.n_inputs

    @property
    def n_outputs(self) -> int:
        """Channels of the output."""
        return self.plan.n_outputs

    def reset(self) -> None:
        """Forget every past sample."""
        self._lib.mw_native_reset(self._engine)

    def step(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """Take one (channels,) int8 sample; return the (outputs,) int8 output at it.

        Raises
        ------
        ModelError
            If `x` is not an int8 array of that shape.
        """
        x = check_input(np.asarray(x)[np.newaxis], self.n_inputs)
        out = np.empty((1, self.n_outputs), np.int8)
        self._lib.mw_native_step(self._engine, self._pointer(x), self._pointer(out))
        row: NDArray[np.int8] = out[0]
        return row

    def run(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """Take (n, channels) int8 samples after those taken so far; return (n, outputs).

        Raises
        ------
        ModelError
            If `x` is not an int8 array of that shape.
        """
        x = check_input(x, self.n_inputs)
        out = np.empty((len(x), self.n_outputs), np.int8)
        self._lib.mw_native_step_block(self._engine, self._pointer(x), self._pointer(out), len(x))
        return out

    def _pointer(self, array: NDArray[np.int8]) -> Any:
        return self._ffi.from_buffer("int8_t[]", array.data)


@dataclass(frozen=True)
class NativeSpeed:
    """How fast the engine runs on one core of this machine.

    Attributes
    ----------
    samples_per_second : float
        Processor time, of the fastest of several runs: what else the machine does only ever slows a
        run down.
    times_real_time : float
        For samples that come at 1 kHz.
    macs_per_sample : int
        Multiply-accumulates of the network's convolutions.
    state_bytes : int
        Delay lines, scratch vectors and positions.
    """

    samples_per_second: float
    times_real_time: float
    macs_per_sample: int
    state_bytes: int


def measure_native(tflite: bytes, *, samples: int = 20_000, runs: int = 5) -> NativeSpeed:
    """Time the engine on random samples; raises as `NativeEngine` does."""
    engine = NativeEngine(tflite)
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (samples, engine.n_inputs)).astype(np.int8)
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        engine.run(x)
        seconds.append(time.process_time() - start)
    rate = samples / min(seconds)
    return NativeSpeed(rate, rate / 1000.0, engine.plan.macs, engine.plan.state_bytes)


def _build(plan: Plan, *, portable: bool) -> Path:
    """Return the shared library for `plan`, compiling it unless it is there.

    The engine, which takes the longest, is compiled once and linked to the tables of every plan.
    """
    compiler = os.environ.get("CC") or "cc"
    found = shutil.which(compiler)
    if found is None:
        raise ToolError(
            f"no C compiler '{compiler}' found: install gcc or clang, or name one in CC"
        )
    sources = firmware_dir() / "engine"
    machine, features = _machine_flags(found)
    command = [found, *CFLAGS, *machine, f"-I{sources}"]
    if portable:
        command.append("-DMW_KERNELS_PORTABLE")
    identity = content_hash(
        *(path.read_bytes() for path in sorted([*sources.glob("*.h"), *sources.glob("*.c")])),
        " ".join(command).encode(),
        features,
    )
    engine = build_dir("native", "objects") / f"{identity}.o"
    if not engine.exists():
        _compile([*command, "-c", str(sources / "mw_engine.c")], engine)
    header, source = emit(plan)
    texts = {"model_data.h": header, "model_data.c": source, "shim.c": _SHIM}
    identity = content_hash(identity.encode(), *(text.encode() for text in texts.values()))
    library = build_dir("native") / f"{identity}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=library.parent) as name:
            for file, text in texts.items():
                (Path(name) / file).write_text(text)
            inputs = [f"{name}/model_data.c", f"{name}/shim.c", str(engine)]
            _compile([*command, f"-I{name}", "-shared", *inputs], library)
    return library


def _compile(command: list[str], target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        made = Path(name) / target.name
        done = subprocess.run(
            [*command, "-o", str(made)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no message"]
            reason = next((line for line in lines if "error:" in line), lines[0])
            raise ToolError(f"{Path(command[0]).name} failed to compile the engine: {reason}")
        # Two processes may build the same file at once: whoever comes last wins, whole.
        made.replace(target)


@functools.cache
def _machine_flags(compiler: str) -> tuple[tuple[str, ...], bytes]:
    """Return the flags for this very processor, and what tells it from others in a shared cache."""
    flags = ("-march=native",)
    done = subprocess.run(
        [compiler, *flags, "-dM", "-E", "-x", "c", "/dev/null"], capture_output=True, check=False
    )
    # The predefined macros name the instruction set. Not every compiler knows the flag.
    return (flags, done.stdout) if done.returncode == 0 else ((), b"")
