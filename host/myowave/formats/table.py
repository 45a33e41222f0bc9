"""What every exchange format is written from and read into: channels, annotations, facts.

A channel that a board measured or computed keeps its integers, with the value of one step beside
them, so that no format has to guess them back from rounded numbers.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from myowave.errors import RecordingError
from myowave.imu import IMU_CHANNELS
from myowave.recording import RATE_HZ

FORMAT_VERSION = 1
UNITS = {"acc": "m/s^2", "gyro": "rad/s", "emg": "mV", "envelope": "1"}
"""Units we write; the envelope is a fraction of the subject's reference."""

KINDS: tuple["ChannelKind", ...] = ("acc", "gyro", "emg", "envelope")
ChannelKind = Literal["acc", "gyro", "emg", "envelope"]
AnnotationKind = Literal["marker", "note", "missing", "warm-up", "event", "board"]
ANNOTATION_KINDS: tuple[AnnotationKind, ...] = (
    "marker",
    "note",
    "missing",
    "warm-up",
    "event",
    "board",
)
# Of a recording's provenance: what its reader must know wherever the samples go.
_CARRIED = ("simulated", "missing_gyro")
_LATEST_S = 253_402_300_799.0  # end of the year 9999, where Python's dates end


@dataclass(frozen=True)
class Channel:
    """One signal at a uniform rate.

    Attributes
    ----------
    kind : {"acc", "gyro", "emg", "envelope"}
        What it measures, or "envelope" for one predicted from the IMU.
    name : str
        `acc_x` to `gyro_z`, `emg MUSCLE` or `envelope MUSCLE`.
    samples : (n,) int16 or float64
        Integers as measured or computed, or values in `unit`.
    unit : str
        As its file states it; of our own, one of `UNITS`.
    lsb, zero : float, int
        Value of integer samples: (sample - zero) * lsb.
    present : (n,) bool, optional
        False in gaps, where a sample means nothing; all there where None.
    rate_hz : Fraction
        Samples a second.
    start_s : float
        Time of the first sample, on the table's axis.
    sensor : str
        Of several, the one it belongs to.
    place : str
        Where it is in its file, for messages: "signal 3 'ACC X'".
    """

    kind: ChannelKind
    name: str
    samples: NDArray[np.int16] | NDArray[np.float64]
    unit: str
    lsb: float = 1.0
    zero: int = 0
    present: NDArray[np.bool_] | None = None
    rate_hz: Fraction = Fraction(RATE_HZ)
    start_s: float = 0.0
    sensor: str = ""
    place: str = ""

    @property
    def is_integer(self) -> bool:
        """Whether the samples are the integers themselves."""
        return self.samples.dtype.kind == "i"

    @property
    def muscle(self) -> str:
        """Muscle of an sEMG signal or envelope."""
        return self.name.partition(" ")[2]

    @property
    def missing(self) -> int:
        """Number of samples in gaps."""
        return 0 if self.present is None else int(len(self.present) - self.present.sum())

    def values(self) -> NDArray[np.float64]:
        """Return the samples in `unit`, (n,), NaN in gaps."""
        values: NDArray[np.float64] = self.samples.astype(np.float64)
        if self.is_integer:
            values = (values - self.zero) * self.lsb
        if self.present is not None:
            values[~self.present] = np.nan
        return values

    def filled(self) -> NDArray[np.int16] | NDArray[np.float64]:
        """Return the samples with the value zero in gaps, for formats that know no gaps."""
        if self.present is None:
            return self.samples
        filled = self.samples.copy()
        filled[~self.present] = self.zero if self.is_integer else 0.0
        return filled


@dataclass(frozen=True, order=True)
class Annotation:
    """Something about a moment or, with a duration, about a span.

    Attributes
    ----------
    onset_s : float
        On the table's time axis; before 0 where it came before the first sample.
    duration_s : float
        0 for a moment.
    kind : {"marker", "note", "missing", "warm-up", "event", "board"}
        A person's label or remark; samples that are not there; predictions that look back over a
        start or gap; what became of the port; what the board said.
    text : str
        Label or remark; of "missing", the kind of channels, "" for all.

    "missing" stands in files only: in a `Table` each channel says where it is present.
    """

    onset_s: float
    duration_s: float
    kind: AnnotationKind
    text: str = ""

    def words(self) -> str:
        """Return kind and text in one line; `from_words` reads it."""
        text = "".join(character if character.isprintable() else " " for character in self.text)
        plain = self.kind == "marker" and _split_words(text)[0] == "marker"
        if plain and not text.startswith("marker"):
            return text
        return f"{self.kind}: {text}" if text else self.kind

    @classmethod
    def from_words(cls, onset_s: float, duration_s: float, words: str) -> "Annotation":
        """Read what `words` gave; anything else is a marker."""
        kind, text = _split_words(words)
        return cls(onset_s, duration_s, kind, text)


