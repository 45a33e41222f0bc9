"""A log of a virtual board with markers, one with gaps, and a recording with raw sEMG."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myowave.clock import fit_log
from myowave.live.logger import Logger
from myowave.log import LogWriter, read_log
from myowave.recording import Recording, save
from myowave.virtual import VirtualBoard
from tests.firmware.models import IMU, movement, write_model

SECONDS = 3


def log_of(path: Path, model: Path, *, raw: bool = True, **board: Any) -> Path:
    """Log what a virtual board sends of a movement, with a marker and a note at 1.5 s."""
    counts = movement(1000 * SECONDS)
    with VirtualBoard(counts, IMU, model, "native", virtual_clock=True, **board) as virtual:
        Logger(virtual.port, path, raw=raw, model_dirs=[model]).run(threading.Event())
    log = read_log(path)
    number, clock = max(fit_log(log).items())
    device_us = log.device_us[(log.tick == 1500) & (log.run == number)][0]
    moment_s = float(clock.host_s(float(device_us)))
    with LogWriter(path) as writer:
        writer.event("marker", moment_s, label="curl 1, left")
        writer.event("note", moment_s, text='he said "ouch"')
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model directory of the reference network R."""
    return write_model(tmp_path_factory.mktemp("model") / "reference")


@pytest.fixture(scope="session")
def log(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Log of every sample of three seconds."""
    return log_of(tmp_path_factory.mktemp("log") / "whole.mwlog", model)


@pytest.fixture(scope="session")
def gappy_log(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with samples 700 to 739 and 2000 to 2009 missing."""
    path = tmp_path_factory.mktemp("log") / "gappy.mwlog"
    return log_of(path, model, missing=[(700, 740), (2000, 2010)])


@pytest.fixture(scope="session")
def recording() -> Recording:
    """Two muscles with names no header of sixteen ASCII characters can hold."""
    rng = np.random.default_rng(1)
    n = 2345
    return Recording(
        acc=rng.normal(0.0, 5.0, (n, 3)),
        gyro=rng.normal(0.0, 2.0, (n, 3)),
        emg=rng.normal(0.0, 0.3, (n, 2)),
        muscles=("biceps brachii long head", "biceps brachii kürzer"),
        subject="Zoë K",
        day="2026-02-03",
        name="curls 3",
        provenance={"simulated": True, "source": {"file": "a.csv"}},
    )


@pytest.fixture(scope="session")
def recording_file(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recording in its file."""
    path = tmp_path_factory.mktemp("recording") / "curls.parquet"
    save(recording, path)
    return path
