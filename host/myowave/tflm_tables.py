"""C++ tables for a firmware that runs the window model by tflite-micro: `python -m` writes them.

The file itself as an array, the operators its interpreter needs and no others, and an arena whose
size was measured.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from myowave.compiler.derive import Derivation, derive
from myowave.errors import ModelError, MyowaveError, ToolError, UnsupportedModelError
from myowave.tflm import ARENA_MAX

# tflite::MicroMutableOpResolver's method for each operator the streaming compiler takes.
_ADD = {
    "ADD": "AddAdd",
    "CONCATENATION": "AddConcatenation",
    "CONV_2D": "AddConv2D",
    "EXPAND_DIMS": "AddExpandDims",
    "FULLY_CONNECTED": "AddFullyConnected",
    "LOGISTIC": "AddLogistic",
    "MUL": "AddMul",
    "QUANTIZE": "AddQuantize",
    "RELU": "AddRelu",
    "RELU6": "AddRelu6",
    "RESHAPE": "AddReshape",
    "SLICE": "AddSlice",
    "SPLIT": "AddSplit",
    "SPLIT_V": "AddSplitV",
    "SQUEEZE": "AddSqueeze",
    "STRIDED_SLICE": "AddStridedSlice",
    "TANH": "AddTanh",
}
ARENA_STEP = 256
# What kernels of a target may want besides: those of CMSIS-NN took 0.1 KB more on a 50 KB arena.
ARENA_MARGIN = 1 / 16

_PRINT_ALLOCATIONS = """
import sys
from tflite_micro.python.tflite_micro import runtime
model = sys.stdin.buffer.read()
runtime.Interpreter.from_bytes(model, arena_size=int(sys.argv[1])).print_allocations()
"""
_HEADER = """\
/* Written by `python -m myowave.tflm_tables`; do not edit. Network {sha}. */
#ifndef MW_TFLM_TABLES_H
#define MW_TFLM_TABLES_H

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

/* {measured} bytes measured on a 64-bit host with reference kernels, and {percent:.2f} %. */
#define MW_TFLM_ARENA_BYTES {arena}u
#define MW_TFLM_WINDOW {window}u /* samples of the input tensor, the newest last */
#define MW_TFLM_OUTPUT_TENSORS {outputs}u
#define MW_TFLM_OPERATORS {operators}u

alignas(16) extern const unsigned char mw_tflm_model[];

inline TfLiteStatus mw_tflm_add_operators(
    tflite::MicroMutableOpResolver<MW_TFLM_OPERATORS> &resolver) {{
{adds}
    return kTfLiteOk;
}}

#endif
"""
_SOURCE = """\
/* Written by `python -m myowave.tflm_tables`; do not edit. Network {sha}. */
#include "tflm_tables.h"

alignas(16) const unsigned char mw_tflm_model[] = {{
{rows}
}};
"""


def measured_arena(tflite: bytes) -> int:
    """Return the smallest arena, in steps of 256 bytes, with which tflite-micro takes a model.

    What it says it has used is the start: planning wants some bytes more for a while.

    Parameters
    ----------
    tflite : bytes
        The window model.

    Raises
    ------
    ToolError
        If tflite-micro is not installed.
    ModelError
        If it does not take the model.
    """
    used = _arena_used(tflite, ARENA_MAX)
    assert used is not None
    arena = -(-used // ARENA_STEP) * ARENA_STEP
    while _arena_used(tflite, arena) is None:
        arena += ARENA_STEP
    return arena


def _arena_used(tflite: bytes, arena: int) -> int | None:
    """Return the bytes of an arena that tflite-micro uses, None when it is too small."""
    # In a process of its own: C++ prints the figure, and with too small an arena may crash.
    result = subprocess.run(
        [sys.executable, "-c", _PRINT_ALLOCATIONS, str(arena)],
        input=tflite,
        capture_output=True,
        check=False,
    )
    said = (result.stdout + result.stderr).decode(errors="replace")
    if "No module named" in said:
        raise ToolError("measuring the arena needs tflite-micro: pip install '.[train]'")
    found = re.search(r"Arena allocation total (\d+) bytes", said)
    if result.returncode == 0 and found is not None:
        return int(found[1])
    if arena == ARENA_MAX:
        last = said.strip().splitlines()[-1:] or ["no output"]
        raise ModelError(f"tflite-micro does not take the model: {last[0]}")
    return None


def tflm_tables(tflite: bytes) -> dict[str, str]:
    """Return the C++ tables of a window model, by file name.

    Parameters
    ----------
    tflite : bytes
        The int8 window model.

    Returns
    -------
    dict
        `tflm_tables.h` and `tflm_tables.cc`.

    Raises
    ------
    ModelError, UnsupportedModelError
        If the model is not one the streaming compiler takes: both backends take the same.
    ToolError
        If tflite-micro is not installed.
    """
    derivation = derive(tflite)
    sha = derivation.plan.sha256[:16]
    measured = measured_arena(tflite)
    arena = (int(measured * (1 + ARENA_MARGIN)) + 15) // 16 * 16
    operators = _operators(derivation)
    adds = "\n".join(
        f"    if (resolver.{_ADD[kind]}() != kTfLiteOk) {{\n        return kTfLiteError;\n    }}"
        for kind in operators
    )
    rows = "\n".join(
        "    " + ", ".join(f"0x{byte:02x}" for byte in tflite[at : at + 16]) + ","
        for at in range(0, len(tflite), 16)
    )
    header = _HEADER.format(
        sha=sha,
        measured=measured,
        percent=100 * ARENA_MARGIN,
        arena=arena,
        window=derivation.plan.window,
        outputs=len(derivation.graph.outputs),
        operators=len(operators),
        adds=adds,
    )
    return {"tflm_tables.h": header, "tflm_tables.cc": _SOURCE.format(sha=sha, rows=rows)}


def _operators(derivation: Derivation) -> list[str]:
    """Return each kind of operator once, by name."""
    kinds = sorted({operator.kind for operator in derivation.graph.operators})
    for kind in kinds:
        if kind not in _ADD:
            raise UnsupportedModelError(f"operator {kind}: no entry for tflite-micro's resolver")
    return kinds


def main(arguments: list[str] | None = None) -> int:
    """Write the tables of a model directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="model directory")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the tables")
    options = parser.parse_args(arguments)
    try:
        tflite = (options.model / "model.tflite").read_bytes()
        tables = tflm_tables(tflite)
    except (MyowaveError, OSError) as error:
        print(f"myowave: error: {options.model}: {error}", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        path = options.out / name
        # An equal file stays, and with it what was built from it.
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
