"""What the monitor's page says about a session, as HTML; names come from a board: escaped."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from myowave.live.session import RecordingStatus, Status
from myowave.model_card import ModelCard

DASH = "–"
MINUS = "−"
THIN = "\u202f"  # narrow no-break space
# Heights of the rows of the stage: shares for a muscle and a raw sensor, and that of the time axis.
MUSCLE_WEIGHT = 3
RAW_WEIGHT = 2
TIME_HEIGHT_PX = 48
# Digits of a SHA-256 that a person compares.
SHA_DIGITS = 12
# The rate of a healthy link trembles with the clock of this computer, not by more than this.
RATE_TOLERANCE = 0.05
_STATE = {
    "opening": "Opening",
    "live": "Live",
    "silent": "Silent",
    "waiting": "Unplugged",
    "ended": "Ended",
}


def clock(seconds: float) -> str:
    """Return a time as 0:07, 12:34 or 1:02:03."""
    whole = max(0, int(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(length: int) -> str:
    """Return a length in bytes for a person."""
    for unit, factor in (("MB", 1e6), ("kB", 1e3)):
        if length >= factor:
            return f"{length / factor:.1f}{THIN}{unit}"
    return f"{length}{THIN}B"


def count(number: int) -> str:
    """Return a whole number with its thousands apart."""
    return f"{number:,}".replace(",", THIN)


def muscle_name(name: str) -> str:
    """Return a muscle's name as it is read."""
    return name.replace("_", " ")


def identity(status: Status) -> str:
    """Return who the board is and what it runs."""
    parts = [f'<span class="state {status.state}">{_STATE[status.state]}</span>']
    if status.identity is None:
        parts.append(f'<span class="who">{escape(status.url)}</span>')
        return "".join(parts)
    board = status.identity
    name = status.card.name if status.card is not None else "unknown model"
    sha = board.model_sha256[:SHA_DIGITS]
    parts.append(
        f'<span class="who">{escape(board.board)}</span>'
        f'<span class="fact">firmware {escape(board.firmware)}</span>'
        f'<span class="fact">IMU {escape(board.imu)}</span>'
        f'<span class="fact">{escape(status.url)}</span>'
        f'<details class="fact"><summary>model <b>{escape(name)}</b> <code>{sha}</code></summary>'
        f'<div class="card">{_card(status.card, board.model_sha256)}</div></details>'
    )
    return "".join(parts)


def _card(card: ModelCard | None, sha256: str) -> str:
    if card is None:
        rows = [
            ("SHA-256", sha256),
            ("Card", "no model directory here holds this model; name one with --model"),
        ]
    else:
        delay = card.target.get("filter_delay_ms")
        rows = [
            ("Name", card.name),
            ("Note", card.note),
            ("SHA-256", sha256),
            ("Muscles", ", ".join(muscle_name(muscle) for muscle in card.muscles)),
            ("Trained on", "simulated recordings" if card.simulated else "recordings"),
            ("Looks back", f"{card.receptive_field} samples"),
            ("Filter delay", "" if delay is None else f"{float(delay):.0f} ms"),
            ("100 % is", str(card.target.get("reference", ""))),
        ]
    cells = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows if value
    )
    return f"<dl>{cells}</dl>"


def banner(status: Status) -> str:
    """Return what is not as it should be, in words; "" when all is well."""
    said = []
    note = f" {escape(_sentence(status.note))}" if status.note else ""
    kept = "What was received is kept; the view goes on by itself when the board is back."
    if status.state == "opening":
        said.append(f'<p class="info"><b>Opening {escape(status.url)}.</b>{note}</p>')
    elif status.state == "silent":
        said.append(f'<p class="warning"><b>No samples come.</b>{note}</p>')
    elif status.state == "waiting":
        said.append(f'<p class="bad"><b>The board is unplugged.</b>{note} {kept}</p>')
    elif status.state == "ended":
        again = "S starts it again: its ticks count from 0."
        said.append(f'<p class="info"><b>The board sends no more.</b>{note} {again}</p>')
    if status.identity is not None and status.previous_sha256:
        said.append(
            '<p class="warning"><b>Another model came back:</b> '
            f"<code>{status.identity.model_sha256[:SHA_DIGITS]}</code>, before it was "
            f"<code>{status.previous_sha256[:SHA_DIGITS]}</code>.</p>"
        )
    elif status.state == "live" and note:
        said.append(f'<p class="info">{note}</p>')
    if status.identity is not None and status.identity.failed_tests:
        failed = escape(", ".join(status.identity.failed_tests))
        said.append(f'<p class="bad"><b>The board\'s self-test failed:</b> {failed}.</p>')
    if status.statistics is not None and (faults := status.statistics.faults()):
        listed = ", ".join(f"{number} {name}" for name, number in faults.items())
        said.append(f'<p class="warning"><b>The board reports faults:</b> {escape(listed)}.</p>')
    return "".join(said)


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".")


class Screen(NamedTuple):
    """What a tab measured: 0 where it has nothing yet."""

    latency_ms: float
    updates_hz: float


