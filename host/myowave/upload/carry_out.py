"""Carry out a plan: build, flash, and wait for the identity frame with the right model."""

import errno
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import serial

from myowave.errors import LinkError, MyowaveError, ToolError
from myowave.firmware import boards, model_tables, run_platformio
from myowave.link import Device, Identity
from myowave.paths import build_dir
from myowave.upload import find
from myowave.upload.find import Drive
from myowave.upload.plan import IDENTITY_TIMEOUT_S, Computer, Plan
from myowave.upload.uf2 import require_family

DRIVE_TIMEOUT_S = 15.0
_POLL_S = 0.2
# What a bootloader that has seen the last block and restarts leaves the writer with.
_RESTARTED = (errno.EIO, errno.ENODEV, errno.ENXIO, errno.ENOENT)

Build = Callable[[Plan], Path]


def build_image(plan: Plan) -> Path:
    """Build the firmware of a board flashed by drive or probe; return the file that goes there.

    Raises
    ------
    ModelError, UnsupportedModelError
        If the model is not usable.
    ToolError
        If PlatformIO fails. Arduino boards need its registry.
    """
    board = plan.upload.name
    work = build_dir("firmware", "flash", board) / "pio"
    run_platformio(board, model_tables(plan.model, tables_in_ram=plan.tables_in_ram), work)
    kind = _KIND[plan.upload.way]
    for stem in ("program", "firmware"):  # ours, and what PlatformIO's own platforms write
        image = work / board / f"{stem}{kind}"
        if image.is_file():
            return _as_hex(image, boards()[board].toolchain) if kind == ".elf" else image
    raise ToolError(f"{work / board}: holds no {kind} file after the build")


_KIND = {"uf2": ".uf2", "probe": ".elf"}


def _as_hex(elf: Path, toolchain: str) -> Path:
    """Write an ELF file as Intel hex, which every probe tool takes."""
    image = elf.with_suffix(".hex")
    _run([f"{toolchain}objcopy", "-O", "ihex", str(elf), str(image)])
    return image


def carry_out(
    plan: Plan,
    *,
    say: Callable[[str], None] = lambda _: None,
    build: Build = build_image,
    computer: Computer | None = None,
    timeout_s: float = IDENTITY_TIMEOUT_S,
) -> Identity:
    """Flash a board.

    Parameters
    ----------
    plan : Plan
    say : callable
        Called with what is being done.
    build : callable
        Returns the file to flash.
    computer : Computer, optional
    timeout_s : float
        How long the board may take to answer.

    Returns
    -------
    Identity
        As the board said it.

    Raises
    ------
    MyowaveError
        The plan's problem, if it has one.
    ModelError, ToolError
        If building fails, the file is not for the board, or a tool fails.
    LinkError
        If the board does not take the file, does not answer, or answers with another model.
    """
    if plan.problem is not None:
        raise plan.problem
    computer = computer or Computer()
    if plan.upload.way == "platformio":
        assert plan.port is not None
        say("building and uploading")
        work = build_dir("firmware", "flash", plan.upload.name) / "pio"
        upload = ("-t", "upload", "--upload-port", plan.port.device)
        tables = model_tables(plan.model, tables_in_ram=plan.tables_in_ram)
        run_platformio(plan.upload.name, tables, work, *upload)
    else:
        say("building")
        image = build(plan)
        say(f"flashing {image}")
        if plan.upload.way == "uf2":
            require_family(image, plan.upload.uf2_family)
            copy_uf2(image, plan.drive or _restart_bootloader(plan, computer))
        else:
            _run([*plan.probe, str(image)])
    say("waiting for the board")
    return wait_for_identity(plan, computer, timeout_s)


def copy_uf2(image: Path, drive: Drive) -> None:
    """Copy a UF2 file to a bootloader's drive.

    Raises
    ------
    LinkError
        If the drive does not take it.
    """
    content = image.read_bytes()
    written = 0
    try:
        # Unbuffered: what was written is known when the bootloader restarts in between.
        with (drive.path / "MYOWAVE.UF2").open("wb", buffering=0) as file:
            while written < len(content):
                written += file.write(content[written:])
            os.fsync(file.fileno())
    except OSError as error:
        if written == len(content) and error.errno in _RESTARTED:
            return
        raise LinkError(
            f"{drive.path}: took {written} of {len(content)} bytes, then: {error.strerror}; "
            "is the drive mounted writable, and did the board stay plugged in?"
        ) from error


def touch(device: str) -> None:
    """Open and close a port at 1200 baud: boards with USB serial then start their bootloader.

    Raises
    ------
    LinkError
        If the port cannot be opened.
    """
    try:
        port = serial.Serial(device, baudrate=1200, exclusive=True)
    except (serial.SerialException, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LinkError(f"{device}: cannot open it ({reason})") from error
    try:
        port.dtr = False
    except OSError:
        pass  # it has gone already, or is no modem line: the rate alone does it
    finally:
        port.close()


def _restart_bootloader(plan: Plan, computer: Computer) -> Drive:
    assert plan.port is not None
    touch(plan.port.device)
    deadline = time.monotonic() + DRIVE_TIMEOUT_S
    while time.monotonic() < deadline:
        drive = find.find_drive(plan.upload, computer.drives(), None)
        if drive is not None:
            return drive
        time.sleep(_POLL_S)
    raise LinkError(
        f"{plan.port}: no drive of {' or '.join(plan.upload.uf2_board_ids)} within "
        f"{DRIVE_TIMEOUT_S:g} s; {plan.upload.find}, or it is there and not mounted"
    )


def _run(command: list[str]) -> None:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ToolError(f"{command[0]}: cannot run it ({error.strerror})") from error
    if result.returncode != 0:
        output = (result.stderr + result.stdout).strip().splitlines() or ["no output"]
        raise ToolError(f"'{' '.join(command)}' failed: {output[-1].strip()}")


def wait_for_identity(plan: Plan, computer: Computer, timeout_s: float) -> Identity:
    """Wait until the board answers with the plan's model.

    Raises
    ------
    LinkError
        If it does not: nothing answers, or another model does to the end.
    """
    deadline = time.monotonic() + timeout_s
    failure: MyowaveError | None = None
    while True:
        for device in _candidates(plan, computer):
            try:
                with Device.open(device) as board:
                    return board.require_model(plan.sha256)
            except MyowaveError as error:
                # A port that has just come may not be open to users yet, and the firmware that was
                # there before may answer a last time.
                failure = error
        if time.monotonic() >= deadline:
            break
        time.sleep(_POLL_S)
    where = plan.named_port or f"USB {', '.join(plan.upload.port_ids)}"
    raise LinkError(
        f"{plan.upload.title}: flashed, but not seen with model {plan.sha256[:12]} within "
        f"{timeout_s:g} s: {failure or f'no port appeared ({where})'}; press its reset button once "
        "and try 'myowave doctor'"
    )


def _candidates(plan: Plan, computer: Computer) -> list[str]:
    """Return the ports at which the board may be now."""
    if plan.named_port is not None:
        return [plan.named_port]
    fitting = [port for port in computer.ports() if find.is_port_of(plan.upload, port)]
    known = plan.port.serial_number if plan.port is not None else ""
    same = [port for port in fitting if known and port.serial_number == known]
    return [port.device for port in same or fitting]
