"""Tables as a BIDS dataset, and the motion and sEMG of one run back out of any such dataset.

What was measured is raw data: sEMG goes to `emg/` as BDF+ (BEP042, BIDS 1.11), the IMU to
`motion/` as TSV (Jeung et al., Motion-BIDS, Sci. Data 11, 2024), markers to events of both. The
predicted envelope was not measured; it depends on a model, and a program that gathers EMG must
never take it for one. So it is a derivative, a dataset of its own in `derivatives/myowave`, as
channels of type MISC, and its description names the model by its digest.

Facts a log or recording cannot know (electrode placement, power line, instructions) are "n/a" or
left out, for a person to fill in.
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.errors import ConfigError, RecordingError
from myowave.files import write_atomically, written_whole
from myowave.formats import edf
from myowave.formats.table import (
    ANNOTATION_KINDS,
    Annotation,
    Channel,
    ChannelKind,
    Table,
    from_iso_utc,
    missing_spans,
    parse_json,
    table_of_header,
)
from myowave.readers.table import TableLayout, read_columns, read_head
from myowave.recording import RATE_HZ
from myowave.resample import exact_rate

NAME = "bids"
BIDS_VERSION = "1.11.1"

_TRACKSYS = "imu"
_OURS = "MyoWave"
_ENTITIES = re.compile(r"(?:^|_)(sub|ses|task|tracksys|acq|run|recording)-([0-9a-zA-Z+]+)")
_MOTION = re.compile(r"sub-[0-9a-zA-Z+]+_.*_motion\.tsv")
_KIND_OF_TYPE: dict[str, ChannelKind] = {"ACCEL": "acc", "GYRO": "gyro"}
_TYPE_OF_KIND = {"acc": "ACCEL", "gyro": "GYRO", "emg": "EMG", "envelope": "MISC"}
_MOTION_TYPES = (
    *("ACCEL", "ANGACCEL", "GYRO", "JNTANG", "LATENCY"),
    *("MAGN", "MISC", "ORNT", "POS", "VEL"),
)
_SCANS = ("filename", "acq_time")
_PARTICIPANTS = ("participant_id",)
_ROWS_A_BLOCK = 1 << 16
_README = """MyoWave recordings

Each run holds what an inertial sensor on the arm measured (motion/) and, where it was recorded, raw
surface EMG (emg/), on one time axis; all times are UTC. What a model predicted from the motion, the
envelope of muscle activity as a fraction of the subject's reference, is in derivatives/myowave and
is no measurement. Made by `myowave export`; not for medical use.
"""


@dataclass(frozen=True)
class Run:
    """Where in a dataset a recording goes.

    Attributes
    ----------
    subject, task : str
        Labels: letters and digits.
    session : str
        Label; "" for none.
    run : int or None
        Number of several runs of one task.
    """

    subject: str
    task: str = "movement"
    session: str = ""
    run: int | None = None

    def __post_init__(self) -> None:
        """Refuse labels that cannot stand in a file name."""
        for what, label in (
            ("subject", self.subject),
            ("task", self.task),
            ("session", self.session),
        ):
            if not re.fullmatch(r"[0-9a-zA-Z]+", label) and not (what == "session" and not label):
                raise ConfigError(f"--{what} '{label}': BIDS takes letters and digits only")
        if self.run is not None and not 0 < self.run < 10_000:
            raise ConfigError(f"--bids-run {self.run}: expected a number from 1")

    @property
    def folder(self) -> Path:
        """Folder of the subject or session within a dataset."""
        folder = Path(f"sub-{self.subject}")
        return folder / f"ses-{self.session}" if self.session else folder

    @property
    def entities(self) -> str:
        """Beginning of the names of the run's folder-wide files."""
        return f"sub-{self.subject}" + (f"_ses-{self.session}" if self.session else "")

    def name(self, suffix: str, *, tracksys: str = "", recording: str = "") -> str:
        """Return a file name, entities in the standard's order."""
        return "_".join(
            part
            for part in (
                self.entities,
                f"task-{self.task}",
                f"tracksys-{tracksys}" if tracksys else "",
                f"run-{self.run}" if self.run is not None else "",
                f"recording-{recording}" if recording else "",
                suffix,
            )
            if part
        )


def label(text: str, otherwise: str) -> str:
    """Return the letters and digits of a text, which is what a BIDS label may hold."""
    return re.sub(r"[^0-9a-zA-Z]", "", text) or otherwise


# ---- writing -------------------------------------------------------------------------------------


