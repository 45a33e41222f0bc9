"""Look at this computer: what MyoWave needs, what is here, what to do about the rest."""

import importlib.metadata
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from myowave.errors import ToolError
from myowave.firmware import default_model
from myowave.paths import REPOSITORY, firmware_dir


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes
    ----------
    what : str
        Its name.
    found : str
        Version or path; "" when it is missing.
    needed_for : str
        What does not work without it.
    remedy : str
        What to do when it is missing; "" when nothing is to be done.
    """

    what: str
    found: str
    needed_for: str
    remedy: str

    @property
    def is_missing(self) -> bool:
        """Whether it is not there."""
        return self.found == ""


# distribution, what for, extra that brings it
PACKAGES = (
    ("numpy", "everything", "myowave"),
    ("pyserial", "boards", "myowave"),
    ("cobs", "boards", "myowave"),
    ("pyarrow", "recordings", "myowave"),
    ("bokeh", "the monitor's page", ".[live]"),
    ("textual", "the monitor in a terminal", ".[live]"),
    ("edfio", "EDF, BDF and BIDS files", ".[formats]"),
    ("pyxdf", "XDF files", ".[formats]"),
    ("pylsl", "LSL outlets", ".[lsl]"),
    ("platformio", "firmware builds", ".[firmware]"),
    ("scons", "firmware builds", ".[firmware]"),
    ("tflite-micro", "training, check on tflm", ".[train]"),
)
# TensorFlow goes by two names.
TENSORFLOW = ("tensorflow-cpu", "tensorflow")
# command, what for, Debian package
TOOLS = (
    ("cc", "the native engine, board native", "gcc"),
    ("arm-none-eabi-gcc", "firmware for Cortex-M boards", "gcc-arm-none-eabi"),
    ("qemu-system-arm", "emulated boards", "qemu-system-arm"),
)


def examine() -> list[Finding]:
    """Return every finding, in the order a reader wants."""
    findings = [_python()]
    findings += [_package((name,), use, extra) for name, use, extra in PACKAGES]
    findings.append(_package(TENSORFLOW, "training", ".[train]"))
    findings += [_tool(command, use, package) for command, use, package in TOOLS]
    findings += [_arm_library(), _probe_tool(), _clone(), _scons(), _model()]
    return findings


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", version, "everything", "")


def _package(names: tuple[str, ...], use: str, extra: str) -> Finding:
    for name in names:
        try:
            return Finding(name, importlib.metadata.version(name), use, "")
        except importlib.metadata.PackageNotFoundError:
            continue
    return Finding(names[0], "", use, f"in the clone: pip install '{extra}'")


def _tool(command: str, use: str, package: str) -> Finding:
    path = shutil.which(command)
    if path is None:
        return Finding(command, "", use, f"install it (Debian: apt install {package})")
    return Finding(command, _first_line([path, "--version"]) or path, use, "")


def _first_line(command: list[str]) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.partition("\n")[0].strip()


def _arm_library() -> Finding:
    """Find newlib: the compiler's package does not bring it."""
    path = _first_line(["arm-none-eabi-gcc", "-print-file-name=libc.a"])
    return Finding(
        "newlib (C library)",
        path if Path(path).is_absolute() else "",
        "firmware for Cortex-M boards",
        "install it (Debian: apt install libnewlib-arm-none-eabi)",
    )


def _probe_tool() -> Finding:
    """Find what flashes a board by its debug probe."""
    use = "flash nrf52840_dk"
    for tool in ("pyocd", "nrfjprog"):
        path = shutil.which(tool)
        if path is not None:
            return Finding(tool, _first_line([path, "--version"]) or path, use, "")
    return Finding("pyocd or nrfjprog", "", use, "pip install pyocd")


def _clone() -> Finding:
    try:
        return Finding("clone of the repository", str(firmware_dir().parent), "firmware builds", "")
    except ToolError as error:
        return Finding("clone of the repository", "", "firmware builds", str(error))


def _scons() -> Finding:
    folder = REPOSITORY / "build" / "platformio" / "packages" / "tool-scons"
    return Finding(
        "PlatformIO without registry",
        str(folder) if (folder / "package.json").is_file() else "",
        "offline firmware builds",
        "python tools/setup_platformio.py",
    )


def _model() -> Finding:
    folder = default_model()
    return Finding(
        "default model",
        str(folder) if (folder / "model.json").is_file() else "",
        "virtual and flash without --model",
        "name one by --model or MYOWAVE_MODEL; 'myowave train' makes one",
    )
