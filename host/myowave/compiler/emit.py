"""Write a plan as the C tables of `firmware/engine/mw_engine.h`, and as JSON for people."""

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.compiler.arithmetic import (
    INT8_MAX,
    INT8_MIN,
    Multiplier,
    Requantization,
    clamp_table,
    folded,
)
from myowave.compiler.derive import load_plan
from myowave.compiler.optimize import Optimize
from myowave.compiler.plan import (
    BLOCK,
    Add,
    Conv,
    Copy,
    Lookup,
    Mul,
    Plan,
    Taps,
    describe,
    in_blocks,
)
from myowave.compiler.selftest import SEED, self_test
from myowave.errors import ModelError

MODEL_FORMAT = 3  # MW_MODEL_FORMAT
_LINE = 96
# The layouts of weights in mw_engine.h: condition, MW_COLUMN_BLOCK, MW_COLUMN_GROUP,
# MW_FOLDED_FACTOR.
_LAYOUTS = (("#ifdef MW_BYTE_WEIGHTS", 16, 16, 1), ("#else", 8, 2, 2))
_WEIGHT_TYPES = ("<i1", "<i2")  # mw_weight
IDENTITY = clamp_table(INT8_MIN, INT8_MAX)


def compile_model(
    tflite: Path,
    out: Path,
    card: Mapping[str, Any] | None = None,
    *,
    optimize: Optimize = True,
    state_limit_bytes: int | None = None,
) -> Plan:
    """Compile a `.tflite` file into `model_data.h`, `model_data.c` and `plan.json`.

    Nothing is written unless the whole network compiles.

    Parameters
    ----------
    tflite : Path
        The int8 window model.
    out : Path
        Folder for the files, made if absent.
    card : mapping, optional
        The model card (content of `model.json`). With one, `mw_model_info` is emitted: what a
        device says about its network.
    optimize, state_limit_bytes
        As for `load_plan`.

    Returns
    -------
    Plan
        What was written.

    Raises
    ------
    ModelError
        If the file is not a `.tflite` file or the card belongs to another one.
    UnsupportedModelError
        If the engine cannot stream the network, or it needs more state than the limit.
    """
    return compile_tflite(
        tflite.read_bytes(),
        out,
        card,
        name=str(tflite),
        optimize=optimize,
        state_limit_bytes=state_limit_bytes,
    )


def compile_tflite(
    tflite: bytes,
    out: Path,
    card: Mapping[str, Any] | None = None,
    *,
    name: str = "model",
    optimize: Optimize = True,
    state_limit_bytes: int | None = None,
) -> Plan:
    """Compile as `compile_model` does, from a file's content; `name` is for messages."""
    try:
        plan = load_plan(tflite, optimize=optimize, state_limit_bytes=state_limit_bytes)
        header, source = emit(plan, card)
    except ModelError as error:
        raise type(error)(f"{name}: {error}") from error
    out.mkdir(parents=True, exist_ok=True)
    (out / "model_data.h").write_text(header)
    (out / "model_data.c").write_text(source)
    (out / "plan.json").write_text(json.dumps(plan_json(plan), indent=2) + "\n")
    return plan


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain values: totals and one row a step."""
    return {
        "tflite_sha256": plan.sha256,
        "inputs": plan.n_inputs,
        "outputs": plan.n_outputs,
        "receptive_field": plan.receptive_field,
        "window": plan.window,
        "macs_per_sample": plan.macs,
        "state_bytes": plan.state_bytes,
        "scratch_bytes": plan.scratch_bytes,
        "line_bytes": plan.line_bytes,
        "input": vars(plan.input_scale),
        "output": [vars(scale) for scale in plan.output_scales],
        "steps": [
            {
                "step": kind,
                "tensor": name,
                "inputs": reads,
                "shape": shape,
                "macs": macs,
                "state_bytes": state,
            }
            for kind, name, reads, shape, macs, state in describe(plan)
        ],
    }


def emit(plan: Plan, card: Mapping[str, Any] | None = None) -> tuple[str, str]:
    """Return the text of `model_data.h` and `model_data.c`."""
    tables, source = _source(plan)
    if card is None:
        return _header(plan, ""), source
    info = _info(plan, card)
    return _header(plan, _device_header(plan, tables)), source + info


def _device_header(plan: Plan, tables: "_Tables") -> str:
    """Return what only firmware needs of `model_data.h`."""
    test = self_test(plan)
    layouts = "".join(
        f"{condition}\n#define MW_MODEL_TABLES_CRC 0x{crc:08x}U\n"
        for (condition, *_), crc in zip(_LAYOUTS, tables.checksums(), strict=True)
    )
    return f"""
