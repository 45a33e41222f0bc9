"""The drivers' probe: C drivers over a register model, asked from Python."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from myowave.paths import firmware_dir

# enum mw_imu_status, enum mw_bus_status
IMU_OK, IMU_BUS_ERROR, IMU_NOT_FOUND, IMU_CONFIGURATION_LOST = range(4)
BUS_OK, NACK_ADDRESS, NACK_DATA, ARBITRATION_LOST, STUCK, TIMEOUT = range(6)

_FLAGS = (
    *("-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"),
    *("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)


@dataclass(frozen=True)
class Result:
    """Answer of detect, configure or verify."""

    status: int
    bus_status: int
    part: str
    address: int
    nanoseconds: int

    @classmethod
    def read(cls, line: str) -> "Result":
        status, bus_status, part, address, nanoseconds = line.split()
        return cls(int(status), int(bus_status), part, int(address), int(nanoseconds))


@dataclass(frozen=True)
class Burst:
    """Answer of a burst."""

    bus_status: int
    nanoseconds: int
    data: bytes
    counts: tuple[int, ...]

    @classmethod
    def read(cls, line: str) -> "Burst":
        bus_status, nanoseconds, data, counts = line.split()
        return cls(int(bus_status), int(nanoseconds), bytes.fromhex(data), counts_of(counts))


def counts_of(text: str) -> tuple[int, ...]:
    return tuple(int(count) for count in text.split(","))


def build(folder: Path) -> Path:
    """Compile the probe under sanitizers."""
    drivers = firmware_dir() / "drivers"
    simulated = firmware_dir() / "ports" / "simulated"
    sources = [
        Path(__file__).with_name("probe.c"),
        *(drivers / f"{name}.c" for name in ("imu", "lsm6ds", "mpu6050", "icm42688")),
        *(simulated / f"{name}.c" for name in ("i2c", "imu_model", "imu_model_parts", "truth")),
    ]
    target = folder / "probe"
    command: list[str | Path] = [
        "cc",
        *_FLAGS,
        f"-I{drivers}",
        f"-I{simulated}",
        *sources,
        "-o",
        target,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


class Probe:
    """Runs commands of probe.c; see there."""

    def __init__(self, folder: Path) -> None:
        self._program = build(folder)
        self._movement = folder / "movement"

    def __call__(self, *commands: str, movement: NDArray[np.int16] | None = None) -> list[str]:
        """Return one answer a command that has one."""
        rows = np.zeros((1, 6), np.int16) if movement is None else movement
        self._movement.write_bytes(rows.astype("<i2").tobytes())
        done = subprocess.run(
            [self._program, self._movement],
            input="\n".join(commands) + "\n",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()
