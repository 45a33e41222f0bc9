"""What commands share in what they print: the console, progress bars and `--json` files."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

console = Console(highlight=False)

JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures as JSON.")
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


def write_json(path: Path, figures: dict[str, Any]) -> None:
    """Write `figures` to `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(json.dumps(figures, indent=2, allow_nan=False, sort_keys=False) + "\n")
    unfinished.replace(path)