def health(status: Status, screen: Screen) -> str:
    """Return the health strip."""
    board = status.statistics
    lost = 0 if board is None else board.missed + board.dropped
    rate_hz = status.rate_hz
    expected_hz = status.identity.rate_hz if status.identity is not None else 0
    slow = rate_hz is not None and abs(rate_hz - expected_hz) > RATE_TOLERANCE * expected_hz
    cells = [
        _cell("Sample rate", None if rate_hz is None else f"{rate_hz:.0f}", "Hz", slow),
        _cell("Lost frames", count(status.lost_frames), "", status.lost_frames > 0),
        _cell("CRC errors", count(status.crc_errors), "", status.crc_errors > 0),
        _cell(
            "Device overruns",
            None if board is None else count(board.overruns),
            f"({count(lost)} samples lost)" if lost else "",
            lost > 0,
            "Samples the board took more than a period late; those it has lost are told beside",
        ),
        _cell(
            "Device CPU load", None if board is None else f"{board.cpu_load_permille / 10:.1f}", "%"
        ),
        _cell("Longest step", None if board is None else count(board.longest_step_us), "µs"),
        _cell(
            "Sample to screen",
            f"{screen.latency_ms:.0f}" if screen.latency_ms > 0 else None,
            "ms",
            title="Median over the last 10 s: from a sample's measurement, by the board's clock "
            "fitted to this computer's, to the end of the animation frame that painted it",
        ),
        _cell(
            "Screen updates", f"{screen.updates_hz:.0f}" if screen.updates_hz > 0 else None, "/s"
        ),
    ]
    return "".join(cells)


def _cell(label: str, value: str | None, unit: str, alarm: bool = False, title: str = "") -> str:
    shown = DASH if value is None else value
    suffix = f"<small>{THIN}{unit}</small>" if unit and value is not None else ""
    tip = f' title="{escape(title)}"' if title else ""
    return (
        f'<div class="cell{" alarm" if alarm else ""}"{tip}><span>{label}</span>'
        f"<b>{'⚠ ' if alarm else ''}{shown}{suffix}</b></div>"
    )


def recording(now: RecordingStatus | None, last: RecordingStatus | None, folder: Path) -> str:
    """Return which file is being written and how long it is."""
    shown = now or last
    if shown is None:
        return (
            '<span class="idle">Not recording.</span> '
            f'<span class="path">Files go to {escape(str(folder.resolve()))}</span>'
        )
    state = '<b class="rec">● Recording</b>' if now else "<b>Saved</b>"
    marks = f"{shown.markers} marker{'' if shown.markers == 1 else 's'}"
    return (
        f'{state} <b class="time">{clock(shown.seconds)}</b> '
        f'<code title="{escape(str(shown.path))}">{escape(shown.path.name)}</code> '
        f"<span>{count(shown.samples)} samples · {size(shown.bytes)} · {marks}</span>"
    )


def tiles(rows: Sequence[str], muscles: int, *, stale: bool) -> str:
    """Return all that stands beside the curves, in rows as high as those of the curves."""
    weights = [MUSCLE_WEIGHT] * muscles + [RAW_WEIGHT] * (len(rows) - muscles)
    heights = " ".join(f"minmax(0, {weight}fr)" for weight in weights)
    style = f"grid-template-rows: {heights} {TIME_HEIGHT_PX}px"
    kind = "rows stale" if stale else "rows"
    return f'<div class="{kind}" style="{style}">{"".join(rows)}</div>'


def muscle_tile(
    name: str, colour: str, level: float, peak: float, *, active: bool, emg: float | None
) -> str:
    """Return what stands beside a muscle's curve; `emg` is the recorded envelope, None for none."""
    beside = ""
    if emg is not None:
        beside = f'<span class="emg">recorded {percent(emg)}</span>'
    return (
        f'<div class="tile{" active" if active else ""}" style="--colour: {colour}">'
        f'<div class="name">{escape(muscle_name(name))}</div>'
        f'<div class="value">{percent(level)}</div>'
        '<div class="meter"><i class="fill"></i><i class="off"></i><i class="on"></i>'
        '<i class="peak"></i></div>'
        f'<div class="foot"><span class="activity">{"Active" if active else "At rest"}</span>'
        f'<span class="held">peak {percent(peak)}</span>{beside}</div></div>'
    )


def percent(fraction: float) -> str:
    """Return a fraction of the reference in whole per cent."""
    if math.isnan(fraction):
        return DASH
    return f"{100 * fraction:z.0f}<small>{THIN}%</small>".replace("-", MINUS)


def raw_tile(name: str, unit: str, axes: Mapping[str, float]) -> str:
    """Return what stands beside the curves of a raw sensor: colour and value of x, y and z."""
    rows = "".join(
        f'<div class="axis"><i style="border-color: {colour}"></i><span>{axis}</span>'
        f"<b>{DASH if math.isnan(value) else f'{value:+.2f}'.replace('-', MINUS)}</b></div>"
        for axis, (colour, value) in zip("xyz", axes.items(), strict=True)
    )
    return (
        f'<div class="tile raw"><div class="name">{name} <small>{unit}</small></div>'
        f'<div class="axes">{rows}</div></div>'
    )
