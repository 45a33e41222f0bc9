"""XDF files of LabRecorder and others: the streams of sEMG and IMU, on one clock.

pyxdf puts the clocks of the computers together by the offsets measured while recording, and takes
the jitter out of the time stamps of regular streams; each stream's rate is then what its clock
really ran at. What pyxdf would pass over is refused here: a file that is cut off, chunks that do
not fit each other, samples that are missing, breaks in a stream.

Format: github.com/sccn/xdf, "Specifications". Streams and channels are known by their types and
labels (github.com/sccn/xdf/wiki/Meta-Data): EMG, ACC or Accelerometer, GYRO or Gyroscope.
"""

import logging
import re
import struct
import warnings
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element, ParseError, fromstring

import numpy as np
from numpy.typing import NDArray

from myowave.errors import ConfigError, RecordingError
from myowave.formats.labels import describe
from myowave.formats.table import Annotation, Channel, Table
from myowave.readers.dates import parse_day
from myowave.readers.source import MAX_VALUES
from myowave.resample import exact_rate

NAME = "xdf"
BREAK_S = 0.25
"""A pause of a regular stream longer than this is a gap; bursts of a radio link are shorter."""

_MAGIC = b"XDF:"
_FILE_HEADER, _STREAM_HEADER, _SAMPLES, _CLOCK_OFFSET, _STREAM_FOOTER = 1, 2, 3, 4, 6
_SIZES = {"int8": 1, "int16": 2, "int32": 4, "int64": 8, "float32": 4, "double64": 8}
_LARGEST_HEADER = 1 << 22
_RATE_TOLERANCE = 0.02
# What our own outlets say of the envelope, which is a prediction and no sEMG.
_FRACTION = "fraction of reference"


@dataclass
class _Stream:
    """What a first look at a file tells of one of its streams."""

    number: int
    info: Element
    samples: int = 0

    def text(self, name: str) -> str:
        return (self.info.findtext(name) or "").strip()

    @property
    def place(self) -> str:
        return f"stream '{self.text('name')}' ({self.text('type') or 'no type'})"

    @property
    def channels(self) -> int:
        return int(self.text("channel_count"))

    def listed(self) -> list[tuple[str, str, str]]:
        """Return label, unit and type of each channel its description lists."""
        return [
            tuple((one.findtext(name) or "").strip() for name in ("label", "unit", "type"))  # type: ignore[misc]
            for one in self.info.findall("desc/channels/channel")
        ]


def matches(head: bytes) -> bool:
    """Tell whether the first bytes of a file are those of an XDF file."""
    return head.startswith(_MAGIC)


def read(path: Path) -> Table:
    """Read the sEMG, acceleration and angular rate of an XDF file.

    Raises
    ------
    RecordingError
        If the file is damaged, cut off or larger than a recording may be, or a stream of interest
        has breaks, too few samples, no regular rate or another than its header says.
    ConfigError
        If pyxdf is not installed.
    """
    try:
        import pyxdf  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigError(
            "XDF files need the package pyxdf: pip install '.[formats]' in the clone"
        ) from None
    streams, day = _survey(path)
    chosen = {number: found for number, stream in streams.items() if (found := _kinds(stream))}
    left_out = tuple(
        f"{stream.text('name')} ({stream.text('type')})"
        for number, stream in streams.items()
        if number not in chosen
    )
    if not chosen:
        return Table((), day=day, left_out=left_out)
    markers = [n for n, one in streams.items() if one.text("channel_format") == "string"]
    loaded = _load(pyxdf, path, [*chosen, *markers])
    times = {number: _times(path, streams[number], loaded[number]) for number in chosen}
    start_s = min(float(time_s[0]) for time_s, _ in times.values())
    channels = []
    for number, members in chosen.items():
        time_s, rate = times[number]
        series = np.asarray(loaded[number]["time_series"])
        for column, (kind, name, unit, sensor) in members.items():
            channels.append(
                Channel(
                    kind,
                    name,
                    _values(streams[number], kind, series[:, column]),
                    unit,
                    rate_hz=rate,
                    start_s=float(time_s[0]) - start_s,
                    sensor=sensor,
                    place=f"{streams[number].place}, channel {column + 1}",
                )
            )
    annotations = [
        Annotation(float(time_s) - start_s, 0.0, "marker", str(row[0]))
        for number in markers
        for time_s, row in zip(
            loaded[number]["time_stamps"], loaded[number]["time_series"], strict=True
        )
        if row and row[0]
    ]
    return Table(
        tuple(channels), tuple(sorted(annotations)), day=day, left_out=left_out, timed=True
    )


