"""The boards a model can be judged for: one table, `boards.toml`, which names its sources."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from myowave.cycles import FlashTiming
from myowave.errors import ConfigError

BOARDS_TOML = Path(__file__).with_name("boards.toml")


@dataclass(frozen=True)
class BoardSpec:
    """What a board has for an application.

    Attributes
    ----------
    name, title : str
        For commands and for people.
    core : str
        As in `cortex.CORES`, or one that is not measured.
    environment : str
        PlatformIO environment, "" for none.
    clock_hz : int
        0 for an emulated board.
    flash_bytes, ram_bytes : int
        Usable by an application.
    framework_flash_bytes, framework_ram_bytes : int
        Allowance for the framework.
    port_us : float
        What the port takes of each millisecond, an assumption.
    flash : FlashTiming or None
        None where nothing waits for it.
    runs_from_ram : bool
        Code and constants are copied to RAM.
    sources : tuple of str
    """

    name: str
    title: str
    core: str
    environment: str
    clock_hz: int
    flash_bytes: int
    ram_bytes: int
    framework_flash_bytes: int
    framework_ram_bytes: int
    port_us: float
    flash: FlashTiming | None
    runs_from_ram: bool
    sources: tuple[str, ...]

    @property
    def is_emulated(self) -> bool:
        """Whether the board runs on this computer, at this computer's speed."""
        return self.clock_hz == 0


@cache
def board_specs() -> MappingProxyType[str, BoardSpec]:
    """Return every board of the table, by name."""
    table = tomllib.loads(BOARDS_TOML.read_text(encoding="utf-8"))
    timings = {name: FlashTiming(**row) for name, row in table["flash"].items()}
    return MappingProxyType(
        {name: _spec(name, row, table["port"], timings) for name, row in table["board"].items()}
    )


def _spec(
    name: str, row: dict[str, Any], ports: dict[str, float], timings: dict[str, FlashTiming]
) -> BoardSpec:
    rest = {key: value for key, value in row.items() if key not in ("port", "flash", "sources")}
    defaults = {"framework_flash_bytes": 0, "framework_ram_bytes": 0, "runs_from_ram": False}
    return BoardSpec(
        name=name,
        port_us=ports[row["port"]] if "port" in row else 0.0,
        flash=timings[row["flash"]] if "flash" in row else None,
        sources=tuple(row["sources"]),
        **{**defaults, **rest},
    )


def board_spec(name: str) -> BoardSpec:
    """Return one board; dashes are understood as underscores.

    Raises
    ------
    ConfigError
        That lists the known names, if there is no such board.
    """
    specs = board_specs()
    try:
        return specs[name.replace("-", "_")]
    except KeyError:
        raise ConfigError(f"unknown board '{name}', expected one of {', '.join(specs)}") from None
