"""Tables as EDF+ and BDF+, and such files of any system whose labels and units say enough.

A channel of integers is written as they are: digital = raw count or prediction, and the physical
range such that physical = count * lsb, as near as a header of eight characters can say it. The
exact value of a count, the muscles' full names, checksums and what else has no field stand as JSON
in the first annotation ("MyoWave {...}"). A channel of values is scaled to the full 16 or 24 bits.
A file consists of whole seconds and knows no gap: what is missing, also at its end, holds the
physical value 0 and is annotated as "missing", with its duration.

EDF+: Kemp & Olivan, Clin. Neurophysiol. 114, 2003, and edfplus.info. BDF+ is the same with 24 bits.
"""

import json
import math
import warnings
import zlib
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.errors import ConfigError, RecordingError
from myowave.files import written_whole
from myowave.formats.labels import describe
from myowave.formats.table import (
    Annotation,
    Channel,
    Table,
    kind_of,
    missing_spans,
    parse_json,
    table_of_header,
    with_missing,
)
from myowave.formats.tal import read_annotations
from myowave.readers.source import MAX_VALUES
from myowave.recording import RATE_HZ

NAME = "edf"

_OURS = "MyoWave "
_EDF_MAGIC = b"0       "
_BDF_MAGIC = b"\xffBIOSEMI"
_HEAD_BYTES = 256
_MONTHS = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"
_LABELS = {"acc": "ACC", "gyro": "GYRO", "emg": "EMG", "envelope": "ENV"}
# Eight characters hold the ends of a range, the lower with its sign.
_LARGEST = 9_999_999
# EDF headers have two digits for the year: 1985 to 2084.
_FIRST, _LAST = date(1985, 1, 1), date(2084, 12, 31)