# ---- a first look --------------------------------------------------------------------------------


def _survey(path: Path) -> tuple[dict[int, _Stream], str]:
    """Walk over all chunks of a file, which must fit each other to its last byte.

    Returns its streams and the day it was recorded, "" where it does not say.
    """
    streams: dict[int, _Stream] = {}
    day = ""
    values = 0
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(len(_MAGIC))
        while (at := file.tell()) < size:
            where = f"{path}: chunk at byte {at}"
            try:
                length = _length(file)
                end = file.tell() + length
                (tag,) = struct.unpack("<H", file.read(2))
                if end > size:
                    raise RecordingError(
                        f"{where}: {length} bytes long, but the file ends after "
                        f"{size - file.tell() + 2}; it is cut off or damaged"
                    )
                if tag == _FILE_HEADER:
                    day, _ = parse_day(_xml(where, file, end).findtext("datetime") or "")
                if tag in (_STREAM_HEADER, _SAMPLES, _CLOCK_OFFSET, _STREAM_FOOTER):
                    (number,) = struct.unpack("<I", file.read(4))
                    if tag == _STREAM_HEADER:
                        streams[number] = _Stream(number, _xml(where, file, end))
                        _require_sane(where, streams[number])
                    elif number not in streams:
                        raise RecordingError(f"{where}: of stream {number}, which has no header")
                    elif tag == _SAMPLES:
                        stream = streams[number]
                        count = _length(file)
                        _require_room(where, stream, count, end - file.tell())
                        stream.samples += count
                        values += count * stream.channels
                    elif tag == _STREAM_FOOTER:
                        _require_count(where, streams[number], _xml(where, file, end))
            except (struct.error, ValueError) as error:
                raise RecordingError(f"{where}: damaged ({error})") from None
            if values > MAX_VALUES:
                raise RecordingError(
                    f"{path}: over {MAX_VALUES} values, the most one recording may have"
                )
            file.seek(end)
    return streams, day


def _length(file: BinaryIO) -> int:
    """Return a number of variable length, as chunks and samples begin with."""
    n_bytes = file.read(1)
    if n_bytes not in (b"\1", b"\4", b"\x08"):
        raise ValueError("no length of 1, 4 or 8 bytes")
    code = {1: "<B", 4: "<I", 8: "<Q"}[n_bytes[0]]
    return int(struct.unpack(code, file.read(n_bytes[0]))[0])


def _xml(where: str, file: BinaryIO, end: int) -> Element:
    length = end - file.tell()
    if not 0 < length < _LARGEST_HEADER:
        raise RecordingError(f"{where}: description of {length} bytes, expected under 4 MB")
    try:
        root = fromstring(file.read(length).decode("utf-8", "replace"))
    except ParseError as error:
        raise RecordingError(f"{where}: description is not XML ({error})") from None
    return root


def _require_sane(where: str, stream: _Stream) -> None:
    known = (*_SIZES, "string")
    if stream.text("channel_format") not in known or not 0 < stream.channels <= 10_000:
        raise RecordingError(
            f"{where}: {stream.place} has {stream.channels} channels of "
            f"'{stream.text('channel_format')[:20]}', expected one of {', '.join(known)}"
        )
    rate = float(stream.text("nominal_srate") or "nan")
    if not 0.0 <= rate <= 1e6:
        raise RecordingError(f"{where}: {stream.place} has the rate {rate:g} Hz")


def _require_room(where: str, stream: _Stream, count: int, length: int) -> None:
    """Refuse samples that cannot have the size they are said to have."""
    size = _SIZES.get(stream.text("channel_format"))
    # A sample is its values after one byte, or after nine with a time stamp.
    least = count * (1 + stream.channels * (size or 2))
    most = count * (9 + stream.channels * size) if size else length
    if not least <= length <= most:
        raise RecordingError(
            f"{where}: {count} samples of {stream.place} in {length} bytes, expected "
            f"{least} to {most}; the file is damaged"
        )


def _require_count(where: str, stream: _Stream, footer: Element) -> None:
    text = (footer.findtext("sample_count") or "").strip()
    # Recorders may write samples that came after the footer was made up.
    if text and int(text) > stream.samples:
        raise RecordingError(
            f"{where}: {stream.place} had {text} samples, the file holds {stream.samples}"
        )


# ---- channels ------------------------------------------------------------------------------------


