"""Who is on each serial port: asked one by one, and never where another program listens."""

import contextlib
import errno
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from myowave.errors import LinkError
from myowave.link import Device, Identity
from myowave.upload.find import Port
from myowave.upload.table import board_of_usb_id, uploads
from myowave.wire import FrameError

# A board answers within milliseconds; what is silent for this long is something else.
ASK_TIMEOUT_S = 0.5

State = Literal["answers", "silent", "busy", "forbidden", "failed", "not asked"]


@dataclass(frozen=True)
class PortReport:
    """One port and who is there.

    Attributes
    ----------
    port : Port
    known_as : str
        Board whose USB id it has, "" for others.
    state : {"answers", "silent", "busy", "forbidden", "failed", "not asked"}
        Whether a MyoWave board answered, or why it was not asked.
    identity : Identity or None
        The board's.
    detail : str
        For a person: who it is, or what to do.
    """

    port: Port
    known_as: str
    state: State
    identity: Identity | None
    detail: str

    def __str__(self) -> str:
        """Describe the port in one line."""
        known = f", {self.known_as}" if self.known_as else ""
        return f"{self.port}{known}: {self.detail}"


def survey(port: Port, timeout_s: float = ASK_TIMEOUT_S) -> PortReport:
    """Ask one port who is there.

    Parameters
    ----------
    port : Port
    timeout_s : float
        How long to wait for the identity frame.

    Returns
    -------
    PortReport
    """
    known = board_of_usb_id(port.usb_id)
    known_as = known.title if known is not None else ""

    def report(state: State, detail: str, identity: Identity | None = None) -> PortReport:
        return PortReport(port, known_as, state, identity, detail)

    if not port.usb_id:
        return report("not asked", "not on USB")
    user = holder(Path(port.device))
    if user:
        return report("busy", f"in use by {user}: not opened")
    if not os.access(port.device, os.R_OK | os.W_OK):
        return report(
            "forbidden", "no permission: install the rules 'myowave doctor --udev-rules' prints"
        )
    try:
        with Device.open(port.device) as device:
            identity = _ask(device, timeout_s)
    except LinkError as error:
        cause = error.__cause__
        if getattr(cause, "errno", None) in (errno.EBUSY, errno.EAGAIN):
            return report("busy", "in use by another program: not asked")
        return report("failed", str(error))
    if identity is None:
        return report("silent", "no MyoWave firmware answers")
    failed = f", self-test failed: {', '.join(identity.failed_tests)}"
    return report(
        "answers",
        f"{identity.board}, firmware {identity.firmware}, model {identity.model_sha256[:12]} "
        f"({', '.join(identity.muscles)}), IMU {identity.imu or 'none'}"
        + (failed if identity.failed_tests else ""),
        identity,
    )


def _ask(device: Device, timeout_s: float) -> Identity | None:
    device.send("identify")
    deadline = time.monotonic() + timeout_s
    while (left := deadline - time.monotonic()) > 0:
        for frame in device.frames(left):
            if frame.name == "identity":
                with contextlib.suppress(FrameError):
                    return Identity.from_frame(frame)
    return None


def holder(device: Path) -> str:
    """Return the program that has a port open, "" when none is seen.

    Only Linux tells, and only of this user's programs; those of others hold a lock or do not.
    """
    if not sys.platform.startswith("linux"):
        return ""
    target = os.path.realpath(device)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.path.realpath(fd) == target for fd in (process / "fd").iterdir()):
                name = (process / "comm").read_text(encoding="utf-8").strip()
                return f"{name} (process {process.name})"
        except OSError:
            continue  # another user's, or ended meanwhile
    return ""


def udev_rules() -> str:
    """Return rules that give whoever sits at the computer the boards of the table."""
    vendors: dict[str, list[str]] = {}
    for upload in uploads().values():
        for usb_id in upload.port_ids + upload.bootloader_ids:
            names = vendors.setdefault(usb_id[:4].lower(), [])
            if upload.title not in names:
                names.append(upload.title)
    lines = ["# /etc/udev/rules.d/60-myowave.rules; then: sudo udevadm control --reload && "
             "sudo udevadm trigger"]  # fmt: skip
    for vendor, names in sorted(vendors.items()):
        lines.append(f"# {', '.join(names)}")
        lines += [
            f'SUBSYSTEM=="{subsystem}", ATTRS{{idVendor}}=="{vendor}", MODE="0660", TAG+="uaccess"'
            for subsystem in ("tty", "usb", "hidraw")
        ]
    return "\n".join(lines) + "\n"
