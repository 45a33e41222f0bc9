"""Tables as MATLAB files (level 5): matrices with a row a sample, named and united beside them.

Variables: `time_s` (n, 1); `acc` (n, 3) in m/s^2; `gyro` (n, 3) in rad/s; `emg` (n, m) in mV;
`envelope` (n, m) as a fraction of the reference; NaN in gaps; `muscles`, `envelope_muscles` (cells
of names); `warm_up` (n, 1); `rate_hz`; `start` (UTC); `subject`, `day`, `name`; `annotations` (a
struct array of onset_s, duration_s, text); `myowave` (everything else, as JSON text).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.errors import RecordingError
from myowave.files import written_whole
from myowave.formats.parquet import annotations_of
from myowave.formats.table import KINDS, Channel, Table, parse_json, table_of_header
from myowave.imu import IMU_CHANNELS
from myowave.readers.source import MAX_VALUES
from myowave.recording import RATE_HZ

NAME = "myowave-matlab"
_HEADER = "myowave"


def write(table: Table, path: Path) -> None:
    """Write a table; `read` gives it back exactly.

    Raises
    ------
    RecordingError
        If a matrix is over the 4 GB the format can hold.
    ConfigError
        If the file cannot be written.
    """
    from scipy import io

    header = {
        **table.header(),
        "annotations": [[a.onset_s, a.duration_s, a.words()] for a in table.annotations],
    }
    variables: dict[str, Any] = {
        _HEADER: json.dumps(header),
        "rate_hz": float(RATE_HZ),
        "start": table.start,
        "subject": table.subject,
        "day": table.day,
        "name": table.name,
    }
    for variable, members in (
        ("muscles", table.of("emg")),
        ("envelope_muscles", table.of("envelope")),
    ):
        if members:
            variables[variable] = np.array([one.muscle for one in members], dtype=object)
    if table.of("envelope"):
        variables["warm_up"] = table.warm_up()[:, None]
    if table.annotations:
        variables["annotations"] = np.array(
            [(a.onset_s, a.duration_s, a.words()) for a in table.annotations],
            dtype=[("onset_s", object), ("duration_s", object), ("text", object)],
        )
    variables["time_s"] = np.arange(table.n_samples)[:, None] / RATE_HZ
    # Last what `read` needs: wherever a file is cut off, it is found out.
    for kind in KINDS:
        if members := table.of(kind):
            variables[kind] = np.column_stack([channel.values() for channel in members])
    with written_whole(path) as unfinished:
        try:
            io.savemat(
                str(unfinished),
                variables,
                appendmat=False,
                do_compression=True,
                oned_as="column",
            )
        except io.matlab.MatWriteError as error:
            raise RecordingError(f"{path}: too long for a MATLAB file ({error})") from None


def matches(path: Path) -> bool:
    """Tell whether a MATLAB file is an export of this program; False where it is damaged."""
    from scipy import io

    try:
        return any(name == _HEADER for name, *_ in io.whosmat(str(path)))
    except Exception:  # scipy raises nearly anything at a damaged file
        return False


def read(path: Path) -> Table:
    """Read what `write` wrote.

    Raises
    ------
    RecordingError
        If the file is damaged, of another version or larger than a recording may be.
    """
    variables = _load(path)
    header = parse_json(path, str(variables[_HEADER]), f"variable {_HEADER}")
    try:
        names = [str(one["name"]) for one in header["channels"]]
    except (KeyError, TypeError):
        raise RecordingError(f"{path}: damaged export, it names no channels") from None
    channels: list[Channel] = []
    for kind in KINDS:
        members = [name for name in names if name.startswith(kind)]
        if not members:
            continue
        values = _matrix(path, variables, kind, len(members))
        if channels and len(values) != len(channels[0].samples):
            raise RecordingError(
                f"{path}: variable {kind} has {len(values)} rows, expected "
                f"{len(channels[0].samples)} as {channels[0].kind}"
            )
        for column, name in enumerate(members):
            if kind in ("acc", "gyro") and name not in IMU_CHANNELS:
                raise RecordingError(f"{path}: unknown channel '{name[:40]}'")
            place = f"variable {kind}, column {column + 1}"
            channels.append(
                Channel(kind, name, np.ascontiguousarray(values[:, column]), "", place=place)
            )
    return table_of_header(path, header, channels, annotations_of(path, header))


def _load(path: Path) -> dict[str, Any]:
    """Load the variables `read` needs, once their sizes are known to be bearable."""
    from scipy import io

    try:
        shapes = {name: shape for name, shape, _ in io.whosmat(str(path))}
        wanted = [name for name in (_HEADER, *KINDS) if name in shapes]
        size = sum(int(np.prod(shapes[name], dtype=np.float64)) for name in wanted)
        if size > MAX_VALUES:
            raise RecordingError(
                f"{path}: {size} values, the most one recording may have is {MAX_VALUES}"
            )
        loaded: dict[str, Any] = io.loadmat(
            str(path), variable_names=wanted, chars_as_strings=True, squeeze_me=False
        )
        header = np.asarray(loaded[_HEADER]).ravel()
        loaded[_HEADER] = "".join(str(line) for line in header)
    except RecordingError:
        raise
    except Exception as error:  # scipy raises nearly anything at a damaged file
        reason = " ".join(str(error).split())[:200]
        raise RecordingError(f"{path}: damaged MATLAB file ({reason})") from None
    return loaded


def _matrix(path: Path, variables: dict[str, Any], name: str, columns: int) -> NDArray[np.float64]:
    values = np.asarray(variables.get(name))
    if values.ndim != 2 or values.dtype.kind not in "fiu" or values.shape[1] != columns:
        raise RecordingError(
            f"{path}: variable {name} is {values.dtype} {values.shape}, expected a matrix of "
            f"{columns} columns"
        )
    matrix = values.astype(np.float64)
    if np.isinf(matrix).any():
        raise RecordingError(f"{path}: variable {name} holds an infinite value")
    return matrix