def write(table: Table, path: Path, *, bdf: bool = False) -> None:
    """Write a table as EDF+, or as BDF+.

    Raises
    ------
    RecordingError
        If a value is larger than a header can say.
    ConfigError
        If edfio is not installed or the file cannot be written.
    """
    edfio = require_library()
    for channel in table.channels:
        if not channel.is_integer and np.abs(channel.filled()).max() > _LARGEST:
            raise RecordingError(
                f"{path}: {channel.name} reaches beyond {_LARGEST} {channel.unit}, more than "
                "a header of EDF+ or BDF+ can say; export as .parquet"
            )
    signal_type = edfio.BdfSignal if bdf else edfio.EdfSignal
    seconds = -(-table.n_samples // RATE_HZ)
    labels = unique_labels(table)
    signals = [
        _signal(signal_type, channel, label, _transducer(channel, table), seconds * RATE_HZ)
        for channel, label in zip(table.channels, labels, strict=True)
    ]
    header = {
        **table.header(brief=True),
        "samples": table.n_samples,
        "crc32": [_checksum(signal) for signal in signals],
    }
    annotations = [edfio.EdfAnnotation(0.0, None, _OURS + json.dumps(header))]
    spans = [*table.annotations, *missing_spans(table)]
    if rest := seconds * RATE_HZ - table.n_samples:
        spans.append(Annotation(table.n_samples / RATE_HZ, rest / RATE_HZ, "missing"))
    annotations += [
        edfio.EdfAnnotation(span.onset_s, span.duration_s or None, span.words())
        for span in sorted(spans)
    ]
    day, clock = _moment(table, seconds)
    model = str(table.facts.get("model_sha256", ""))[:12]
    file = (edfio.Bdf if bdf else edfio.Edf)(
        signals,
        patient=edfio.Patient(code=_subfield(table.subject, 20)),
        recording=edfio.Recording(
            startdate=day,
            equipment_code="MyoWave",
            additional=[f"model_{model}"] if model else [],
        ),
        starttime=clock,
        data_record_duration=1,
        annotations=annotations,
    )
    with written_whole(path) as unfinished:
        file.write(unfinished)


def matches(head: bytes) -> bool:
    """Tell whether the first bytes of a file are those of an EDF or BDF file."""
    return head.startswith((_EDF_MAGIC, _BDF_MAGIC)) and len(head) > 8


def is_ours(path: Path) -> bool:
    """Tell whether an EDF or BDF file was exported by this program."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return matches(head) and b" MyoWave" in head[88:168]


def read(path: Path, *, allow_short: bool = False, types: Mapping[str, str] | None = None) -> Table:
    """Read an EDF, EDF+, BDF or BDF+ file.

    Channels that are neither sEMG nor acceleration nor angular rate, as far as their labels or
    `types` (by label) say, are left out.

    Raises
    ------
    RecordingError
        If the file is damaged, cut off (unless `allow_short`), has gaps (EDF+D), or is larger than
        a recording may be.
    ConfigError
        If edfio is not installed.
    """
    edfio = require_library()
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    bdf = head.startswith(_BDF_MAGIC)
    kind = "BDF" if bdf else "EDF"
    if path.stat().st_size > MAX_VALUES * (3 if bdf else 2):
        raise RecordingError(f"{path}: over {MAX_VALUES} values, the most one recording may have")
    if head[192:197] in (b"EDF+D", b"BDF+D"):
        raise RecordingError(
            f"{path}: {kind}+D, a recording with gaps, expected a continuous one ({kind}+C)"
        )
    try:
        with warnings.catch_warnings():
            # What edfio only warns of is a file that is not whole.
            warnings.simplefilter("ignore" if allow_short else "error")
            opened = (edfio.read_bdf if bdf else edfio.read_edf)(path)
            return _table(path, opened, read_annotations(path), types or {})
    except (RecordingError, ConfigError):
        raise
    except UserWarning as warning:
        raise RecordingError(
            f"{path}: {kind} file that is not whole ({_one_line(warning)}); keep what is there "
            "with --allow-short"
        ) from None
    except Exception as error:  # edfio raises nearly anything at a damaged file
        raise RecordingError(f"{path}: damaged {kind} file ({_one_line(error)})") from None


def require_library() -> Any:
    """Return the module edfio; raise ConfigError if it is not installed."""
    try:
        import edfio
    except ImportError:
        raise ConfigError(
            "EDF and BDF files need the package edfio: pip install '.[formats]' in the clone"
        ) from None
    return edfio


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


# ---- writing -------------------------------------------------------------------------------------


def _signal(signal_type: Any, channel: Channel, label: str, transducer: str, length: int) -> Any:
    """Return one signal, padded to `length`; its type says how many bits a sample has."""
    bits = 15 if signal_type.__name__ == "EdfSignal" else 23
    samples = channel.filled()
    if channel.is_integer:
        # Predictions are eight bits wide, counts sixteen.
        top = 128 if channel.kind == "envelope" else 32768
        digital_range = (-top, top - 1)
        physical_range = tuple(
            _eight_characters((digital - channel.zero) * channel.lsb) for digital in digital_range
        )
        digital = samples.astype(np.int64)
        fill = channel.zero
    else:
        top = (1 << bits) - 1
        largest = _eight_characters(max(float(np.nanmax(np.abs(samples))), 1e-3), math.ceil)
        digital_range, physical_range = (-top, top), (-largest, largest)
        digital = np.rint(samples * (top / largest)).astype(np.int64)
        fill = 0
    padded = np.full(length, fill, dtype=np.int32 if bits > 15 else np.int16)
    padded[: len(digital)] = digital
    return signal_type.from_digital(
        padded,
        RATE_HZ,
        label=label,
        transducer_type=_ascii(transducer, 80),
        physical_dimension=channel.unit,
        physical_range=physical_range,
        digital_range=digital_range,
    )


def _checksum(signal: Any) -> int:
    """Return the CRC-32 of a signal's integers and of their range; the format itself has none."""
    ends = (signal.digital_min, signal.digital_max, signal.physical_min, signal.physical_max)
    return zlib.crc32(signal.digital.astype("<i4").tobytes(), zlib.crc32(repr(ends).encode()))


def _transducer(channel: Channel, table: Table) -> str:
    if channel.kind == "emg":
        return f"sEMG {channel.muscle}"
    if channel.kind == "envelope":
        model = str(table.facts.get("model_sha256", ""))[:12]
        return f"predicted from the IMU by model {model}: {channel.muscle}"
    if not channel.is_integer:
        return "IMU"
    return f"{table.facts.get('imu', 'IMU')}, 1 count = {channel.lsb!r} {channel.unit}"


def _eight_characters(value: float, rounded: Any = round) -> float:
    """Round a number to what eight characters of a header can say; `rounded` away from a half."""
    # "-12.3456": sign, point and six digits.
    decimals = max(0, 6 - len(str(int(abs(value)))))
    return float(rounded(value * 10**decimals) / 10**decimals)


def unique_labels(table: Table) -> list[str]:
    """Return labels of up to 16 characters, each once: "ACC X", "EMG biceps", "ENV biceps"."""
    labels: list[str] = []
    for channel in table.channels:
        rest = channel.muscle or channel.name[-1].upper()
        label = _ascii(f"{_LABELS[channel.kind]} {rest}", 16)
        number = 2
        while label in labels:
            label = f"{label[: 15 - len(str(number))]} {number}"
            number += 1
        labels.append(label)
    return labels


def _ascii(text: str, length: int) -> str:
    plain = text.encode("ascii", "replace").decode()
    return "".join(c if c.isprintable() else " " for c in plain)[:length].strip()


def _subfield(text: str, length: int) -> str:
    return _ascii(text, length).replace(" ", "_") or "X"


def _moment(table: Table, records: int) -> tuple[date | None, time]:
    """Return day and time of the start as far as known and as the format can say, in UTC."""
    if table.start_s is not None:
        whole, part_us = divmod(round(1e6 * table.start_s), 1_000_000)
        start = datetime.fromtimestamp(whole, UTC)
        start = start.replace(microsecond=_short_fraction(part_us, records))
        if _FIRST <= start.date() <= _LAST:
            return start.date(), start.time()
    if table.day and _FIRST <= date.fromisoformat(table.day) <= _LAST:
        return date.fromisoformat(table.day), time()
    return None, time()


def _short_fraction(part_us: int, records: int) -> int:
    """Return the fraction of a second nearest to `part_us` whose sums stay decimal.

    edfio writes the start of each record as the shortest text of a float sum, which for some
    fractions is 1.7046869999999998; EDFlib, on which many programs rest, takes such a file for
    damaged. Between two powers of two all sums round alike, so a few decide. Of all fractions none
    is farther than 12 µs from one that stays short, however long the file.
    """

    def is_short(candidate: int) -> bool:
        return all(
            (1 << power) + candidate / 1e6 == float(f"{1 << power}.{candidate:06d}")
            for power in range(records.bit_length())
        )

    nearby = range(max(0, part_us - 12), min(999_999, part_us + 12) + 1)
    return next(us for us in sorted(nearby, key=lambda us: abs(us - part_us)) if is_short(us))


# ---- reading -------------------------------------------------------------------------------------


def _table(
    path: Path, opened: Any, notes: list[tuple[float, float, str]], types: Mapping[str, str]
) -> Table:
    ours = next((text for *_, text in notes if text.startswith(_OURS + "{")), None)
    annotations = tuple(Annotation.from_words(*one) for one in notes if one[2] is not ours)
    missing = [one for one in annotations if one.kind == "missing"]
    others = tuple(one for one in annotations if one.kind != "missing")
    if not is_ours(path):
        found = _foreign_channels(opened, types)
        used = {one.place for one in found}
        return Table(
            with_missing(found, missing),
            others,
            subject=_known(opened.patient.code) or _known(opened.patient.name),
            day=_day(path),
            left_out=tuple(
                signal.label
                for index, signal in enumerate(opened.signals)
                if _place(index, signal) not in used
            ),
        )
    if ours is None:
        raise RecordingError(f"{path}: its annotation 'MyoWave' is missing; export it again")
    header = parse_json(path, ours.removeprefix(_OURS), "annotation 'MyoWave'")
    names = [one.get("name", "") for one in header.get("channels", []) if isinstance(one, dict)]
    n_samples = header.get("samples")
    if len(names) != len(opened.signals) or type(n_samples) is not int or n_samples < 1:
        raise RecordingError(
            f"{path}: {len(opened.signals)} signals, but its annotation names {len(names)}; it was "
            "changed after export"
        )
    if header.get("crc32") != [_checksum(signal) for signal in opened.signals]:
        raise RecordingError(
            f"{path}: its samples were changed after export; export it again, or take 'MyoWave' "
            "out of its recording identification to have it read as any other file"
        )
    steps = {one.get("name"): one for one in header["channels"] if isinstance(one, dict)}
    channels = tuple(
        _own_channel(path, place, str(name), steps[name], n_samples)
        for place, name in zip(enumerate(opened.signals), names, strict=True)
    )
    return table_of_header(path, header, with_missing(channels, missing), others)


def _own_channel(
    path: Path, numbered: tuple[int, Any], name: str, step: dict[str, Any], n_samples: int
) -> Channel:
    index, signal = numbered
    kind = kind_of(name)
    if kind is None:
        raise RecordingError(f"{path}: unknown channel '{name[:40]}'")
    digital: NDArray[Any] = signal.digital[:n_samples]
    if len(digital) != n_samples:
        raise RecordingError(
            f"{path}: {len(digital)} samples, expected {n_samples}; is the file cut off?"
        )
    samples = digital.astype(np.int16) if "lsb" in step else _physical(signal, digital)
    return Channel(
        kind,
        name,
        samples,
        signal.physical_dimension,
        place=_place(index, signal),
    )


def _foreign_channels(opened: Any, types: Mapping[str, str]) -> list[Channel]:
    channels = []
    for index, signal in enumerate(opened.signals):
        found = describe(signal.label, types.get(signal.label, ""))
        if found is None:
            continue
        kind, name, sensor = found
        record_s = Fraction(opened.data_record_duration).limit_denominator(1_000_000)
        channels.append(
            Channel(
                kind,
                name,
                _physical(signal, signal.digital),
                signal.physical_dimension,
                rate_hz=signal.samples_per_data_record / record_s,
                sensor=sensor,
                place=_place(index, signal),
            )
        )
    return channels


def _place(index: int, signal: Any) -> str:
    return f"signal {index + 1} '{signal.label}'"


def _physical(signal: Any, digital: NDArray[Any]) -> NDArray[np.float64]:
    """Return samples in the signal's unit; a range that says nothing is refused."""
    steps = signal.digital_max - signal.digital_min
    gain = (signal.physical_max - signal.physical_min) / steps if steps else 0.0
    if not gain:
        raise ValueError(f"signal '{signal.label}' has no range, so its unit means nothing")
    values = (digital.astype(np.float64) - signal.digital_min) * gain + signal.physical_min
    return np.asarray(values, dtype=np.float64)


def _known(text: str) -> str:
    return "" if text in ("", "X") else text.replace("_", " ")


def _day(path: Path) -> str:
    """Return the day a foreign file began; "" where it does not say."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES).decode("ascii", "replace")
    words = head[88:168].split()
    if words[:1] == ["Startdate"]:
        # EDF+; "X" where it was taken out. Months are English whatever the computer speaks.
        day, _, rest = (words[1] if len(words) > 1 else "X").upper().partition("-")
        month, _, year = rest.partition("-")
        text = f"{year}-{_MONTHS.find(month) // 3 + 1:02d}-{day}"
    else:
        # 01.01.85 is what programs write that know no day.
        day, month, year = head[168:170], head[171:173], head[174:176]
        century = "19" if year >= "85" else "20"
        text = "" if head[168:176] == "01.01.85" else f"{century}{year}-{month}-{day}"
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""
