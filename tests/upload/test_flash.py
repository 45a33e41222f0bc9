"""Flashing, from the plan to the identity frame."""

import json
import os
import stat
import termios
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from myowave.cli import main
from myowave.errors import ConfigError, LinkError, ModelError, ToolError
from myowave.model_card import load_card
from myowave.paths import firmware_dir
from myowave.pty_port import Pty
from myowave.upload.carry_out import carry_out, copy_uf2
from myowave.upload.find import Drive, Port, drives
from myowave.upload.plan import Computer, make_plan
from myowave.upload.table import uploads
from myowave.upload.uf2 import read_uf2
from tests.firmware.models import write_model
from tests.upload.conftest import pico, uf2

PICO = uploads()["rp2040"]
XIAO = uploads()["xiao_nrf52840_sense"]
NANO = uploads()["nano33ble"]
DK = uploads()["nrf52840_dk"]


def computer(ports=(), mounted=(), tools=()) -> Computer:
    return Computer(
        ports=lambda: list(ports),
        drives=lambda: list(mounted),
        which=lambda tool: f"/usr/bin/{tool}" if tool in tools else None,
    )


def test_a_pico_is_flashed_through_its_drive_and_answers(model, answering, make_drive, image):
    drive = make_drive()
    here = computer(ports=[pico(answering)], mounted=[drive])
    said: list[str] = []
    plan = make_plan(PICO, model, computer=here)
    identity = carry_out(plan, say=said.append, build=lambda _: image, computer=here)
    assert identity.model_sha256 == load_card(model).tflite_sha256
    assert (drive.path / "MYOWAVE.UF2").read_bytes() == image.read_bytes()
    assert said == ["building", f"flashing {image}", "waiting for the board"]
    assert "RPI-RP2" in plan.steps[1]


def test_serial_on_pins_is_named_by_the_user(model, answering, make_drive, tmp_path):
    drive = make_drive("XIAO-SENSE", "nRF52840-SeeedXiaoSense-v1")
    here = computer(mounted=[drive])
    image = tmp_path / "program.uf2"
    image.write_bytes(uf2(family=0xADA52840))
    plan = make_plan(XIAO, model, computer=here)
    assert isinstance(plan.problem, LinkError)
    assert "--port" in str(plan.problem)
    plan = make_plan(XIAO, model, port=answering, computer=here)
    identity = carry_out(plan, build=lambda _: image, computer=here)
    assert identity.model_sha256 == load_card(model).tflite_sha256


def test_a_bare_metal_image_is_built_and_copied(model, answering, make_drive):
    """From the model to the drive; the board that answers then is another, with the same model."""
    drive = make_drive("XIAO-SENSE", "nRF52840-SeeedXiaoSense-v1")
    here = computer(mounted=[drive])
    carry_out(make_plan(XIAO, model, port=answering, computer=here), computer=here)
    family, parts = read_uf2((drive.path / "MYOWAVE.UF2").read_bytes(), "copied")
    assert family == boards_json("xiao_nrf52840_sense")["build"]["uf2_family"] == XIAO.uf2_family
    image = b"".join(payload for _, payload in parts)
    assert bytes.fromhex(load_card(model).tflite_sha256) in image


def boards_json(name: str) -> dict[str, Any]:
    """Return a board of the local platform."""
    path = firmware_dir() / "platform" / "boards" / f"{name}.json"
    board: dict[str, Any] = json.loads(path.read_text())
    board["build"]["uf2_family"] = int(str(board["build"].get("uf2_family", 0)), 0)
    return board


def test_a_probe_gets_an_intel_hex_file(model, answering, probe_tool):
    here = Computer(ports=lambda: [Port(answering, "J-Link", "1366:1051", "1")])
    carry_out(make_plan(DK, model, computer=here), computer=here)
    image = Path(probe_tool.read_text().split()[-1])
    assert image.suffix == ".hex"
    lines = image.read_text().splitlines()
    assert lines[-1] == ":00000001FF"
    assert all(sum(bytes.fromhex(line[1:])) % 256 == 0 for line in lines)


