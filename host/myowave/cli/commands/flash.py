"""`myowave flash`: build firmware, put it on a board, see that it runs."""

from pathlib import Path
from typing import Annotated

import typer

from myowave.cli.output import console

ORDER = 120

HELP = """Build the firmware with a model, put it on a board, and wait until the board says so.

A model that does not fit the board, as `myowave fit` judges it, is refused before anything is
flashed, with exit code 1; `--force` goes on. A real board is looked for by its USB ids or its
bootloader's drive and flashed by its own way; what will be done is printed first, and `--dry-run`
does no more. An emulated board is booted once and answers with its identity; nothing stays behind
but the image, which `myowave virtual` then runs at once. The SHA-256 in the identity frame must be
the model's.

Example: `myowave flash cortex_m4 --model models/sim_biceps`,
`myowave flash xiao_nrf52840_sense_usb --dry-run`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("flash", help=HELP)(flash_command)


def flash_command(
    board: Annotated[str, typer.Argument(metavar="BOARD", help="Board, such as cortex_m4.")],
    *,
    model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Model. [default: $MYOWAVE_MODEL or the demo's]"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also a model that does not fit.")] = False,
    port: Annotated[
        str | None, typer.Option(metavar="PORT", help="Serial port of a real board.")
    ] = None,
    drive: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Drive of a real board's bootloader.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done to a real board.")
    ] = False,
) -> None:
    """Build, flash and verify."""
    from myowave.cli.real_boards import flash_real_board
    from myowave.errors import ConfigError
    from myowave.firmware import boards, build_firmware, default_model
    from myowave.flashing import flash_emulated, verdict_for
    from myowave.upload.table import uploads

    virtual = {name: board for name, board in boards().items() if board.is_virtual}
    name = board.replace("-", "_")
    target = uploads().get(name) or virtual.get(name)
    if target is None:
        known = ", ".join([*virtual, *uploads()])
        raise ConfigError(f"unknown board '{board}', expected one of {known}")
    if name in virtual and (port is not None or drive is not None or dry_run):
        raise ConfigError(
            f"board '{name}' is emulated: --port, --drive, --dry-run are for real ones"
        )
    model = model or default_model()
    with console.status(f"does the model fit {target.title}?"):
        verdict = verdict_for(name, model)
    if verdict.refuses and not force:
        console.print(f"{model} does not fit {name}, nothing was flashed: {verdict.reason}")
        console.print("--force flashes it all the same")
        raise typer.Exit(1)
    if verdict.reason:
        console.print(f"{name}: {verdict.reason}")
    if name in uploads():
        identity = flash_real_board(uploads()[name], model, port=port, drive=drive, dry_run=dry_run)
        if identity is None:
            return
    else:
        with console.status(f"building for {target.title}"):
            image = build_firmware(virtual[name], model)
        console.print(f"image: {image}")
        with console.status(f"booting {target.title}"):
            identity = flash_emulated(virtual[name], model)
    console.print(
        f"{identity.board} runs firmware {identity.firmware} with model "
        f"{identity.model_sha256[:12]} ({', '.join(identity.muscles)}) and IMU "
        f"{identity.imu or 'none'}"
    )
    if identity.failed_tests:
        console.print(f"[yellow]self-test failed[/]: {', '.join(identity.failed_tests)}")