def require_dataset(root: Path) -> None:
    """Refuse a folder a run cannot be added to: neither empty nor a BIDS dataset.

    Raises
    ------
    ConfigError
        If it is one, or a file.
    """
    if not root.exists():
        return
    if not root.is_dir():
        raise ConfigError(f"{root}: is a file, expected a folder for the BIDS dataset")
    if any(root.iterdir()) and not (root / "dataset_description.json").is_file():
        raise ConfigError(
            f"{root}: holds files but no dataset_description.json, expected a BIDS dataset or an "
            "empty folder"
        )


def write(table: Table, root: Path, run: Run) -> list[Path]:
    """Add a table to the BIDS dataset in `root` as one run; make the dataset if there is none.

    What describes the dataset is only written where it is absent. Files of an earlier export of
    the same run are replaced, others never.

    Returns
    -------
    list of Path
        The files of samples.

    Raises
    ------
    ConfigError
        If `root` is not a dataset, its lists of participants or scans cannot be added to, the run
        is there and not ours, or a file cannot be written.
    """
    require_dataset(root)
    folder = root / run.folder
    derivatives = root / "derivatives" / "myowave"
    motion = replace(table, channels=table.of("acc", "gyro"))
    emg = replace(table, channels=table.of("emg"))
    envelope = replace(table, channels=table.of("envelope"))
    for part, where in (
        (motion, folder / "motion"),
        (emg, folder / "emg"),
        (envelope, derivatives / run.folder / "emg"),
    ):
        if part.channels:
            _require_ours(where, run)
    if emg.channels or envelope.channels:
        edf.require_library()

    scans_file = folder / f"{run.entities}_scans.tsv"
    for listed, titles in ((scans_file, _SCANS), (root / "participants.tsv", _PARTICIPANTS)):
        _rows_to_extend(listed, titles)

    _describe_dataset(root, table)
    raw = []
    if motion.channels:
        raw.append(_write_motion(motion, folder / "motion", run))
    if emg.channels:
        raw.append(_write_emg(emg, folder / "emg", run))
    scans = [(path.relative_to(folder).as_posix(), _acq_time(table)) for path in raw]
    _add_rows(scans_file, _SCANS, scans)
    _add_rows(root / "participants.tsv", _PARTICIPANTS, [(f"sub-{run.subject}",)])
    if not envelope.channels:
        return raw
    _describe_derivatives(derivatives, table)
    return [*raw, _write_envelope(envelope, derivatives / run.folder / "emg", run)]


def _require_ours(folder: Path, run: Run) -> None:
    """Refuse to replace a run of another program, whose sidecar may lie in a folder above."""
    if not folder.is_dir():
        return
    for path in sorted(folder.glob(f"{run.entities}_task-{run.task}_*")):
        entities, suffix = _entities(path)
        if suffix not in ("motion", "emg") or entities.get("run") != _text(run.run):
            continue
        sidecar = path.with_suffix(".json")
        if not sidecar.is_file() or _OURS not in parse_json(
            sidecar, sidecar.read_bytes(), "sidecar"
        ):
            raise ConfigError(
                f"{path}: this run is there and was not exported by MyoWave, so it is not "
                "replaced; name another --bids-run, --session or --task"
            )


def _text(run: int | None) -> str | None:
    return None if run is None else str(run)


def _acq_time(table: Table) -> str:
    # A day alone is no time, and midnight would be an invention.
    return table.start or "n/a"


def _describe_dataset(root: Path, table: Table) -> None:
    name = table.name or "recordings"
    for file, text in (
        (
            "dataset_description.json",
            _json(
                {
                    "Name": f"MyoWave: {name}",
                    "BIDSVersion": BIDS_VERSION,
                    "DatasetType": "raw",
                    "GeneratedBy": [_generator()],
                }
            ),
        ),
        ("README", _README),
        (
            "participants.json",
            _json({"participant_id": {"Description": "One person, as the recordings name them."}}),
        ),
    ):
        if not (root / file).exists() and not (file == "README" and list(root.glob("README*"))):
            write_atomically(root / file, text)


def _describe_derivatives(root: Path, table: Table) -> None:
    path = root / "dataset_description.json"
    if path.exists():
        return
    model = {key: table.facts.get(key) for key in ("model", "model_sha256") if key in table.facts}
    write_atomically(
        path,
        _json(
            {
                "Name": "Envelopes of muscle activity predicted from motion",
                "BIDSVersion": BIDS_VERSION,
                "DatasetType": "derivative",
                "GeneratedBy": [{**_generator(), "Description": f"Model {json.dumps(model)}"}],
            }
        ),
    )
    write_atomically(root / "README", _README)