def test_an_upload_that_fails_is_one_line(model):
    """PlatformIO is asked for an upload that this environment, of this computer, does not have."""
    upload = replace(NANO, name="native")
    here = computer(ports=[Port("/dev/ttyACM0", "Nano", "2341:805A", "")])
    with pytest.raises(ToolError, match=r"building for native failed: .*upload") as failure:
        carry_out(make_plan(upload, model, computer=here), computer=here)
    assert "\n" not in str(failure.value)


def test_nothing_is_written_to_a_drive_when_the_file_is_another_boards(model, make_drive, tmp_path):
    drive = make_drive()
    image = tmp_path / "program.uf2"
    image.write_bytes(uf2(family=0xADA52840))
    here = computer(mounted=[drive])
    with pytest.raises(ToolError, match="family"):
        carry_out(make_plan(PICO, model, computer=here), build=lambda _: image, computer=here)
    assert [path.name for path in drive.path.iterdir()] == ["INFO_UF2.TXT"]


def test_a_board_with_another_model_is_told(model, other_model, answering, make_drive, image):
    here = computer(ports=[pico(answering)], mounted=[make_drive()])
    plan = make_plan(PICO, other_model, computer=here)
    expected, found = (load_card(m).tflite_sha256[:12] for m in (other_model, model))
    with pytest.raises(LinkError, match=rf"not seen with model {expected}.*runs model {found}"):
        carry_out(plan, build=lambda _: image, computer=here, timeout_s=0.5)


def test_a_board_that_does_not_come_back_is_told(model, make_drive, image):
    here = computer(mounted=[make_drive()])
    plan = make_plan(PICO, model, computer=here)
    with pytest.raises(LinkError, match=r"no port appeared \(USB 2E8A:000A\); press its reset"):
        carry_out(plan, build=lambda _: image, computer=here, timeout_s=0.3)


