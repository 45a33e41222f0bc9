"""`myowave doctor`: check the set-up."""

from typing import Annotated

import typer

from myowave.cli.output import JsonFile, console, write_json

ORDER = 130

HELP = """Check the set-up: Python, packages, compilers, emulator, ports; say what is missing.

Each USB serial port that no other program has open is asked which MyoWave board is there.
`--udev-rules` prints only the rules that give a Linux user access to the boards.

Example: `myowave doctor --json doctor.json`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("doctor", help=HELP)(doctor_command)


def doctor_command(
    json_file: JsonFile = None,
    rules: Annotated[
        bool, typer.Option("--udev-rules", help="Print the udev rules, and nothing else.")
    ] = False,
) -> None:
    """Print what was found and a remedy for everything missing."""
    from dataclasses import asdict

    from rich.table import Table

    from myowave.doctor import examine
    from myowave.upload.find import ports
    from myowave.upload.survey import survey, udev_rules

    if rules:
        typer.echo(udev_rules(), nl=False)
        return
    findings = examine()
    table = Table(box=None, pad_edge=False)
    for title in ("", "what", "found", "needed for"):
        table.add_column(title, overflow="fold")
    for finding in findings:
        mark = "[red]missing[/]" if finding.is_missing else "[green]ok[/]"
        table.add_row(mark, finding.what, finding.found or "-", finding.needed_for)
    console.print(table)
    reports = [survey(port) for port in ports()]
    for report in reports:
        console.print(str(report), soft_wrap=True)
    if not reports:
        console.print("no serial ports; emulated boards have theirs where --link says")
    missing = [finding for finding in findings if finding.is_missing]
    for finding in missing:
        console.print(f"[red]missing[/] {finding.what}: {finding.remedy}", soft_wrap=True)
    forbidden = [report for report in reports if report.state == "forbidden"]
    if forbidden:
        console.print(udev_rules(), markup=False, soft_wrap=True)
    if not missing and not forbidden:
        console.print("nothing is missing")
    if json_file is not None:
        write_json(
            json_file,
            {
                "ok": not missing and not forbidden,
                "findings": [asdict(finding) for finding in findings],
                "ports": [asdict(report) for report in reports],
            },
        )
