"""Files written whole or not at all, and found unwritable before the work rather than after it."""

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from myowave.errors import ConfigError


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` to write to; what is there at the end becomes `path`.

    Where anything fails, `path` stays as it was and nothing else is left behind. The name is
    unique, so that two processes may write the same file. Missing folders are made. A device or a
    pipe is written to as it is.

    Raises
    ------
    ConfigError
        If the file cannot be written there.
    """
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder, expected a file name to write to")
    if path.exists() and not path.is_file():
        # A device or a pipe, such as /dev/stdout: it is written to, never replaced by a file.
        yield path
        return
    unfinished = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex[:12]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        raise _not_writable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write bytes, or text as UTF-8, to `path`; raise ConfigError as `written_whole` does."""
    with written_whole(path) as unfinished:
        unfinished.write_bytes(data.encode() if isinstance(data, str) else data)


def require_writable(path: Path) -> None:
    """Refuse an output nothing can be written to; leaves no trace.

    Raises
    ------
    ConfigError
        If `path` is a folder or lies where no file can be made.
    """
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder, expected a file name to write to")
    if path.exists() and not path.is_file():
        return
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        # Permissions alone do not tell: some file systems take no new files from anybody.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _not_writable(path, error) from None


def _not_writable(path: Path, error: OSError) -> ConfigError:
    # Libraries put their own words, and a name of ours, where the system's reason belongs.
    reason = os.strerror(error.errno) if error.errno else str(error)
    return ConfigError(
        f"{path}: cannot be written ({reason}), expected a file name in a folder that takes files"
    )