def _generator() -> dict[str, str]:
    return {"Name": _OURS, "Version": metadata.version("myowave")}


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _write_motion(table: Table, folder: Path, run: Run) -> Path:
    path = folder / run.name("motion.tsv", tracksys=_TRACKSYS)
    _write_matrix(table, path)
    kinds = [_TYPE_OF_KIND[channel.kind] for channel in table.channels]
    facts = table.facts
    sidecar = {
        **_task(run),
        "TrackingSystemName": str(facts.get("imu", "IMU")),
        "SamplingFrequency": RATE_HZ,
        "SamplingFrequencyEffective": _effective_rate(facts),
        "RecordingDuration": table.n_samples / RATE_HZ,
        "RecordingType": "continuous",
        "MissingValues": "n/a",
        "MotionChannelCount": len(kinds),
        **{f"{kind}ChannelCount": kinds.count(kind) for kind in _MOTION_TYPES},
        "TrackedPointsCount": 1,
        **_hardware(facts),
        _OURS: table.header(),
    }
    rows = [
        (
            channel.name,
            channel.name[-1],
            _TYPE_OF_KIND[channel.kind],
            "arm",
            channel.unit,
            "sensor",
        )
        for channel in table.channels
    ]
    titles = ("name", "component", "type", "tracked_point", "units", "reference_frame")
    channels = folder / run.name("channels.tsv", tracksys=_TRACKSYS)
    write_atomically(channels, _tsv(titles, rows))
    write_atomically(
        channels.with_suffix(".json"),
        _json(
            {
                "reference_frame": {
                    "Levels": {
                        "sensor": {
                            "Description": "Axes of the sensor as it is worn; not fixed in space.",
                            "SpatialAxes": "n/a",
                            "RotationOrder": "n/a",
                            "RotationRule": "n/a",
                        }
                    }
                }
            }
        ),
    )
    write_atomically(path.with_suffix(".json"), _json(sidecar))
    _write_events(table, folder, run)
    return path


def _write_emg(table: Table, folder: Path, run: Run) -> Path:
    path = folder / run.name("emg.bdf")
    edf.write(table, path, bdf=True)
    resampling = table.facts.get("provenance", {}).get("resampling")
    sidecar = {
        **_task(run),
        **_emg_required(resampling if isinstance(resampling, dict) else None),
        "EMGPlacementSchemeDescription": "Not stated by the source of the recording.",
        "EMGReference": "n/a",
        "EMGChannelCount": len(table.channels),
        "RecordingDuration": table.n_samples / RATE_HZ,
        "HardwareFilters": "n/a",
        _OURS: {"simulated": bool(table.facts.get("provenance", {}).get("simulated", False))},
    }
    rows = [
        (label, "EMG", channel.unit, channel.muscle)
        for label, channel in zip(edf.unique_labels(table), table.channels, strict=True)
    ]
    write_atomically(
        folder / run.name("channels.tsv"),
        _tsv(("name", "type", "units", "target_muscle"), rows),
    )
    write_atomically(path.with_suffix(".json"), _json(sidecar))
    _write_events(table, folder, run)
    return path


def _write_envelope(table: Table, folder: Path, run: Run) -> Path:
    path = folder / run.name("emg.edf", recording="envelope")
    edf.write(table, path)
    sidecar = {
        **_task(run),
        **_emg_required(None),
        "Description": "Envelope of muscle activity predicted from motion by a neural network, as "
        "a fraction of the subject's reference; not measured.",
        "EMGPlacementSchemeDescription": "No electrodes: predicted from motion.",
        "EMGReference": "n/a",
        "EMGChannelCount": 0,
        "MISCChannelCount": len(table.channels),
        "RecordingDuration": table.n_samples / RATE_HZ,
        _OURS: table.header(),
    }
    write_atomically(path.with_suffix(".json"), _json(sidecar))
    return path


def _emg_required(resampling: dict[str, Any] | None) -> dict[str, Any]:
    filters: Any = "n/a"
    if resampling:
        filters = {"Resampling to 1 kHz": resampling}
    return {
        "SamplingFrequency": RATE_HZ,
        "PowerLineFrequency": "n/a",
        "RecordingType": "continuous",
        "SoftwareFilters": filters,
        "EMGPlacementScheme": "Other",
    }


