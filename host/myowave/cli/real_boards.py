"""`myowave flash` for boards a person holds in the hand."""

from pathlib import Path

from myowave.cli.output import console
from myowave.link import Identity
from myowave.upload.table import Upload


def flash_real_board(
    upload: Upload,
    model: Path,
    *,
    port: str | None,
    drive: Path | None,
    tables_in_ram: bool,
    dry_run: bool,
) -> Identity | None:
    """Print what will be done and do it; with `dry_run` only print.

    Returns
    -------
    Identity or None
        As the board said it; None after a dry run.

    Raises
    ------
    MyowaveError
        As `make_plan` and `carry_out`.
    """
    from myowave.upload.carry_out import carry_out
    from myowave.upload.plan import make_plan

    plan = make_plan(upload, model, port=port, drive=drive, tables_in_ram=tables_in_ram)
    if upload.note:
        console.print(f"{upload.title}: {upload.note}", soft_wrap=True)
    for number, step in enumerate(plan.steps, start=1):
        console.print(f"{number}. {step}", soft_wrap=True)
    if dry_run:
        if plan.problem is not None:
            console.print(f"now it would fail: {plan.problem}", soft_wrap=True)
        return None
    with console.status("flashing") as status:
        return carry_out(plan, say=status.update)