def _kinds(stream: _Stream) -> dict[int, tuple[Any, str, str, str]]:
    """Return kind, name, unit and sensor of the columns that are of use."""
    if stream.text("channel_format") == "string" or float(stream.text("nominal_srate")) == 0.0:
        return {}
    listed = stream.listed()
    kind_of_stream = stream.text("type")
    if not listed and kind_of_stream.lower() in ("emg", "semg"):
        listed = [(str(column + 1), "", "") for column in range(stream.channels)]
    found: dict[int, tuple[Any, str, str, str]] = {}
    for column, (label, unit, kind) in enumerate(listed[: stream.channels]):
        if unit == _FRACTION:
            continue
        described = describe(label, kind) if kind else None
        described = described or describe(label, kind_of_stream)
        if described is not None:
            what, name, sensor = described
            found[column] = (what, name, unit, sensor)
    device = _device(stream.text("name"))
    return {
        column: (what, name, unit, sensor or (device if what != "emg" else ""))
        for column, (what, name, unit, sensor) in found.items()
    }


def _device(name: str) -> str:
    """Return a stream's name without what it measures: one sensor may have two streams."""
    words = r"(?<![A-Za-z])(acc|accel|accelerometer|gyr|gyro|gyroscope)(?![A-Za-z])"
    return re.sub(r"[\s_-]+", " ", re.sub(words, "", name, flags=re.IGNORECASE)).strip() or name


def _values(stream: _Stream, kind: str, column: NDArray[Any]) -> NDArray[np.float64]:
    """Return the samples; of our own boards, the exact values of the counts they were."""
    values = np.asarray(column, dtype=np.float64)
    lsb_text = stream.info.findtext(
        "desc/acquisition/" + ("acc_lsb_m_s2" if kind == "acc" else "gyro_lsb_rad_s")
    )
    if kind == "emg" or not lsb_text:
        return values
    try:
        lsb = float(lsb_text)
        counts = np.rint(values / lsb) if lsb > 0.0 else values
    except ValueError:
        return values
    return counts * lsb if np.allclose(counts * lsb, values, rtol=1e-5, atol=0.0) else values


def _load(pyxdf: Any, path: Path, numbers: list[int]) -> dict[int, Any]:
    """Load streams by pyxdf, with whatever it complains of as an error."""
    complaints = _Complaints()
    logger = logging.getLogger("pyxdf")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(complaints)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            streams, _ = pyxdf.load_xdf(
                str(path),
                select_streams=numbers,
                jitter_break_threshold_seconds=BREAK_S,
                jitter_break_threshold_samples=0,
            )
    except Exception as error:  # pyxdf raises nearly anything at a damaged file
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise RecordingError(f"{path}: damaged XDF file ({reason})") from None
    finally:
        logger.removeHandler(complaints)
        logger.propagate = propagate
    if complaints.worst:
        raise RecordingError(f"{path}: damaged XDF file ({complaints.worst[:160]})")
    return {int(stream["info"]["stream_id"]): stream for stream in streams}


class _Complaints(logging.Handler):
    """Keeps the first error a library logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.worst = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Take one message."""
        self.worst = self.worst or " ".join(record.getMessage().split())


def _times(path: Path, stream: _Stream, loaded: Any) -> tuple[NDArray[np.float64], Fraction]:
    """Return time stamps and rate of a stream, which must be whole and even."""
    time_s = np.asarray(loaded["time_stamps"], dtype=np.float64)
    if len(time_s) != stream.samples:
        raise RecordingError(
            f"{path}: {stream.place}: {len(time_s)} of {stream.samples} samples could be read; "
            "the file is damaged"
        )
    if len(time_s) < 2 or not np.all(np.isfinite(time_s)):
        raise RecordingError(f"{path}: {stream.place}: {len(time_s)} samples, expected a signal")
    if len(segments := loaded["info"]["segments"]) > 1:
        first = int(segments[0][1])
        raise RecordingError(
            f"{path}: {stream.place}: a break of {time_s[first + 1] - time_s[first]:.3f} s after "
            f"sample {first + 1}, expected an uninterrupted stream"
        )
    steps = np.diff(time_s)
    if np.any(steps <= 0.0):
        raise RecordingError(f"{path}: {stream.place}: time stamps do not increase")
    rate = (len(time_s) - 1) / float(time_s[-1] - time_s[0])
    nominal = float(stream.text("nominal_srate"))
    if abs(rate / nominal - 1.0) > _RATE_TOLERANCE:
        raise RecordingError(
            f"{path}: {stream.place}: {rate:.3f} samples a second, but its header says "
            f"{nominal:g} Hz; samples are missing or its rate is wrong"
        )
    return time_s, exact_rate(rate)
