"""Exchange formats: what `myowave export` writes and `myowave import` reads back.

`table` is what all formats have in common and `sources` where it comes from; then there is one
module a format, with `write` and `read`. CSV is `readers.own_csv`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from myowave.errors import ConfigError
from myowave.files import require_writable

if TYPE_CHECKING:
    from myowave.formats.table import Table

__all__ = ["SUFFIXES", "require_replaceable", "write"]

SUFFIXES = {
    ".csv": "MyoWave CSV",
    ".parquet": "Parquet",
    ".edf": "EDF+",
    ".bdf": "BDF+",
    ".mat": "MATLAB",
}


def write(table: "Table", path: Path, progress: Callable[[int], None] = lambda rows: None) -> None:
    """Write a table in the format the file's name ends with.

    Parameters
    ----------
    table : Table
        What to write.
    path : Path
        Ends with one of `SUFFIXES`; written whole or not at all.
    progress : callable, optional
        Called with the samples written so far.

    Raises
    ------
    ConfigError
        If the ending is another, the file cannot be written, or a package is missing.
    RecordingError
        If the format cannot hold the table.
    """
    suffix = require_suffix(path)
    if suffix == ".csv":
        from myowave.readers import own_csv

        own_csv.write_csv(table, path, progress)
    elif suffix == ".parquet":
        from myowave.formats import parquet

        parquet.write(table, path, progress)
    elif suffix == ".mat":
        from myowave.formats import matlab

        matlab.write(table, path)
    else:
        from myowave.formats import edf

        edf.write(table, path, bdf=suffix == ".bdf")
    progress(table.n_samples)


def require_suffix(path: Path) -> str:
    """Return the ending of an export's name; raise ConfigError at an unknown one."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(f"{path}: unknown ending, expected one of {', '.join(SUFFIXES)}")
    return suffix


def require_replaceable(path: Path) -> None:
    """Refuse an output that cannot be written, or would replace anything but an earlier export.

    Raises
    ------
    ConfigError
        If its ending is unknown, it is a folder, cannot be written, or is another's file, or if a
        package is missing.
    """
    suffix = require_suffix(path)
    if suffix in (".edf", ".bdf"):
        from myowave.formats import edf

        edf.require_library()
    require_writable(path)
    if path.is_file() and path.stat().st_size > 0 and not _is_export(path, suffix):
        raise ConfigError(
            f"{path}: exists and is no {SUFFIXES[suffix]} file of 'myowave export', so it is not "
            "replaced; name another file with -o, or delete it first"
        )


def _is_export(path: Path, suffix: str) -> bool:
    from myowave.formats import edf, matlab, parquet
    from myowave.readers import own_csv

    if suffix == ".csv":
        with path.open("rb") as file:
            return own_csv.matches([file.read(64).decode("latin-1")])
    if suffix == ".parquet":
        return parquet.matches(path)
    return matlab.matches(path) if suffix == ".mat" else edf.is_ours(path)
