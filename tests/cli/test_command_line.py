"""What every command promises: help with an example, one line for a mistake, a light start."""

import json
import subprocess
import sys

import pytest

from myowave.cli import main
from myowave.cli.app import build_app

COMMANDS = (
    "simulate",
    "import",
    "inspect",
    "train",
    "compile",
    "check",
    "run",
    "bench",
    "fit",
    "virtual",
    "calibrate",
    "log",
    "align",
    "monitor",
    "export",
    "replay",
    "flash",
    "doctor",
)


def test_every_command_is_there_in_the_order_of_a_users_path():
    assert tuple(command.name for command in build_app().registered_commands) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example_of_the_command(command, capsys):
    assert main([command, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"Example: myowave {command}" in text.replace("│", "").replace("  ", " ")
    assert "<bool>" not in text, "a flag takes no value"


@pytest.mark.parametrize(
    "words",
    [
        ["no-such-command"],
        ["simulate"],
        ["simulate", "-o", "x", "--seconds", "many"],
        ["simulate", "-o", "x", "--seconds", "-1"],
        ["import", "/nowhere/at/all.csv", "-o", "x"],
        ["inspect", "/nowhere/at/all.parquet"],
        ["train", "/nowhere", "-o", "x"],
        ["compile", "/nowhere.tflite", "-o", "x"],
        ["check", "/nowhere", "rec"],
        ["run", "/nowhere", "-i", "x.npy", "-o", "y.npy"],
        ["bench", "--reference", "Z"],
        ["fit", "/nowhere"],
        ["fit", "/nowhere", "--board", "uno"],
        ["virtual", "/nowhere.parquet", "--link", "x", "--board", "cortex_m4"],
        ["calibrate", "/nowhere/port", "-o", "x"],
        ["log", "/nowhere/port", "-o", "x"],
        ["monitor", "/nowhere/port"],
        ["replay", "/nowhere/log", "--link", "x"],
        ["flash", "no_such_board"],
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("myowave: error: ")
    assert list(tmp_path.iterdir()) == []


def test_logging_and_monitoring_need_no_tensorflow():
    # In a process of its own: other tests may have imported it into this one.
    program = (
        "import sys, json\n"
        "from myowave.cli.app import build_app; build_app()\n"
        "import myowave.link, myowave.log, myowave.wire\n"
        "print(json.dumps([m for m in ('tensorflow', 'keras', 'scipy', 'matplotlib', 'pyarrow')"
        " if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


def test_python_dash_m_is_the_same_program():
    done = subprocess.run(
        [sys.executable, "-m", "myowave", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("myowave ")
