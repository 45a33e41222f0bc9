"""`myowave export`: logs and recordings in the formats of other tools."""

import math
from pathlib import Path
from typing import Annotated

import typer

from myowave.cli.output import JsonFile, console, progress_bar, write_json
from myowave.errors import ConfigError

ORDER = 112

HELP = """Write a log or a recording in a format other tools read.

The ending of FILE decides: `.csv`, `.parquet`, `.edf` (EDF+), `.bdf` (BDF+), `.mat` (MATLAB). With
`--bids DIR` it becomes a run of a BIDS dataset: sEMG and motion as raw data, the predicted envelope
as a derivative. Values are in m/s², rad/s, mV and fractions of the reference; raw counts can be
had back exactly from every format, and `myowave import` reads them all. Gaps are blank or NaN; in
EDF+ and BDF+, which know none, they hold 0 and are annotated as missing. Markers and notes go
along. Times are UTC.

A file holds 2.5 hours at most; --begin and --end take a part, in seconds since the first sample.
Only an earlier export is replaced.

Example: `myowave export session.mwlog -o session.edf`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("export", help=HELP)(export_command)


def export_command(
    source: Annotated[Path, typer.Argument(metavar="LOG|REC", help="Log or recording.")],
    *,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="File to write.")
    ] = None,
    bids_folder: Annotated[
        Path | None,
        typer.Option("--bids", metavar="DIR", help="Write into this BIDS dataset instead."),
    ] = None,
    subject: Annotated[str | None, typer.Option(help="Who was recorded.")] = None,
    day: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="When, if not as the log says.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the trial; otherwise the file's.")] = None,
    run: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Only the Nth run of a log (start of the board)."),
    ] = None,
    begin: Annotated[
        float, typer.Option(metavar="S", min=0.0, help="Only from this many seconds on.")
    ] = 0.0,
    end: Annotated[
        float | None, typer.Option(metavar="S", min=0.0, help="Only before this many seconds.")
    ] = None,
    task: Annotated[str, typer.Option(metavar="LABEL", help="BIDS: task.")] = "movement",
    session: Annotated[str, typer.Option(metavar="LABEL", help="BIDS: session.")] = "",
    bids_run: Annotated[
        int | None, typer.Option("--bids-run", metavar="N", min=1, help="BIDS: run of the task.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Read the source, write the export and say what it holds."""
    from datetime import date

    from myowave import formats
    from myowave.formats import bids
    from myowave.formats.sources import load_table

    if (output is None) == (bids_folder is None):
        raise ConfigError("expected either -o FILE or --bids DIR")
    if day is not None:
        try:
            date.fromisoformat(day)
        except ValueError:
            raise ConfigError(f"--day {day}: expected a date such as 2025-01-29") from None
    if output is not None:
        formats.require_replaceable(output)
        if output.exists() and source.exists() and output.samefile(source):
            raise ConfigError(f"{output}: is the source, name another file with -o")
    else:
        assert bids_folder is not None
        bids.require_dataset(bids_folder)
    table = load_table(
        source,
        run=run,
        begin_s=begin,
        end_s=math.inf if end is None else end,
        subject=subject or "",
        day=day or "",
        name=name or "",
    )
    with progress_bar() as progress:
        task_id = progress.add_task("writing samples", total=table.n_samples, note="")
        if output is not None:
            formats.write(table, output, lambda rows: progress.update(task_id, completed=rows))
            files = [output]
        else:
            assert bids_folder is not None
            where = bids.Run(bids.label(table.subject, "01"), task, session, bids_run)
            files = bids.write(table, bids_folder, where)
        progress.update(task_id, completed=table.n_samples)
    gaps = {one.kind: one.missing for one in table.channels}
    seconds = table.n_samples / 1000
    missing_s = max(gaps.values()) / 1000
    held = ", ".join(channel.name for channel in table.channels)
    console.print(f"{seconds:.3f} s of {held}", markup=False, soft_wrap=True)
    if table.facts.get("raw_counts") is False:
        console.print(
            "the log holds no raw counts: predictions alone (log with --raw)", soft_wrap=True
        )
    if missing_s:
        console.print(f"{missing_s:.3f} s of it missing", markup=False)
    for path in files:
        console.print(f"written: {path}", markup=False, soft_wrap=True)
    if json_file is not None:
        write_json(
            json_file,
            {
                "source": str(source),
                "files": [str(path) for path in files],
                "seconds": seconds,
                "samples": table.n_samples,
                "missing_samples": gaps,
                "annotations": [
                    {"onset_s": a.onset_s, "duration_s": a.duration_s, "text": a.words()}
                    for a in table.annotations
                ],
                **table.header(brief=True),
            },
        )
