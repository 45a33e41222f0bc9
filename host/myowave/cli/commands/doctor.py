"""`myowave doctor`: check the set-up."""

import typer

from myowave.cli.output import JsonFile, console, write_json

ORDER = 130

HELP = """Check the set-up: Python, packages, compilers, emulator, ports; say what is missing.

Example: `myowave doctor --json doctor.json`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("doctor", help=HELP)(doctor_command)


def doctor_command(json_file: JsonFile = None) -> None:
    """Print what was found and a remedy for everything missing."""
    from dataclasses import asdict

    from rich.table import Table

    from myowave.doctor import examine, examine_ports

    findings, ports = examine(), examine_ports()
    table = Table(box=None, pad_edge=False)
    for title in ("", "what", "found", "needed for"):
        table.add_column(title, overflow="fold")
    for finding in (*findings, *ports):
        mark = "[red]missing[/]" if finding.is_missing else "[green]ok[/]"
        table.add_row(mark, finding.what, finding.found or "-", finding.needed_for)
    console.print(table)
    if not ports:
        console.print("no serial ports; emulated boards have theirs where --link says")
    missing = [finding for finding in (*findings, *ports) if finding.is_missing]
    for finding in missing:
        console.print(f"[red]missing[/] {finding.what}: {finding.remedy}", soft_wrap=True)
    if not missing:
        console.print("nothing is missing")
    if json_file is not None:
        write_json(
            json_file,
            {
                "ok": not missing,
                "findings": [asdict(finding) for finding in findings],
                "ports": [asdict(port) for port in ports],
            },
        )
