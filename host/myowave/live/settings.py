"""How the monitor is set up when it opens; every view of it takes the same settings."""

import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from myowave.errors import ConfigError

Theme = Literal["auto", "light", "dark"]
THEMES: tuple[str, ...] = get_args(Theme)
WINDOW_RANGE_S = (2.0, 60.0)


@dataclass(frozen=True)
class MonitorSettings:
    """What a person may choose before the monitor opens, and change while it runs.

    Attributes
    ----------
    window_s : float
        Seconds in view, 2 to 60.
    threshold_on, threshold_off : float
        A muscle becomes active at the first, as a fraction of the reference, and stays active until
        it falls below the second.
    theme : str
        "light", "dark", or "auto": what the reader's system asks for.
    record_dir : Path
        Folder that recordings begun from the monitor go to.
    show_raw : bool
        Whether the six raw channels are in view at the start.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    window_s: float = 10.0
    threshold_on: float = 0.20
    threshold_off: float = 0.15
    theme: Theme = "auto"
    record_dir: Path = Path()
    show_raw: bool = False

    def __post_init__(self) -> None:
        """Refuse values that cannot be shown."""
        low, high = WINDOW_RANGE_S
        if not low <= self.window_s <= high:  # also refuses NaN
            raise ConfigError(f"window of {self.window_s:g} s, expected {low:g} to {high:g}")
        thresholds = (self.threshold_on, self.threshold_off)
        if not all(math.isfinite(value) for value in thresholds) or not (
            0.0 < self.threshold_off <= self.threshold_on <= 1.0
        ):
            raise ConfigError(
                f"activation on at {self.threshold_on:g}, off at {self.threshold_off:g}: expected "
                "0 < off <= on <= 1, as fractions of the reference"
            )
        if self.theme not in THEMES:
            raise ConfigError(f"theme '{self.theme}', expected one of {', '.join(THEMES)}")

    def next_recording(self) -> Path:
        """Return where the next recording goes: a name in `record_dir` that no file has."""
        stem = f"myowave-{datetime.now():%Y%m%d-%H%M%S}"
        path = self.record_dir / f"{stem}.mwlog"
        number = 2
        while path.exists():
            path = self.record_dir / f"{stem}-{number}.mwlog"
            number += 1
        return path