def _split_words(words: str) -> tuple[AnnotationKind, str]:
    head, colon, text = words.partition(": ")
    for kind in ANNOTATION_KINDS:
        if head == kind:
            return kind, text if colon else ""
    return "marker", words


@dataclass(frozen=True)
class Table:
    """One recording or log as the exchange formats hold it.

    Attributes
    ----------
    channels : tuple of Channel
        Of one rate, start and length in a table made here; of a foreign file, each its own.
    annotations : tuple of Annotation
        In the order of their onsets.
    subject, day, name : str
        Who; when (ISO date); the trial's own name. "" where unknown.
    start_s : float or None
        Unix time of the axis' zero, where known to better than a day.
    facts : dict
        JSON-able: source, board, model, clock, provenance.
    left_out : tuple of str
        Labels of a foreign file's channels that are of no kind known here.
    timed : bool
        Whether time stamps of the samples say when each channel began and ended.
    """

    channels: tuple[Channel, ...]
    annotations: tuple[Annotation, ...] = ()
    subject: str = ""
    day: str = ""
    name: str = ""
    start_s: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    timed: bool = False

    @property
    def n_samples(self) -> int:
        """Samples of each channel of a table with one time axis."""
        return len(self.channels[0].samples) if self.channels else 0

    @property
    def start(self) -> str:
        """Start as ISO 8601 in UTC with microseconds; "" where unknown."""
        return iso_utc(self.start_s) if self.start_s is not None else ""

    def of(self, *kinds: ChannelKind) -> tuple[Channel, ...]:
        """Return the channels of these kinds."""
        return tuple(channel for channel in self.channels if channel.kind in kinds)

    def warm_up(self) -> NDArray[np.bool_]:
        """Mark the samples, (n,), whose predictions look back over a start or gap."""
        mask = np.zeros(self.n_samples, dtype=bool)
        for annotation in self.annotations:
            if annotation.kind == "warm-up":
                mask[rows_of(annotation)] = True
        return mask

    def points(self) -> tuple[Annotation, ...]:
        """Return what a person or a program said, without the spans of warm-up."""
        return tuple(one for one in self.annotations if one.kind != "warm-up")

    def header(self, *, brief: bool = False) -> dict[str, Any]:
        """Return what stands beside the samples, JSON-able.

        Brief, for formats with little room, is without the model's card, which its digest names,
        and with no more of an earlier provenance than what stays true of the samples.
        """
        facts = dict(self.facts)
        if brief:
            facts.pop("model_card", None)
            if "provenance" in facts:
                facts["provenance"] = carried(facts)
        return {
            "format_version": FORMAT_VERSION,
            "subject": self.subject,
            "day": self.day,
            "name": self.name,
            "start": self.start,
            "channels": [
                {
                    "name": channel.name,
                    "unit": channel.unit,
                    **({"lsb": channel.lsb, "zero": channel.zero} if channel.is_integer else {}),
                }
                for channel in self.channels
            ],
            "facts": facts,
        }


def kind_of(name: str) -> ChannelKind | None:
    """Return what a channel of this name measures; None for a name that is none of ours."""
    if name in IMU_CHANNELS:
        return "acc" if name.startswith("acc") else "gyro"
    for kind in KINDS[2:]:
        if name.startswith(f"{kind} "):
            return kind
    return None


def iso_utc(unix_s: float) -> str:
    """Return a Unix time as ISO 8601 in UTC, such as 2026-11-22T20:06:44.500000Z."""
    if not 0.0 <= unix_s <= _LATEST_S:
        raise RecordingError(f"time {unix_s:g} s since 1970, expected one before the year 10000")
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def from_iso_utc(text: str) -> float | None:
    """Read what `iso_utc` wrote; None for ""; raise ValueError for anything else."""
    return datetime.fromisoformat(text).timestamp() if text else None