/* The model card's part a device tells its host. */
#define MW_MODEL_HAS_INFO 1
extern const mw_info mw_model_info;

/* For the self-test: CRC-32 of the convolutions' weights and rows and of the lookup tables, and of
 * the outputs for so many pseudo-random inputs. */
{layouts}#endif
#define MW_MODEL_SELF_TEST_SEED 0x{SEED:08x}U
#define MW_MODEL_SELF_TEST_SAMPLES {test.samples}U
#define MW_MODEL_SELF_TEST_CRC 0x{test.crc:08x}U
"""


def _header(plan: Plan, info: str) -> str:
    scales = ", ".join(_c_float(scale.scale) for scale in plan.output_scales)
    zero_points = ", ".join(str(scale.zero_point) for scale in plan.output_scales)
    return f"""/* Written by `myowave compile`; do not edit. Network {plan.sha256[:16]}. */
#ifndef MW_MODEL_DATA_H
#define MW_MODEL_DATA_H

#include "mw_engine.h"

#define MW_MODEL_SHA256 "{plan.sha256}"
#define MW_MODEL_INPUTS {plan.n_inputs}
#define MW_MODEL_OUTPUTS {plan.n_outputs}
#define MW_MODEL_RECEPTIVE_FIELD {plan.receptive_field}
#define MW_MODEL_BLOCK_STATE_BYTES(block) \\
  MW_STATE_BYTES({plan.n_lines}U, {plan.scratch_values}U, {plan.line_bytes}U, block)
#define MW_MODEL_STATE_BYTES MW_MODEL_BLOCK_STATE_BYTES(1U)
#define MW_MODEL_MACS {plan.macs}

/* real = (q - zero point) * scale, for the caller; nothing in the engine computes with it. */
#define MW_MODEL_INPUT_SCALE {_c_float(plan.input_scale.scale)}
#define MW_MODEL_INPUT_ZERO_POINT ({plan.input_scale.zero_point})
#define MW_MODEL_OUTPUT_SCALES {{{scales}}}
#define MW_MODEL_OUTPUT_ZERO_POINTS {{{zero_points}}}

#ifdef __cplusplus
extern "C" {{
#endif

extern const mw_model mw_model_data;
{info}
#ifdef __cplusplus
}}
#endif