def _task(run: Run) -> dict[str, str]:
    return {"TaskName": run.task}


def _hardware(facts: dict[str, Any]) -> dict[str, str]:
    if "board" not in facts:
        return {}
    return {
        "ManufacturersModelName": str(facts["board"]),
        "SoftwareVersions": f"MyoWave firmware {facts.get('firmware')}",
    }


def _effective_rate(facts: dict[str, Any]) -> float:
    """Return the rate by the host's clock: a board that is fast takes more samples a second."""
    clocks = facts.get("clock") or [{}]
    drift_ppm = clocks[0].get("drift_ppm")
    return RATE_HZ * (1.0 + 1e-6 * (drift_ppm or 0.0))


def _write_matrix(table: Table, path: Path) -> None:
    """Write one column a channel without titles, n/a in gaps."""
    import pyarrow as pa
    from pyarrow import csv as pa_csv

    columns = [channel.values() for channel in table.channels]
    with written_whole(path) as unfinished, unfinished.open("wb") as file:
        for first in range(0, table.n_samples, _ROWS_A_BLOCK):
            rows = [pa.array(one[first : first + _ROWS_A_BLOCK]) for one in columns]
            if any(np.isnan(one[first : first + _ROWS_A_BLOCK]).any() for one in columns):
                # Arrow prints missing values as nothing, which this standard does not know.
                rows = [_with_na(row) for row in rows]
            pa_csv.write_csv(
                pa.table(rows, names=[channel.name for channel in table.channels]),
                file,
                pa_csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none"),
            )


def _with_na(column: Any) -> Any:
    import pyarrow as pa
    from pyarrow import compute

    text = column.cast(pa.string())
    return compute.if_else(compute.is_nan(column), "n/a", text)


def _write_events(table: Table, folder: Path, run: Run) -> None:
    tracksys = _TRACKSYS if folder.name == "motion" else ""
    path = folder / run.name("events.tsv", tracksys=tracksys)
    points = [one for one in table.points() if one.kind != "board"]
    spans = sorted([*points, *missing_spans(table)])
    if not spans:
        path.unlink(missing_ok=True)
        return
    rows = [
        (f"{one.onset_s:.6f}", f"{one.duration_s:.6f}", one.kind, _cell(one.text)) for one in spans
    ]
    write_atomically(path, _tsv(("onset", "duration", "trial_type", "label"), rows))
    write_atomically(
        path.with_suffix(".json"),
        _json(
            {
                "trial_type": {
                    "Description": "What happened",
                    "Levels": {
                        "marker": "Set by a person, with a label",
                        "note": "Remark of a person",
                        "event": "The board's port was lost or came back",
                        "missing": "Samples are missing, of the kind in label or of all",
                    },
                },
                "label": {"Description": "Label of the marker, text of the note"},
            }
        ),
    )


def _cell(text: str) -> str:
    return " ".join(text.split()) or "n/a"


def _tsv(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in (titles, *rows))