def rows_of(annotation: Annotation, rate_hz: Fraction = Fraction(RATE_HZ)) -> slice:
    """Return the samples an annotation covers."""
    first = max(0, round(annotation.onset_s * rate_hz))
    return slice(first, max(first, round((annotation.onset_s + annotation.duration_s) * rate_hz)))


def spans_of(mask: NDArray[np.bool_], kind: AnnotationKind, text: str = "") -> Iterator[Annotation]:
    """Yield one annotation for each run of True in (n,) `mask`, sampled as a recording is."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield Annotation(first / RATE_HZ, (end - first) / RATE_HZ, kind, text)


def missing_spans(table: Table) -> list[Annotation]:
    """Return the gaps of a table as annotations, for formats whose samples cannot be missing."""
    gone = {
        kind: ~members[0].present
        for kind in KINDS
        if (members := table.of(kind)) and members[0].present is not None
    }
    if not gone:
        return []
    everywhere = np.logical_and.reduce(list(gone.values()))
    if len(gone) < sum(bool(table.of(kind)) for kind in KINDS):
        everywhere[:] = False
    found = list(spans_of(everywhere, "missing"))
    for kind, mask in gone.items():
        found += spans_of(mask & ~everywhere, "missing", kind)
    return sorted(found)


def with_missing(channels: Iterable[Channel], missing: Iterable[Annotation]) -> tuple[Channel, ...]:
    """Return channels in which what `missing_spans` told of is marked as not present."""
    spans = list(missing)
    out = []
    for channel in channels:
        own = [span for span in spans if span.text in ("", channel.kind)]
        present = np.ones(len(channel.samples), dtype=bool)
        for span in own:
            present[rows_of(span, channel.rate_hz)] = False
        out.append(replace(channel, present=present) if own else channel)
    return tuple(out)


def carried(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what stays true of the samples, of the provenance they were exported with."""
    provenance = facts.get("provenance")
    if not isinstance(provenance, dict):
        return {}
    return {key: provenance[key] for key in _CARRIED if provenance.get(key) is True}


def parse_json(path: Path, text: str | bytes, where: str) -> dict[str, Any]:
    """Return the JSON object `text`; raise RecordingError, which says `where`, if it is none."""
    try:
        values = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise RecordingError(f"{path}: {where}: not a JSON object, expected what export wrote")
    return values


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def table_of_header(
    path: Path, header: dict[str, Any], channels: Iterable[Channel], points: tuple[Annotation, ...]
) -> Table:
    """Return the table whose `Table.header` a file holds; raise RecordingError if it is not whole.

    `channels` hold values; what was an integer becomes one again.
    """
    try:
        if header["format_version"] != FORMAT_VERSION:
            raise RecordingError(
                f"{path}: export of version {header['format_version']}, this program reads "
                f"{FORMAT_VERSION}"
            )
        steps = {str(one["name"]): one for one in header["channels"]}
        facts = dict(header["facts"])
        start_s = from_iso_utc(str(header["start"]))
        if start_s is not None and not 0.0 <= start_s <= _LATEST_S:
            raise ValueError("no time of a recording")
        restored = tuple(_restored(one, steps[one.name]) for one in channels)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise RecordingError(
            f"{path}: damaged export, its header is not as 'myowave export' wrote it; export again"
        ) from None
    return Table(
        channels=restored,
        annotations=points,
        subject=str(header.get("subject", "")),
        day=str(header.get("day", "")),
        name=str(header.get("name", "")),
        start_s=start_s,
        facts=facts,
    )


def _restored(channel: Channel, step: dict[str, Any]) -> Channel:
    """Return a channel with its integers, where it had some."""
    channel = replace(channel, unit=str(step["unit"]))
    if "lsb" not in step or channel.is_integer:
        lsb, zero = float(step.get("lsb", 1.0)), int(step.get("zero", 0))
        return replace(channel, lsb=lsb, zero=zero)
    lsb, zero = float(step["lsb"]), int(step["zero"])
    if lsb == 0.0:
        raise ValueError("no step")
    present = np.isfinite(channel.samples)
    numbers = np.rint(np.where(present, channel.samples, 0.0) / lsb) + zero
    if not np.all((numbers >= -32768) & (numbers <= 32767)):
        raise ValueError("no counts")
    return replace(
        channel,
        samples=numbers.astype(np.int16),
        lsb=lsb,
        zero=zero,
        present=None if present.all() else present,
    )