#endif /* MW_MODEL_DATA_H */
"""


class _Tables:
    """The rows of each table, and the constants they point to."""

    def __init__(self) -> None:
        self.constants: list[str] = []
        self.rows: dict[str, list[str]] = {
            kind: [] for kind in ("step", "taps", "conv", "add", "sum", "mul")
        }
        self.lookups: dict[tuple[int, ...], int] = {}
        # What a core finds in memory, for each layout of `_LAYOUTS`.
        self.memory = [bytearray() for _ in _LAYOUTS]

    def checksums(self) -> list[int]:
        """Return the CRC-32 of convolutions and lookup tables in each layout."""
        tables = b"".join(np.array(table, np.int8).tobytes() for table in self.lookups)
        return [zlib.crc32(memory + tables) for memory in self.memory]

    def weights(self, matrix: NDArray[np.int64], folded: bool) -> str:
        """Add a convolution's weights in every layout and return their name."""
        name = f"weights_{len(self.constants)}"
        rows, columns = in_blocks(len(matrix), BLOCK), matrix.shape[1]
        text = ""
        for layout, (condition, column_block, group, factor) in enumerate(_LAYOUTS):
            padded = np.zeros((rows, in_blocks(columns, column_block)), np.int64)
            padded[: len(matrix), :columns] = (factor if folded else 1) * matrix
            # Blocks of rows; in each, groups of columns; of each group, the block's rows.
            packed = padded.reshape(-1, BLOCK, padded.shape[1] // group, group)
            numbers = packed.transpose(0, 2, 1, 3).ravel()
            self.memory[layout] += numbers.astype(_WEIGHT_TYPES[layout]).tobytes()
            text += (
                f"{condition}\nstatic _Alignas(4) const mw_weight {name}[{numbers.size}] = "
                f"{{\n{_wrapped(map(int, numbers))}}};\n"
            )
        self.constants.append(f"{text}#endif\n")
        return name

    def add_rows(
        self, biases: NDArray[np.int32], scales: Sequence[Requantization], folded: bool
    ) -> None:
        """Note the numbers of a convolution's rows for the checksums."""
        rows = np.zeros((in_blocks(len(scales), BLOCK), 4), np.int64)
        rows[:, 3] = 1
        rows[: len(scales)] = [
            (bias, scale.offset, scale.mantissa, scale.shift)
            for bias, scale in zip(biases, scales, strict=True)
        ]
        for layout, (*_, factor) in enumerate(_LAYOUTS):
            scaled = rows.copy()
            scaled[:, 0] *= factor if folded else 1
            # Blocks of rows; in each, one array a column.
            blocks = scaled.reshape(-1, BLOCK, 4).transpose(0, 2, 1) & 0xFFFFFFFF
            self.memory[layout] += blocks.astype("<u4").tobytes()

    def structures(self, ctype: str, stem: str, rows: Sequence[str]) -> str:
        """Add an array of structures and return its name."""
        name = f"{stem}_{len(self.constants)}"
        body = "".join(f"  {row},\n" for row in rows)
        self.constants.append(f"static const {ctype} {name}[{len(rows)}] = {{\n{body}}};\n")
        return name

    def lookup(self, table: Sequence[int]) -> int:
        """Return the index of a 256-entry table, equal tables once."""
        return self.lookups.setdefault(tuple(table), len(self.lookups))


def _source(plan: Plan) -> tuple[_Tables, str]:
    tables = _Tables()
    line_offset = 0
    for step in plan.steps:
        a = b = index = 0
        count = step.dst.width
        match step:
            case Taps():
                kind, index, a = "TAPS", len(tables.rows["taps"]), plan.address(step.src)
                tables.rows["taps"].append(
                    f"{{{line_offset}U, {step.src.width}U, {step.taps}U, {step.dilation}U, "
                    f"{step.fill}}}"
                )
                line_offset += step.state_bytes
            case Conv():
                kind, index = "CONV", len(tables.rows["conv"])
                a, lead, _ = plan.conv_source(step)
                tables.rows["conv"].append(_conv_row(tables, step, lead))
            case Add(linear=None):
                kind, index = "ADD", len(tables.rows["add"])
                a, b = plan.address(step.a), plan.address(step.b)
                scales = ", ".join(
                    f"{{{m.mantissa}, {m.shift}}}"
                    for m in (step.parameters.narrow, step.parameters.output)
                )
                tables.rows["add"].append(
                    f"{{{scales}, {step.a_offset}, {step.b_offset}, {step.zero_point}}}"
                )
            case Add(linear=linear):
                assert linear is not None
                kind, index = "SUM", len(tables.rows["sum"])
                a, b = plan.address(step.a), plan.address(step.b)
                tables.rows["sum"].append(
                    f"{{{linear.a}, {linear.b}, {linear.offset}, {linear.shift}}}"
                )
            case Mul():
                kind, index = "MUL", len(tables.rows["mul"])
                a, b = plan.address(step.a), plan.address(step.b)
                scale = _scale(step.folded, step.multiplier, step.zero_point, step.product_range)
                tables.rows["mul"].append(
                    f"{{{{{scale.mantissa}, {_c_int(scale.offset)}, {scale.shift}}}, "
                    f"{step.a_offset}, {step.b_offset}, {int(step.folded)}}}"
                )
            case Lookup():
                kind, index, a = "TABLE", tables.lookup(step.table), plan.address(step.src)
            case Copy():
                kind, a = "COPY", plan.address(step.src)
            case _:
                raise AssertionError(step)
        tables.rows["step"].append(
            f"{{MW_STEP_{kind}, {index}U, {a}U, {b}U, {plan.address(step.dst)}U, {count}U}}"
        )
    return tables, _assemble(plan, tables)


def _conv_row(tables: _Tables, step: Conv, lead: int) -> str:
    """Return a row of mw_conv; `lead` columns of zero weights come before the view's own."""
    rows, columns = step.weights.shape
    matrix = np.zeros((rows, lead + columns), np.int64)
    matrix[:, lead:] = step.weights
    weights = tables.weights(matrix, step.folded)
    biases = [_c_int(int(bias)) for bias in step.bias]
    if step.folded:
        biases = [f"MW_FOLDED({bias})" for bias in biases]
    scales = [
        _scale(step.folded, multiplier, zero_point, step.sum_range(row))
        for row, (multiplier, zero_point) in enumerate(
            zip(step.multipliers, step.zero_points, strict=True)
        )
    ]
    blank = in_blocks(rows) - rows
    columns_of_rows = (
        biases + ["0"] * blank,
        [_c_int(scale.offset) for scale in scales] + ["0"] * blank,
        [str(scale.mantissa) for scale in scales] + ["0"] * blank,
        [str(scale.shift) for scale in scales] + ["1"] * blank,
    )
    blocks = []
    for i in range(0, rows, BLOCK):
        arrays = ", ".join(f"{{{', '.join(c[i : i + BLOCK])}}}" for c in columns_of_rows)
        table = tables.lookup(step.tables[i] or IDENTITY)
        blocks.append(f"{{{arrays}, tables[{table}] + {-INT8_MIN}}}")
    tables.add_rows(step.bias, scales, step.folded)
    name = tables.structures("mw_rows", "rows", blocks)
    plain = all(table in (None, IDENTITY) for table in step.tables)
    return f"{{{weights}, {name}, MW_COLUMNS({lead + columns}U), {int(step.folded)}, {int(plain)}}}"


def _scale(
    short: bool, multiplier: Multiplier, zero_point: int, limits: tuple[int, int]
) -> Requantization:
    if not short:
        return Requantization(multiplier.mantissa, zero_point, multiplier.shift)
    scale = folded(multiplier, zero_point, *limits)
    assert scale is not None
    return scale


def _assemble(plan: Plan, tables: _Tables) -> str:
    parts = [
        f"/* Written by `myowave compile`; do not edit. Network {plan.sha256[:16]}. */\n"
        '#include "model_data.h"\n'
    ]
    names = dict.fromkeys(("step", "taps", "conv", "add", "sum", "mul", "table"), "NULL")
    if tables.lookups:
        rows = ",\n".join(f"{{{_wrapped(table)}}}" for table in tables.lookups)
        parts.append(f"static const int8_t tables[{len(tables.lookups)}][256] = {{\n{rows}}};\n")
        names["table"] = "tables"
    parts += tables.constants
    for kind, rows_of_kind in tables.rows.items():
        if rows_of_kind:
            rows = "".join(f"  {row},\n" for row in rows_of_kind)
            name = f"{kind}_rows"
            parts.append(f"static const mw_{kind} {name}[{len(rows_of_kind)}] = {{\n{rows}}};\n")
            names[kind] = name
    count = {kind: len(rows) for kind, rows in tables.rows.items()}
    parts.append(f"""const mw_model mw_model_data = {{
  .format = {MODEL_FORMAT}U,
  .n_inputs = {plan.n_inputs}U,
  .n_outputs = {plan.n_outputs}U,
  .input = {plan.address(plan.input)}U,
  .output = {plan.address(plan.output)}U,
  .n_steps = {count["step"]}U,
  .n_taps = {count["taps"]}U,
  .n_convs = {count["conv"]}U,
  .n_adds = {count["add"]}U,
  .n_sums = {count["sum"]}U,
  .n_muls = {count["mul"]}U,
  .n_tables = {len(tables.lookups)}U,
  .receptive_field = {plan.receptive_field}U,
  .scratch_values = {plan.scratch_values}U,
  .line_bytes = {plan.line_bytes}U,
  .state_bytes = MW_MODEL_STATE_BYTES,
  .steps = {names["step"]},
  .taps = {names["taps"]},
  .convs = {names["conv"]},
  .adds = {names["add"]},
  .sums = {names["sum"]},
  .muls = {names["mul"]},
  .tables = {names["table"]},
}};
""")
    return "\n".join(parts)


def _c_int(number: int) -> str:
    """Return an int32_t as C; INT32_MIN has no literal of its own."""
    return str(number) if number != -(2**31) else "(-2147483647 - 1)"


def _c_float(number: float) -> str:
    """Return a float as C, exactly."""
    return f"{np.float32(number):.9e}F"


def _wrapped(numbers: Iterable[int]) -> str:
    """Return numbers as lines of C."""
    lines = []
    line = " "
    for number in numbers:
        text = f" {_c_int(number)},"
        if len(line) + len(text) > _LINE:
            lines.append(line)
            line = " "
        line += text
    return "\n".join([*lines, line, ""])


def _c_string(text: str) -> str:
    """Return a C string literal; bytes outside printable ASCII as octal escapes."""
    escaped = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{escaped}"'


def _info(plan: Plan, card: Mapping[str, Any]) -> str:
    """Return the definition of `mw_model_info` from a model card that matches the plan."""

    def entry(key: str) -> Any:
        if key not in card:
            raise ModelError(f"model card lacks '{key}'")
        return card[key]

    if entry("tflite_sha256") != plan.sha256:
        raise ModelError(
            f"model card is for network {str(card['tflite_sha256'])[:16]}, this one is "
            f"{plan.sha256[:16]}"
        )
    muscles = [str(muscle) for muscle in entry("muscles")]
    multipliers = [int(m) for m in entry("input_multipliers")]
    output = {(scale.scale, scale.zero_point) for scale in plan.output_scales}
    if len(muscles) != plan.n_outputs:
        raise ModelError(
            f"model card names {len(muscles)} muscles, the network has {plan.n_outputs}"
        )
    if len(multipliers) != plan.n_inputs:
        raise ModelError(
            f"model card has {len(multipliers)} input multipliers, the network has "
            f"{plan.n_inputs} inputs"
        )
    if len(output) != 1:
        raise ModelError("outputs differ in quantization; a device reports one scale for all")
    if int(entry("input_zero_point")) != plan.input_scale.zero_point:
        raise ModelError(
            f"model card has input zero point {card['input_zero_point']}, the network "
            f"{plan.input_scale.zero_point}"
        )
    if not 1 <= int(entry("input_shift")) <= 30 or any(abs(m) > 32767 for m in multipliers):
        raise ModelError(
            "model card's input scaling does not fit 16-bit multipliers and shift 1-30"
        )
    ((scale, zero_point),) = output
    digest = ", ".join(f"0x{byte:02x}" for byte in bytes.fromhex(plan.sha256))
    names = ", ".join(_c_string(muscle) for muscle in muscles)
    return f"""
static const char *const muscle_names[{len(muscles)}] = {{{names}}};
static const int16_t input_multipliers[{len(multipliers)}] = {{\
{", ".join(str(m) for m in multipliers)}}};

const mw_info mw_model_info = {{
  .sha256 = {{{digest}}},
  .name = {_c_string(str(entry("name")))},
  .imu = {_c_string(str(entry("imu")))},
  .muscles = muscle_names,
  .input =
      {{
          .multipliers = input_multipliers,
          .channels = {len(multipliers)}U,
          .shift = {int(entry("input_shift"))}U,
          .zero_point = {plan.input_scale.zero_point},
      }},
  .output_scale = {_c_float(scale)},
  .output_zero_point = {zero_point},
  .n_muscles = {len(muscles)}U,
  .rate_hz = {int(entry("rate_hz"))}U,
  .receptive_field = {plan.receptive_field}U,
}};
"""


def content_hash(*parts: bytes) -> str:
    """Return a short hash of `parts`, for the names of cached builds."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:32]
