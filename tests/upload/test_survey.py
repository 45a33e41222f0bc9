"""Who is on each port."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from myowave.cli import main
from myowave.link import Device
from myowave.model_card import load_card
from myowave.pty_port import Pty
from myowave.upload.find import Port
from myowave.upload.survey import survey, udev_rules
from myowave.upload.table import uploads
from myowave.wire import DEFINITION, encode_frame


@pytest.fixture
def silent_port() -> Iterator[str]:
    """A port at which nothing answers."""
    with Pty() as pty:
        pty.release()
        yield pty.port


def port(device: str, usb_id: str = "2886:8045") -> Port:
    return Port(device, "", usb_id, "")


def test_a_board_says_who_it_is(model, answering):
    report = survey(port(answering))
    assert report.state == "answers"
    assert report.identity is not None
    assert report.identity.model_sha256 == load_card(model).tflite_sha256
    assert report.known_as == "Seeed XIAO nRF52840 Sense, Arduino"
    assert report.identity.model_sha256[:12] in report.detail


def test_a_board_that_streams_to_nobody_still_answers(answering):
    with Device.open(answering) as device:
        device.start()
    assert survey(port(answering), 5.0).state == "answers"


def test_a_silent_port_is_not_waited_for(silent_port):
    report = survey(port(silent_port, "0403:6001"), 0.1)
    assert (report.state, report.known_as, report.identity) == ("silent", "", None)


def test_an_identity_no_board_has_is_no_answer():
    identity: dict[str, Any] = dict.fromkeys(
        (field.name for field in DEFINITION.frames["identity"].fields), 0
    )
    identity |= {
        "protocol_version": DEFINITION.limits["version"],
        "model_sha256": bytes(32),
        "imu": "",
        "board": "",
        "muscles": [],
    }
    with Pty() as pty:
        pty.release()

        def answer() -> None:
            while True:
                with contextlib.suppress(OSError):  # while nobody has the port open
                    os.read(pty.controller, 100)
                    os.write(pty.controller, encode_frame("identity", 0, **identity))
                    return
                time.sleep(0.01)

        board = threading.Thread(target=answer, daemon=True)
        board.start()
        report = survey(port(pty.port))
        board.join(5.0)
    assert (report.state, report.identity) == ("silent", None)


def test_a_port_in_use_is_not_opened(silent_port):
    """By a program that takes no lock: it would lose bytes to us."""
    code = f"f = open({silent_port!r}, 'r+b', buffering=0); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        report = survey(port(silent_port))
        other.communicate("\n")
    assert report.state == "busy"
    assert f"process {other.pid}" in report.detail


def test_a_port_off_usb_is_not_asked(silent_port):
    assert survey(port(silent_port, "")).state == "not asked"


def test_a_port_that_is_gone_is_told():
    assert survey(port("/dev/no such port")).state == "forbidden"


def test_udev_rules_name_every_vendor(capsys):
    rules = udev_rules()
    for upload in uploads().values():
        for usb_id in upload.port_ids + upload.bootloader_ids:
            assert f'ATTRS{{idVendor}}=="{usb_id[:4].lower()}"' in rules
    assert main(["doctor", "--udev-rules"]) == 0
    assert capsys.readouterr().out == rules
