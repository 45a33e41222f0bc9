"""What commands share in what they print: the console, progress bars and `--json` files."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from myowave.files import require_writable, write_atomically

# In a file or a pipe there is no width to fit into, and tables need some.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def _writable(path: Path | None) -> Path | None:
    if path is not None:
        require_writable(path)
    return path


# Found unwritable before the command begins, not after its work.
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", help="Also write the figures as JSON.", callback=_writable
    ),
]


def progress_bar() -> Progress:
    """Return a bar with count and time left, on stderr; silent where that is no terminal."""
    on_stderr = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=on_stderr,
        disable=not on_stderr.is_terminal,
    )


def print_table(table: Table) -> None:
    """Print a table in its full width, also where no terminal says how wide it is."""
    unbounded = console.options.update(max_width=10_000)
    needed = Measurement.get(console, unbounded, table).maximum
    Console(file=console.file, highlight=False, width=max(console.width, needed)).print(table)


def write_json(path: Path, figures: dict[str, Any]) -> None:
    """Write `figures` to `path`, whole or not at all."""
    write_atomically(path, json.dumps(figures, indent=2, allow_nan=False, sort_keys=False) + "\n")
