"""Finding a board: the table, USB ids, drives."""

import re

import pytest
from serial.tools.list_ports_common import ListPortInfo

from myowave.errors import ConfigError
from myowave.firmware import boards
from myowave.paths import firmware_dir
from myowave.upload.find import Port, drives, find_drive, find_port
from myowave.upload.table import board_of_usb_id, uploads
from tests.upload.conftest import pico

PICO = uploads()["rp2040"]
DK = uploads()["nrf52840_dk"]


def test_every_arduino_environment_can_be_flashed_and_nothing_else_is_in_the_table():
    text = (firmware_dir() / "ports" / "arduino" / "environments.ini").read_text()
    arduino = set(re.findall(r"^\[env:(\w+)\]", text, re.MULTILINE))
    assert {"xiao_nrf52840_sense_usb", "nano33ble", "rp2040", "esp32s3", "teensy41"} <= arduino
    bare = {"nrf52840_dk", "xiao_nrf52840_sense"}
    assert {name for name in arduino if not name.endswith("_tflm")} | bare == uploads().keys()
    assert not {name for name, board in boards().items() if board.is_virtual} & uploads().keys()


@pytest.mark.parametrize("upload", uploads().values(), ids=lambda upload: upload.name)
def test_a_row_has_what_its_way_needs(upload):
    assert upload.find
    assert all(
        re.fullmatch(r"[0-9A-F]{4}:([0-9A-F]{4}|\*)", usb_id)
        for usb_id in upload.port_ids + upload.bootloader_ids
    )
    assert (upload.way == "uf2") == bool(upload.uf2_board_ids) == bool(upload.uf2_family)
    assert (upload.way == "probe") == bool(upload.probe_target)
    assert upload.port_ids or "--port" in upload.note


def test_no_usb_id_is_of_two_boards_whose_ports_answer():
    ids = [usb_id for upload in uploads().values() for usb_id in upload.port_ids]
    assert len(ids) == len(set(ids))
    assert board_of_usb_id("1366:1051") == DK
    assert board_of_usb_id("2886:8045") == uploads()["xiao_nrf52840_sense_usb"]
    assert board_of_usb_id("0403:6001") is None


def test_a_port_is_what_pyserial_says():
    info = ListPortInfo("/dev/ttyACM3")
    info.vid, info.pid, info.serial_number = 0x2E8A, 0x000A, "E66"
    info.description = "Pico"
    assert Port.of(info) == Port("/dev/ttyACM3", "Pico", "2E8A:000A", "E66")
    assert Port.of(ListPortInfo("/dev/ttyS0")) == Port("/dev/ttyS0", "/dev/ttyS0", "", "")


def test_one_port_of_several_is_the_boards():
    there = [Port("/dev/ttyS0", "", "", ""), Port("a", "", "0403:6001", ""), pico("b")]
    assert find_port(PICO, there, None) == pico("b")
    assert find_port(PICO, there[:2], None) is None
    assert find_port(PICO, there, "a") == there[1]
    assert find_port(PICO, there, "socket://x:1") == Port("socket://x:1", "socket://x:1", "", "")


def test_the_bootloaders_port_counts_when_asked_for():
    nano = uploads()["nano33ble"]
    there = [Port("a", "", "2341:005A", "")]
    assert find_port(nano, there, None) is None
    assert find_port(nano, there, None, bootloader=True) == there[0]


def test_several_ports_are_named():
    with pytest.raises(ConfigError, match=r"2 ports fit .*a \(2E8A:000A\), b .*--port"):
        find_port(PICO, [pico("a"), pico("b")], None)


def test_a_drive_is_known_by_its_info_file(make_drive, tmp_path):
    drive = make_drive()
    (tmp_path / "stick").mkdir()
    there = drives([tmp_path / "stick", drive.path, tmp_path / "gone"])
    assert there == [drive]
    assert drive.board_id == "RPI-RP2"
    assert find_drive(PICO, there, None) == drive
    assert find_drive(PICO, [], None) is None
    assert find_drive(PICO, [], drive.path) == drive


def test_a_drive_of_another_board_is_refused(make_drive, tmp_path):
    xiao = make_drive("XIAO-SENSE", "nRF52840-SeeedXiaoSense-v1")
    assert find_drive(PICO, [xiao], None) is None
    with pytest.raises(ConfigError, match=r"'nRF52840-SeeedXiaoSense-v1', expected RPI-RP2"):
        find_drive(PICO, [], xiao.path)
    with pytest.raises(ConfigError, match=r"holds no INFO_UF2.TXT.*hold BOOTSEL"):
        find_drive(PICO, [], tmp_path)


def test_several_drives_are_named(make_drive):
    there = [make_drive("one"), make_drive("two")]
    with pytest.raises(ConfigError, match=r"2 drives .*one.*two; name one by --drive"):
        find_drive(PICO, there, None)


def test_what_is_mounted_here_can_be_read():
    assert isinstance(drives(), list)