def test_a_full_drive_is_told(tmp_path, image):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "MYOWAVE.UF2").symlink_to("/dev/full")
    with pytest.raises(LinkError, match=r"took 0 of 1536 bytes, then: No space left.*writable"):
        copy_uf2(image, Drive(tmp_path / "full", "RPI-RP2"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_drive_without_permission_is_a_problem_before_anything_is_done(model, make_drive):
    drive = make_drive()
    drive.path.chmod(0o500)
    plan = make_plan(PICO, model, computer=computer(mounted=[drive]))
    drive.path.chmod(0o700)
    assert "may not write there" in str(plan.problem)


def test_a_running_pico_is_asked_for_its_bootloader(model, answering, make_drive, image):
    """Its port is opened at 1200 baud; the bootloader's drive appears, and later the port again."""
    pty = Pty()
    mounted: list[Drive] = []
    ports = [pico(pty.port, "E660")]

    def bootloader() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if termios.tcgetattr(pty.terminal)[4] == termios.B1200:
                mounted.append(make_drive())
                ports[:] = [pico(answering, "E660")]
                return
            time.sleep(0.01)

    board = threading.Thread(target=bootloader)
    board.start()
    try:
        here = Computer(ports=lambda: ports, drives=lambda: mounted)
        plan = make_plan(PICO, model, computer=here)
        assert "1200 baud" in plan.steps[1]
        identity = carry_out(plan, build=lambda _: image, computer=here)
    finally:
        board.join()
        pty.close()
    assert identity.model_sha256 == load_card(model).tflite_sha256
    assert (mounted[0].path / "MYOWAVE.UF2").read_bytes() == image.read_bytes()


@pytest.fixture
def probe_tool(tmp_path, monkeypatch) -> Path:
    """A `pyocd` on PATH that notes its arguments: the real one needs a probe."""
    tool: Path = tmp_path / "bin" / "pyocd"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\nexit ${{PYOCD_STATUS:-0}}\n')
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    said: Path = tmp_path / "said"
    return said


def test_a_dk_is_flashed_by_its_probe(model, answering, image, probe_tool):
    here = Computer(ports=lambda: [Port(answering, "J-Link", "1366:1051", "000683834403")])
    plan = make_plan(DK, model, computer=here)
    assert plan.steps[1] == "run: pyocd load --target nrf52840 --uid 683834403 IMAGE"
    identity = carry_out(plan, build=lambda _: image, computer=here)
    assert identity.model_sha256 == load_card(model).tflite_sha256
    assert probe_tool.read_text().split() == [
        *("load", "--target", "nrf52840", "--uid", "683834403", str(image)),
    ]


def test_a_probe_tool_that_fails_is_told(model, image, probe_tool, monkeypatch):
    monkeypatch.setenv("PYOCD_STATUS", "3")
    here = Computer(ports=lambda: [Port("/dev/x", "J-Link", "1366:1015", "1")])
    with pytest.raises(ToolError, match=r"'pyocd load .*' failed"):
        carry_out(make_plan(DK, model, computer=here), build=lambda _: image, computer=here)


@pytest.mark.parametrize(
    ("ports", "tools", "reason"),
    [
        ([], ["pyocd"], r"no Nordic nRF52840 DK found: looked for USB ids 1366:\*.*nothing"),
        (["1", "2"], ["pyocd"], r"2 ports fit .*; name one by --port"),
        (["1"], [], "pyocd or nrfjprog not found.*pip install pyocd"),
    ],
)
def test_what_is_missing_for_a_dk(model, ports, tools, reason):
    there = [Port(f"/dev/tty{n}", "J-Link", "1366:1051", n) for n in ports]
    plan = make_plan(DK, model, computer=computer(ports=there, tools=tools))
    assert plan.problem is not None
    with pytest.raises(type(plan.problem), match=reason):
        carry_out(plan)


def test_a_named_port_tells_which_of_two_probes(model):
    there = [Port(f"/dev/tty{n}", "J-Link", "1366:1051", n) for n in "12"]
    here = computer(ports=there, tools=["nrfjprog"])
    plan = make_plan(DK, model, port="/dev/tty2", computer=here)
    assert plan.problem is None
    assert plan.probe[-3:] == ("--snr", "2", "--program")


def test_platformio_gets_the_port(model):
    here = computer(ports=[Port("/dev/ttyACM0", "Nano", "2341:005A", "")])
    plan = make_plan(NANO, model, computer=here)
    assert plan.steps[1] == "run: pio run -e nano33ble -t upload --upload-port /dev/ttyACM0"
    assert plan.problem is None


def test_a_plan_without_a_board_still_says_what_would_be_done(model):
    for upload in uploads().values():
        plan = make_plan(upload, model, computer=computer())
        assert plan.problem is not None
        assert len(plan.steps) == 3


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError):
        make_plan(PICO, tmp_path, computer=computer())


def test_a_named_drive_of_another_board_is_a_problem(model, make_drive):
    drive = make_drive("XIAO-SENSE", "nRF52840-SeeedXiaoSense-v1")
    plan = make_plan(PICO, model, drive=drive.path, computer=computer())
    assert isinstance(plan.problem, ConfigError)


# ---- The command -------------------------------------------------------------------------------


def test_a_network_the_flash_is_too_slow_for_gets_its_tables_in_ram(tmp_path, capsys):
    """As fit says of the reference network on this board."""
    model = write_model(tmp_path / "R")
    assert main(["flash", "nrf52840_dk", "--model", str(model), "--dry-run"]) == 0
    assert "weights and tables in RAM" in capsys.readouterr().out


def test_dry_run_prints_the_plan_and_writes_nothing(model, make_drive, capsys):
    drive = make_drive()
    arguments = ["flash", "rp2040", "--model", str(model), "--drive", str(drive.path), "--dry-run"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert f"2. copy the UF2 file to {drive.path}" in out
    assert [path.name for path in drive.path.iterdir()] == ["INFO_UF2.TXT"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["uno"], "teensy41"),
        (["native", "--port", "x"], "'native' is emulated"),
        (["cortex-m4", "--dry-run"], "'cortex_m4' is emulated"),
        (["rp2040", "--drive", "{tmp}"], "holds no INFO_UF2.TXT"),
        (["xiao-nrf52840-sense"], "D6 (TX) and D7 (RX)"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(arguments, message, model, tmp_path, capsys):
    arguments = [argument.format(tmp=tmp_path) for argument in arguments]
    assert main(["flash", *arguments, "--model", str(model)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_nothing_here_is_taken_for_a_board():
    assert all(drive.board_id for drive in drives())
