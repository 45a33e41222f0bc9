"""What flashing a real board will do, worked out before anything is done."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from myowave.errors import LinkError, MyowaveError, ToolError
from myowave.upload import find
from myowave.upload.find import Drive, Port
from myowave.upload.table import Upload

IDENTITY_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Computer:
    """What this computer shows; each is asked anew every time.

    Attributes
    ----------
    ports, drives : callable
        What is plugged in and mounted.
    which : callable
        Finds a command, as `shutil.which`.
    """

    ports: Callable[[], Sequence[Port]] = field(default=find.ports)
    drives: Callable[[], Sequence[Drive]] = field(default=find.drives)
    which: Callable[[str], str | None] = field(default=shutil.which)


@dataclass(frozen=True)
class Plan:
    """How a board will be flashed.

    Attributes
    ----------
    upload : Upload
    model : Path
        Model directory.
    sha256 : str
        Of the model; the board must say the same.
    steps : tuple of str
        What will be done, a line each, for a person.
    port : Port or None
        Where the board is now; None when it shows no port.
    named_port : str or None
        Where the user said it will answer.
    drive : Drive or None
        The bootloader's drive; None when it must be asked for by `touch`.
    probe : tuple of str
        Command that flashes by a probe; the image's path follows.
    problem : MyowaveError or None
        Why it cannot be done now.
    tables_in_ram : bool
        Whether the firmware copies weights and tables to RAM at start.
    """

    upload: Upload
    model: Path
    sha256: str
    steps: tuple[str, ...]
    port: Port | None = None
    named_port: str | None = None
    drive: Drive | None = None
    probe: tuple[str, ...] = ()
    problem: MyowaveError | None = None
    tables_in_ram: bool = False


def make_plan(
    upload: Upload,
    model: Path,
    *,
    port: str | None = None,
    drive: Path | None = None,
    tables_in_ram: bool = False,
    computer: Computer | None = None,
) -> Plan:
    """Look for the board and say what will be done.

    Parameters
    ----------
    upload : Upload
    model : Path
        Model directory.
    port, drive
        What the user named, None to look for it.
    tables_in_ram : bool
        As in `Plan`.
    computer : Computer, optional

    Returns
    -------
    Plan
        With a `problem` when the board is not there, is there several times, or a tool is missing.

    Raises
    ------
    ModelError
        If the model directory is not usable.
    """
    from myowave.model_card import load_model_dir

    computer = computer or Computer()
    card, _ = load_model_dir(model)
    plan = Plan(upload, model, card.tflite_sha256, (), named_port=port, tables_in_ram=tables_in_ram)
    build = f"build firmware for {upload.name} with {model} ({card.tflite_sha256[:12]})"
    steps = [f"{build}, weights and tables in RAM" if tables_in_ram else build]
    problem: MyowaveError | None = None
    try:
        plan, more = _FIND[upload.way](plan, computer, drive)
        steps += more
    except MyowaveError as error:
        problem = error
        steps.append(_UNFOUND[upload.way].format(upload=upload))
    where = port or (f"USB {', '.join(upload.port_ids)}" if upload.port_ids else "--port")
    steps.append(f"wait up to {IDENTITY_TIMEOUT_S:g} s until it answers at {where} with that model")
    return replace(plan, steps=tuple(steps), problem=problem)


def _find_uf2(plan: Plan, computer: Computer, named: Path | None) -> tuple[Plan, list[str]]:
    upload = plan.upload
    if not upload.port_ids and plan.named_port is None:
        raise LinkError(
            f"{upload.title}: its serial line is on pins, expected --port with the adapter there "
            f"({upload.note})"
        )
    there = computer.drives()
    drive = find.find_drive(upload, there, named)
    if drive is not None:
        if not find.may_write(drive.path):
            raise LinkError(f"{drive.path}: this user may not write there; mount it writable")
        return replace(plan, drive=drive), [f"copy the UF2 file to {drive}"]
    ports = computer.ports()
    port = find.find_port(upload, ports, plan.named_port) if upload.touch else None
    if port is None or port.usb_id == "":
        raise find.nothing_found(upload, ports, there)
    return replace(plan, port=port), [
        f"open {port} at 1200 baud, which starts the bootloader",
        f"copy the UF2 file to its drive ({' or '.join(upload.uf2_board_ids)})",
    ]


def _find_probe(plan: Plan, computer: Computer, _: Path | None) -> tuple[Plan, list[str]]:
    upload = plan.upload
    ports = computer.ports()
    # A probe may show several ports, which are one board; a named one tells its probe as well.
    numbers = {port.serial_number for port in ports if find.is_port_of(upload, port)}
    port = find.find_port(upload, ports, plan.named_port) if plan.named_port else None
    if port is not None and port.serial_number:
        numbers = {port.serial_number}
    if not numbers:
        raise find.nothing_found(upload, ports, [])
    if len(numbers) > 1:
        find.find_port(upload, ports, None)  # says which there are
    (number,) = numbers
    command = _probe_command(upload, number, computer)
    return replace(plan, port=port, probe=command), [f"run: {' '.join(command)} IMAGE"]


# In the order they are looked for: command, arguments, option for one of several probes.
_PROBE_TOOLS = (
    ("pyocd", ("load", "--target", "{target}"), "--uid"),
    ("nrfjprog", ("--family", "NRF52", "--sectorerase", "--verify", "--reset"), "--snr"),
)


def _probe_command(upload: Upload, number: str, computer: Computer) -> tuple[str, ...]:
    for tool, arguments, one_of in _PROBE_TOOLS:
        if computer.which(tool) is not None:
            chosen = (one_of, number.lstrip("0")) if number else ()
            rest = tuple(text.format(target=upload.probe_target) for text in arguments)
            program = ("--program",) if tool == "nrfjprog" else ()
            return (tool, *rest, *chosen, *program)
    raise ToolError(
        f"{' or '.join(tool for tool, _, _ in _PROBE_TOOLS)} not found, needed to flash "
        f"{upload.title}: pip install pyocd"
    )


def _find_platformio(plan: Plan, computer: Computer, _: Path | None) -> tuple[Plan, list[str]]:
    upload = plan.upload
    ports = computer.ports()
    port = find.find_port(upload, ports, plan.named_port, bootloader=True)
    if port is None:
        raise find.nothing_found(upload, ports, [])
    return replace(plan, port=port), [
        f"run: pio run -e {upload.name} -t upload --upload-port {port.device}"
    ]


# The step in the middle while the board is not there.
_UNFOUND = {
    "uf2": "copy the UF2 file to the drive of its bootloader ({upload.uf2_board_ids[0]})",
    "probe": "flash the image by its debug probe",
    "platformio": "run: pio run -e {upload.name} -t upload --upload-port PORT",
}
_FIND: dict[str, Callable[[Plan, Computer, Path | None], tuple[Plan, list[str]]]] = {
    "uf2": _find_uf2,
    "probe": _find_probe,
    "platformio": _find_platformio,
}
