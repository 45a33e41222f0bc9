"""Write the C header and the protocol table from `wire.toml`.

    python -m myowave.wire.generate

writes `firmware/app/wire_format.h` and `firmware/app/PROTOCOL.md`.
"""

from pathlib import Path

from myowave.paths import REPOSITORY
from myowave.wire.definition import CRC_SIZE, DEFINITION, HEADER_SIZE, Definition, Field, FrameSpec

APP = REPOSITORY / "firmware" / "app"
C_TYPES = {
    "u8": "uint8_t",
    "i8": "int8_t",
    "u16": "uint16_t",
    "i16": "int16_t",
    "u32": "uint32_t",
    "u64": "uint64_t",
    "f32": "float",
}


def c_header(definition: Definition) -> str:
    """Return the content of `wire_format.h`."""
    lines = [
        "/* The wire protocol's constants and fixed-size frame heads, packed and unpacked.",
        " *",
        " * Generated from host/myowave/wire/wire.toml by `python -m myowave.wire.generate`:",
        " * do not edit. PROTOCOL.md describes the frames. */",
        "#ifndef MW_WIRE_FORMAT_H",
        "#define MW_WIRE_FORMAT_H",
        "",
        "#include <stdint.h>",
        "#include <string.h>",
        "",
    ]
    limits = {
        **{name.upper(): value for name, value in definition.limits.items()},
        "HEADER_SIZE": HEADER_SIZE,
        "CRC_SIZE": CRC_SIZE,
        "MAX_FRAME": definition.max_frame,
        "MAX_ENCODED": definition.max_encoded,
    }
    lines += [f"#define MW_WIRE_{name} {value}u" for name, value in limits.items()]
    for prefix, values in (
        ("STATUS", definition.status),
        ("LEVEL", definition.level),
        ("MODE", definition.mode),
        ("SELF_TEST", definition.self_test),
        ("RESET_CAUSE", definition.reset_cause),
        ("TURN", definition.turn),
        ("DATA_FLAG", definition.data_flags),
        ("TYPE", {spec.name: spec.type for spec in definition.frames.values()}),
    ):
        lines.append("")
        lines += [
            f"#define MW_WIRE_{prefix}_{name.upper()} {value}u" for name, value in values.items()
        ]
    lines += ["", *_SCALAR_HELPERS.splitlines()]
    for spec in definition.frames.values():
        lines += _frame(spec)
    lines += ["", "#endif", ""]
    return "\n".join(lines)


_SCALAR_HELPERS = """\
static inline uint8_t *mw_wire_put_u(uint8_t *at, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> (8u * i));
    }
    return at + bytes;
}

static inline uint64_t mw_wire_get_u(const uint8_t *at, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)at[i] << (8u * i);
    }
    return value;
}

static inline uint8_t *mw_wire_put_f32(uint8_t *at, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return mw_wire_put_u(at, bits, 4u);
}

static inline float mw_wire_get_f32(const uint8_t *at) {
    uint32_t bits = (uint32_t)mw_wire_get_u(at, 4u);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A length byte and the text, which is cut at 255 bytes. */
static inline uint8_t *mw_wire_put_string(uint8_t *at, const char *text) {
    size_t length = strlen(text);
    if (length > 255u) {
        length = 255u;
    }
    *at = (uint8_t)length;
    memcpy(at + 1, text, length);
    return at + 1 + length;
}"""


def _frame(spec: FrameSpec) -> list[str]:
    if not spec.head:
        return []
    # A board sends what starts there and receives the rest: only that half is generated.
    size = f"MW_WIRE_{spec.name.upper()}_HEAD_SIZE"
    lines = ["", f"/* {spec.doc} */", f"#define {size} {spec.head_size}u", "", "typedef struct {"]
    for field in spec.head:
        comment = f" /* {field.doc} */" if field.doc else ""
        if field.type == "bytes":
            lines.append(f"    uint8_t {field.name}[{field.length}];{comment}")
        else:
            lines.append(f"    {C_TYPES[field.type]} {field.name};{comment}")
    lines += [f"}} mw_wire_{spec.name};", ""]
    return lines + (_put(spec) if spec.sender == "board" else _get(spec))


def _put(spec: FrameSpec) -> list[str]:
    lines = [
        f"static inline uint8_t *mw_wire_put_{spec.name}(uint8_t *at, "
        f"const mw_wire_{spec.name} *head) {{"
    ]
    for field in spec.head:
        name = f"head->{field.name}"
        if field.type == "bytes":
            lines += [f"    memcpy(at, {name}, {field.length}u);", f"    at += {field.length};"]
        elif field.type == "f32":
            lines.append(f"    at = mw_wire_put_f32(at, {name});")
        else:
            lines.append(f"    at = mw_wire_put_u(at, {_unsigned(field, name)}, {field.size}u);")
    return [*lines, "    return at;", "}"]