def _add_rows(path: Path, titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Add rows to a TSV; of one with the same first cell, what others wrote into it stays."""
    header, kept = _rows_to_extend(path, titles)
    for row in rows:
        kept[row[0]] = kept.get(row[0], {}) | dict(zip(titles, row, strict=True))
    lines = [[one.get(title, "n/a") for title in header] for one in kept.values()]
    write_atomically(path, _tsv(header, lines))


def _rows_to_extend(
    path: Path, titles: tuple[str, ...]
) -> tuple[Sequence[str], dict[str, dict[str, str]]]:
    """Return the titles of a TSV and its rows by their cell of `titles[0]`.

    Raises
    ------
    ConfigError
        If it cannot be read, or has no such columns.
    """
    if not path.exists():
        return titles, {}
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path}: cannot be read, expected a TSV in UTF-8") from None
    header, *rows = [line.split("\t") for line in lines] or [[""]]
    if any(title not in header for title in titles):
        raise ConfigError(f"{path}: columns {', '.join(header)}, expected {', '.join(titles)}")
    if any(len(row) != len(header) for row in rows):
        raise ConfigError(f"{path}: a row has not {len(header)} cells as the titles have")
    named = [dict(zip(header, row, strict=True)) for row in rows]
    return header, {row[titles[0]]: row for row in named}


# ---- reading -------------------------------------------------------------------------------------


def matches(path: Path) -> bool:
    """Tell whether a file is the motion of a run of a BIDS dataset, by its name and place."""
    return _MOTION.fullmatch(path.name) is not None and path.parent.name == "motion"


def find_runs(folder: Path) -> list[Path]:
    """Return the `*_motion.tsv` of a folder that is a BIDS dataset, or a part of one."""
    is_dataset = (folder / "dataset_description.json").is_file()
    if not is_dataset and not folder.name.startswith(("sub-", "ses-")):
        return []
    found = (path for path in folder.rglob("*_motion.tsv") if matches(path))
    others = {"derivatives", "sourcedata"}
    return sorted(path for path in found if others.isdisjoint(path.relative_to(folder).parts))


def read(path: Path, *, allow_short: bool = False) -> Table:
    """Read one run: its `*_motion.tsv`, and the sEMG recorded with it where there is some.

    Raises
    ------
    RecordingError
        If a sidecar or the list of channels is missing or damaged, or a channel has no values.
    """
    sidecar = _inherited(path, "motion")
    rows = _channel_rows(path, "motion")
    if rows is None:
        raise RecordingError(f"{path}: no *_channels.tsv beside it, so its columns mean nothing")
    rate = _rate(path, sidecar)
    head = read_head(path)
    columns = len(head[0].split("\t")) if head else 0
    if columns != len(rows):
        raise RecordingError(
            f"{path}: {columns} columns, but its *_channels.tsv lists {len(rows)} channels"
        )
    chosen = [index for index, row in enumerate(rows) if row["type"].upper() in _KIND_OF_TYPE]
    layout = TableLayout(0, "\t", ".", tuple(row["name"] for row in rows), missing="n/a")
    values = read_columns(path, layout, chosen)
    channels = [
        _motion_channel(path, rows[index], index, values[:, position], rate)
        for position, index in enumerate(chosen)
    ]
    left_out = tuple(row["name"] for row in rows if row["type"].upper() not in _KIND_OF_TYPE)
    ours = sidecar.get(_OURS)
    if isinstance(ours, dict):
        named = [
            replace(one, name=rows[index]["name"], sensor="")
            for one, index in zip(channels, chosen, strict=True)
        ]
        table = table_of_header(path, ours, named, _events_of(path))
    else:
        entities, _ = _entities(path)
        table = Table(
            tuple(channels),
            _events_of(path),
            subject=entities.get("sub", ""),
            day=_day(path),
            left_out=left_out,
        )
    emg = _emg_of(path)
    if emg is None:
        return table
    signals = edf.read(emg, allow_short=allow_short, types=_emg_types(emg))
    late_s = _start_of(emg) - _start_of(path)
    return replace(
        table,
        channels=(
            *table.channels,
            *(
                replace(
                    one,
                    start_s=one.start_s + (late_s if np.isfinite(late_s) else 0.0),
                    place=f"{emg.name}, {one.place}",
                )
                for one in signals.of("emg")
            ),
        ),
        left_out=(*table.left_out, *signals.left_out),
    )


def _motion_channel(
    path: Path, row: dict[str, str], index: int, values: NDArray[np.float64], rate: Fraction
) -> Channel:
    kind = _KIND_OF_TYPE[row["type"].upper()]
    axis = row.get("component", "").lower()
    if axis not in ("x", "y", "z"):
        raise RecordingError(
            f"{path}: channel '{row['name']}' has the component '{axis}', expected x, y or z"
        )
    return Channel(
        kind,
        f"{kind}_{axis}",
        values,
        row.get("units", ""),
        rate_hz=rate,
        sensor=row.get("tracked_point", ""),
        place=f"column {index + 1} '{row['name']}'",
    )


def _rate(path: Path, sidecar: dict[str, Any]) -> Fraction:
    """Return the sampling rate: ours is exact by the board's clock, another's the measured one."""
    names = ["SamplingFrequencyEffective", "SamplingFrequency"]
    for name in reversed(names) if _OURS in sidecar else names:
        rate = sidecar.get(name)
        if isinstance(rate, int | float) and 1.0 <= rate <= 100_000.0:
            return exact_rate(float(rate))
    raise RecordingError(
        f"{path}: no SamplingFrequency from 1 to 100000 Hz in its sidecar *_motion.json"
    )


def _entities(path: Path) -> tuple[dict[str, str], str]:
    """Return the entities of a file's name and its suffix, such as "motion"."""
    stem = path.name.partition(".")[0]
    return dict(_ENTITIES.findall(stem)), stem.rpartition("_")[2]


def _applicable(path: Path, suffix: str, extension: str) -> list[Path]:
    """Return the files that describe `path`, the most general first (the inheritance principle)."""
    entities, _ = _entities(path)
    folders = [path.parent]
    while (
        not (folders[-1] / "dataset_description.json").is_file()
        and folders[-1].parent != folders[-1]
        and len(folders) < 4
    ):
        folders.append(folders[-1].parent)
    found = []
    for folder in reversed(folders):
        inside = []
        for candidate in folder.glob(f"*{suffix}{extension}"):
            own, own_suffix = _entities(candidate)
            if own_suffix == suffix and all(entities.get(k) == v for k, v in own.items()):
                inside.append((len(own), candidate.name, candidate))
        found += [candidate for *_, candidate in sorted(inside)]
    return found


def _inherited(path: Path, suffix: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for sidecar in _applicable(path, suffix, ".json"):
        values |= parse_json(sidecar, sidecar.read_bytes(), "sidecar")
    return values


def _channel_rows(path: Path, datatype: str) -> list[dict[str, str]] | None:
    tables = [one for one in _applicable(path, "channels", ".tsv") if one.parent.name == datatype]
    return _rows(tables[-1], ("name", "type")) if tables else None


def _rows(path: Path, needed: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the rows of a small TSV by its titles."""
    titles, *rows = [line.split("\t") for line in read_head(path) if line.strip()]
    titles = [title.strip() for title in titles]
    if any(title not in titles for title in needed):
        raise RecordingError(f"{path}: columns {titles}, expected {', '.join(needed)} among them")
    if any(len(row) != len(titles) for row in rows):
        raise RecordingError(f"{path}: a row has not {len(titles)} cells as the titles have")
    return [dict(zip(titles, map(str.strip, row), strict=True)) for row in rows]


def _events_of(path: Path) -> tuple[Annotation, ...]:
    """Return markers and notes of a run; what another program calls otherwise is a marker."""
    found = []
    for events in _applicable(path, "events", ".tsv")[-1:]:
        for row in _rows(events, ("onset", "duration")):
            try:
                onset_s = float(row["onset"])
                duration_s = 0.0 if row["duration"] == "n/a" else float(row["duration"])
                if not (math.isfinite(onset_s) and math.isfinite(duration_s)):
                    raise ValueError("no time")
            except ValueError:
                raise RecordingError(
                    f"{events}: onset '{row['onset'][:20]}', duration '{row['duration'][:20]}', "
                    "expected seconds"
                ) from None
            kind, text = row.get("trial_type", ""), row.get("label", "n/a")
            ours = next((one for one in ANNOTATION_KINDS if one == kind), None)
            if ours is None:
                ours, text = "marker", kind
            # What is missing from the samples is n/a in them.
            if ours != "missing" and text != "n/a":
                found.append(Annotation(onset_s, duration_s, ours, text))
    return tuple(found)


def _emg_of(path: Path) -> Path | None:
    """Return the sEMG of the same subject, session, task and run."""
    entities, _ = _entities(path)
    same = {key: entities.get(key) for key in ("sub", "ses", "task", "run")}
    found = []
    for candidate in sorted((path.parent.parent / "emg").glob("*_emg.*df")):
        own, _ = _entities(candidate)
        if candidate.suffix in (".edf", ".bdf") and all(own.get(k) == v for k, v in same.items()):
            found.append(candidate)
    if len(found) > 1:
        raise RecordingError(
            f"{path}: {len(found)} sEMG files of this run ({', '.join(p.name for p in found)}), "
            "expected one"
        )
    return found[0] if found else None


def _emg_types(path: Path) -> dict[str, str]:
    rows = _channel_rows(path, "emg") or []
    return {row["name"]: row["type"] for row in rows}


def _scan_time(path: Path) -> str:
    """Return `acq_time` of a file in the scans of its folder; "" where it is not there."""
    for folder in (path.parent.parent, path.parent.parent.parent):
        for scans in sorted(folder.glob("*_scans.tsv")):
            for row in _rows(scans, ("filename",)):
                if row["filename"] == f"{path.parent.name}/{path.name}":
                    return row.get("acq_time", "")
    return ""


def _start_of(path: Path) -> float:
    try:
        start = from_iso_utc(_scan_time(path))
    except ValueError:
        return float("nan")
    return float("nan") if start is None else start


def _day(path: Path) -> str:
    time = _scan_time(path)
    return time[:10] if re.match(r"\d{4}-\d{2}-\d{2}", time) else ""
