"""A board of the nRF52840 port in labwired: its own image, an IMU on the bus, the serial line here.

What labwired 0.25 does otherwise than the chip, and what is done about it:

- It lacks SSAT and computes SXTB16 wrongly: the image is built with the engine's portable kernels.
- An I2C transfer takes four to five times its time: the model's rate is 250 Hz, not 1 kHz. Nothing
  here tests time.
- UARTE never raises its interrupt, and receives only when one of its registers is written. The port
  serves the line in each round of its main loop too; `run` writes a register that is of no account.
- Pull-up resistors do not raise a line: SDA and SCL are inputs that a test sets.
- Its watchdog times out early, once, and never resets; RESETREAS cannot be set. A test has either's
  registers as plain memory instead.
- Without a bootloader the image of a board that has one is not at 0: flash begins where it does.
"""

import json
import os
import re
from collections import deque
from collections.abc import Callable
from importlib import import_module, resources
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.firmware import model_tables, run_platformio
from myowave.paths import build_dir, firmware_dir
from myowave.wire import Decoder, Frame, encode_frame

RATE_HZ = 250
SLICE = "4ms"
PARTS = Path(__file__).with_name("parts")
CHANNELS = ("ax", "ay", "az", "gx", "gy", "gz")
_UARTE_ERRORSRC = 0x40002480
_BRANCH_TO_SELF = b"\xfe\xe7"


def build_image(board: str, model: Path) -> Path:
    """Build a board's environment with the engine's portable kernels and a model of 250 Hz."""
    tables = model_tables(model)
    assert tables["model_data.c"].count(".rate_hz = 1000U") == 1
    tables["model_data.c"] = tables["model_data.c"].replace(
        ".rate_hz = 1000U", f".rate_hz = {RATE_HZ}U"
    )
    work = build_dir("labwired") / "pio"
    run_platformio(
        board, tables, work, settings={"PLATFORMIO_BUILD_FLAGS": "-DMW_KERNELS_PORTABLE"}
    )
    return work / board / "program.elf"


class Simulated:
    """One board in labwired.

    Parameters
    ----------
    image : Path
    board : str
        As in `firmware/platform/boards`.
    folder : Path
        For the files that describe the system to labwired.
    part : str or None
        The IMU, a file in `parts`; None when there is none.
    address : int
        Its address on the bus.
    plain : tuple of str
        Peripherals of labwired's `nrf52840.yaml` whose registers only hold what is written.
    """

    def __init__(
        self,
        image: Path,
        board: str,
        folder: Path,
        part: str | None,
        address: int,
        *,
        plain: tuple[str, ...] = (),
    ) -> None:
        defines = _defines(board)
        _write_chip(folder, defines, plain)
        system = folder / "system.yaml"
        system.write_text(_system(board, defines, part, address), encoding="utf-8")
        # By name: it has no types, and may not be installed.
        self.sim: Any = import_module("labwired").Sim(image, system=system)
        self.frames: list[Frame] = []
        self.motion: Callable[[int], NDArray[np.float64]] | None = None
        self._decoder = Decoder()
        self._unseen: deque[Frame] = deque()
        self._slices = 0
        self._sequence = 0
        self.pull_up()

    def __enter__(self) -> "Simulated":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.sim.close()

    def pull_up(self, *, sda: bool = True) -> None:
        """Let the lines of the bus be high, or hold SDA low."""
        self.sim.set_pin("sda", sda)
        self.sim.set_pin("scl", True)

    def run(self, slices: int = 1) -> list[Frame]:
        """Let time pass, with a new value of the IMU each slice; return the frames that came."""
        came: list[Frame] = []
        for _ in range(slices):
            if self.motion is not None:
                for channel, value in zip(CHANNELS, self.motion(self._slices), strict=True):
                    self.sim.set_input(channel, float(value))
            self._slices += 1
            self.sim.run_for(SLICE)
            self.sim.write_u32(_UARTE_ERRORSRC, 0)
            came += self._decoder.feed(self.sim.read_uart_bytes())
        self.frames += came
        self._unseen.extend(came)
        return came

    def wait_for(self, name: str, slices: int = 300, **fields: object) -> Frame:
        """Return the next frame of a type, and with these values where there are some."""
        for _ in range(slices):
            while self._unseen:
                frame = self._unseen.popleft()
                if frame.name == name and all(frame[key] == fields[key] for key in fields):
                    return frame
            self.run()
        raise AssertionError(
            f"no {name} {fields}; came: {[(frame.name, frame.fields) for frame in self.frames]}"
        )

    def send(self, name: str, **fields: object) -> None:
        """Send a command."""
        self.sim.send_bytes(b"\0" + encode_frame(name, self._sequence, **fields))
        self._sequence += 1

    def hung_in(self, image: Path, function: str, folder: Path) -> Path:
        """Return a copy of the image in which a function is an endless loop."""
        code = bytes(self.sim.read_memory(self.sim.symbol(function) & ~1, 64))
        whole = image.read_bytes()
        assert whole.count(code) == 1
        hung = folder / "hung.elf"
        hung.write_bytes(whole.replace(code, _BRANCH_TO_SELF + code[2:]))
        return hung

    def ask(self, name: str, answer: str = "acknowledge", **fields: object) -> Frame:
        """Send a command; return its answer."""
        self.send(name, **fields)
        return self.wait_for(answer)


def _defines(board: str) -> dict[str, int]:
    path = firmware_dir() / "platform" / "boards" / f"{board}.json"
    build = json.loads(path.read_text(encoding="utf-8"))["build"]
    pins = dict(define.split("=") for define in build["defines"])
    values = {name: int(value.rstrip("u")) for name, value in pins.items()}
    return {**values, "flash_origin": int(build["memory"]["flash_origin"], 0)}


def _write_chip(folder: Path, defines: dict[str, int], plain: tuple[str, ...]) -> None:
    configs = Path(str(resources.files("labwired"))) / "configs"
    chip = (configs / "chips" / "nrf52840.yaml").read_text(encoding="utf-8")
    chip = chip.replace("../peripherals", os.fspath(configs / "peripherals"))
    for name in plain:
        block = rf'  - id: "{name}"\n    type: .*\n    base_address: (.*)\n(?:    .*\n)+'
        (base,) = re.findall(block, chip)
        region = f'memory_regions:\n  - {{ name: "{name}", base: {base}, size: "4KB" }}'
        chip = re.sub(block, "", chip).replace("memory_regions:", region)
    first = "flash:\n  base: 0x00000000"
    assert first in chip
    chip = chip.replace(first, f"flash:\n  base: {defines['flash_origin']:#x}")
    (folder / "chip.yaml").write_text(chip, encoding="utf-8")


def _system(board: str, defines: dict[str, int], part: str | None, address: int) -> str:
    interrupt = f"P0.{defines['MW_PIN_IMU_INT1']:02d}"
    devices = "[]"
    parts = "[]"
    if part is not None:
        int_pin = f', int_pin: "{interrupt}"' if part == "mpu6050" else ""
        devices = (
            "[{ id: imu, type: mpu6050, connection: i2c0, "
            f"config: {{ i2c_address: {address}{int_pin} }} }}]"
        )
        parts = f"[{{ path: {PARTS / part}.yaml }}]"
    button = "kind: button, peripheral: gpio0, signal: input, active_high: true"
    return f"""
name: {board}
chip: chip.yaml
external_devices: {devices}
parts: {parts}
board_io:
  - {{ id: sda, pin: {defines["MW_PIN_SDA"]}, {button} }}
  - {{ id: scl, pin: {defines["MW_PIN_SCL"]}, {button} }}
"""