def _unsigned(field: Field, name: str) -> str:
    return f"(u{C_TYPES[field.type]}){name}" if field.type.startswith("i") else name


def _get(spec: FrameSpec) -> list[str]:
    lines = [
        f"static inline const uint8_t *mw_wire_get_{spec.name}(const uint8_t *at, "
        f"mw_wire_{spec.name} *head) {{"
    ]
    for field in spec.head:
        value = (
            "mw_wire_get_f32(at)"
            if field.type == "f32"
            else f"({C_TYPES[field.type]})mw_wire_get_u(at, {field.size}u)"
        )
        lines += [
            f"    head->{field.name} = {value};",
            f"    at += {field.size};",
        ]
    return [*lines, "    return at;", "}"]


def protocol_table(definition: Definition) -> str:
    """Return the content of `PROTOCOL.md`."""
    limits = definition.limits
    lines = [
        "# Wire protocol",
        "",
        "Generated from `host/myowave/wire/wire.toml` by `python -m myowave.wire.generate`.",
        "",
        "On the line a frame is `0x00 COBS(type u8, sequence u16, payload, crc32 u32) 0x00`. The",
        "checksum is zlib's CRC-32 of everything before it; numbers are little endian. `sequence`",
        "counts the frames a side has put on the line, so a jump is what the line lost. What the",
        "board itself had to drop shows as a jump of `first_tick` and in `tx_dropped_batches`.",
        "A receiver ignores a frame whose length is not exactly the one its fields imply.",
        "",
        f"Version {limits['version']}. A payload has at most {limits['max_payload']} bytes. "
        f"A data frame holds up to {limits['batch_samples']} samples.",
        "",
        "After a gap (samples missed or dropped) the network starts anew: its delay lines are at",
        "their zero points and the first `receptive_field - 1` samples are warm-up again. No",
        "sample is invented.",
        "",
        "A board applies the calibration it was given (`set_calibration`) before the network. Raw",
        "counts in data frames are as the IMU gave them; replayed counts are taken as they are. A",
        "calibration lasts until the board boots anew, which the identity frame tells.",
        "",
        "In a replay the host keeps at most "
        f"{limits['replay_window']} samples unanswered, in frames of up to "
        f"{limits['replay_batch']}; each",
        "`replay_result` frees the place of its samples. A `first` out of order is answered by",
        "`out_of_order`, and the host begins again.",
    ]
    titles = {
        "board": "Board to host",
        "host": "Host to board",
        "imu": "The IMU link of an emulated board",
    }
    for sender, title in titles.items():
        lines += ["", f"## {title}"]
        for spec in definition.frames.values():
            where = "imu" if spec.name.startswith("imu_") else spec.sender
            if where == sender:
                lines += ["", f"### `{spec.name}` 0x{spec.type:02x}", "", spec.doc]
                if spec.fields:
                    lines += ["", "| field | type | meaning |", "| --- | --- | --- |"]
                    lines += [f"| {f.name} | {_type(f)} | {f.doc} |" for f in spec.fields]
    for title, values in (
        ("status", definition.status),
        ("level", definition.level),
        ("mode", definition.mode),
        ("self_test", definition.self_test),
        ("reset_cause", definition.reset_cause),
        ("turn", definition.turn),
        ("data_flags", definition.data_flags),
    ):
        lines += ["", f"## `{title}`", "", "| name | value |", "| --- | --- |"]
        lines += [f"| {name} | {value} |" for name, value in values.items()]
    return "\n".join([*lines, ""])


def _type(field: Field) -> str:
    if field.is_matrix:
        when = f" when `{field.when}`" if field.when else ""
        return f"{field.type} [{field.rows}][{field.columns}]{when}"
    return f"{field.type} [{field.length}]" if field.type == "bytes" else field.type


def generated_files() -> dict[Path, str]:
    """Return path and content of every file made from the definition."""
    return {
        APP / "wire_format.h": c_header(DEFINITION),
        APP / "PROTOCOL.md": protocol_table(DEFINITION),
    }


def main() -> None:
    """Write the files."""
    for path, content in generated_files().items():
        path.write_text(content, encoding="utf-8")
        print(path.relative_to(REPOSITORY))


if __name__ == "__main__":
    main()
