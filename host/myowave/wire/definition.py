"""Read `wire.toml` into typed values and check that it is consistent."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from myowave.errors import ConfigError

WIRE_TOML = Path(__file__).with_name("wire.toml")

# struct format character and bytes of each scalar type; all little endian.
SCALARS = {
    "u8": ("B", 1),
    "i8": ("b", 1),
    "u16": ("H", 2),
    "i16": ("h", 2),
    "u32": ("I", 4),
    "u64": ("Q", 8),
    "f32": ("f", 4),
}
SENDERS = ("board", "host", "imu")


@dataclass(frozen=True)
class Field:
    """One field of a frame; see the head of `wire.toml`."""

    name: str
    type: str
    doc: str
    length: int = 0
    rows: str | int | None = None
    columns: str | int | None = None
    when: str | None = None

    @property
    def is_matrix(self) -> bool:
        """Whether the field is a matrix of scalars."""
        return self.rows is not None

    @property
    def is_fixed(self) -> bool:
        """Whether the field always takes the same number of bytes."""
        return not self.is_matrix and (self.type in SCALARS or self.type == "bytes")

    @property
    def size(self) -> int:
        """Bytes of a fixed field."""
        return self.length if self.type == "bytes" else SCALARS[self.type][1]


@dataclass(frozen=True)
class FrameSpec:
    """One frame type: its number, who sends it, its fields in order."""

    name: str
    type: int
    sender: str
    doc: str
    fields: tuple[Field, ...]

    @property
    def head(self) -> tuple[Field, ...]:
        """The fields of fixed size, which come first."""
        return tuple(field for field in self.fields if field.is_fixed)

    @property
    def tail(self) -> tuple[Field, ...]:
        """The fields of variable size, which come last."""
        return self.fields[len(self.head) :]

    @property
    def head_size(self) -> int:
        """Bytes of all fixed fields."""
        return sum(field.size for field in self.head)


@dataclass(frozen=True)
class Definition:
    """The whole protocol.

    Attributes
    ----------
    limits : dict of str to int
        The `[protocol]` table: version, maximum payload, batch sizes, windows.
    status, level, mode, self_test, reset_cause, turn, data_flags : dict of str to int
        Named values of the fields of the same name; of self_test and data_flags, bits.
    frames : dict of str to FrameSpec
        By name.
    by_type : dict of int to FrameSpec
        The same frames by number.
    """

    limits: dict[str, int]
    status: dict[str, int]
    level: dict[str, int]
    mode: dict[str, int]
    self_test: dict[str, int]
    reset_cause: dict[str, int]
    turn: dict[str, int]
    data_flags: dict[str, int]
    frames: dict[str, FrameSpec]
    by_type: dict[int, FrameSpec]

    @property
    def max_frame(self) -> int:
        """Bytes of the largest frame before COBS: header, payload, checksum."""
        return HEADER_SIZE + self.limits["max_payload"] + CRC_SIZE

    @property
    def max_encoded(self) -> int:
        """Bytes of the largest frame on the line, without the zero bytes around it."""
        return self.max_frame + self.max_frame // 254 + 1


HEADER_SIZE = 3
CRC_SIZE = 4


def load_definition(path: Path = WIRE_TOML) -> Definition:
    """Read a protocol definition.

    Raises
    ------
    ConfigError
        If a type is unknown, a name or number occurs twice, a fixed field follows a variable one,
        or a frame's fixed part is larger than the largest payload.
    """
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    frames: dict[str, FrameSpec] = {}
    by_type: dict[int, FrameSpec] = {}
    for entry in table["frame"]:
        spec = _frame(entry, path)
        if spec.name in frames or spec.type in by_type:
            raise ConfigError(
                f"{path.name}: frame '{spec.name}' (type {spec.type}): name and type must be unique"
            )
        if spec.head_size > table["protocol"]["max_payload"]:
            raise ConfigError(f"{path.name}: frame '{spec.name}': larger than max_payload")
        frames[spec.name] = by_type[spec.type] = spec
    return Definition(
        limits=table["protocol"],
        status=table["status"],
        level=table["level"],
        mode=table["mode"],
        self_test=table["self_test"],
        reset_cause=table["reset_cause"],
        turn=table["turn"],
        data_flags=table["data_flags"],
        frames=frames,
        by_type=by_type,
    )


def _frame(entry: dict[str, Any], path: Path) -> FrameSpec:
    where = f"{path.name}: frame '{entry['name']}'"
    if entry["from"] not in SENDERS:
        raise ConfigError(f"{where}: from '{entry['from']}', expected one of {', '.join(SENDERS)}")
    fields = tuple(Field(**field) for field in entry["fields"])
    variable = False
    for field in fields:
        known = field.type in SCALARS or field.type in ("bytes", "string", "strings")
        if not known or (field.is_matrix and field.type not in SCALARS):
            raise ConfigError(f"{where}: field '{field.name}' has unknown type '{field.type}'")
        if variable and field.is_fixed:
            raise ConfigError(f"{where}: field '{field.name}' follows one of variable length")
        variable = variable or not field.is_fixed
    return FrameSpec(entry["name"], entry["type"], entry["from"], entry["doc"], fields)


DEFINITION = load_definition()
