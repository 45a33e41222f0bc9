"""Drawn networks under the address and undefined-behaviour sanitizers, by samples and by blocks."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from myowave.compiler.emit import emit
from myowave.engine import NativeEngine
from tests.engine.networks import (
    SEEDS,
    awkward_network,
    drawn_input,
    drawn_network,
    random_signal,
    tails_network,
)
from tests.engine.test_engine_c import CC, ENGINE, SANITIZE, SOURCES, WARNINGS, needs_cc

pytestmark = needs_cc
# Samples a call and samples of the engine's block: less, as many and more; one past vector widths.
BLOCKS = ((1, 1), (7, 8), (9, 8), (1000, 3), (64, 64))


def compiled(folder: Path, source: Path, *flags: str) -> Path:
    assert CC is not None
    target = folder / f"{source.stem}.o"
    command = [CC, *WARNINGS, *SANITIZE, *flags, f"-I{ENGINE}", f"-I{folder}", "-c", str(source)]
    done = subprocess.run([*command, "-o", target], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the engine's object files by the kernels they have."""
    flags = {"portable": ["-DMW_KERNELS_PORTABLE"], "this machine's": ["-march=native"]}
    return {
        name: compiled(tmp_path_factory.mktemp("engine"), ENGINE / "mw_engine.c", *options)
        for name, options in flags.items()
    }


def check(folder: Path, engines: dict[str, Path], tflite: bytes, x: np.ndarray) -> None:
    engine = NativeEngine(tflite)
    expected = engine.run(x)
    header, source = emit(engine.plan)
    (folder / "model_data.h").write_text(header)
    (folder / "model_data.c").write_text(source)
    objects = [compiled(folder, folder / "model_data.c"), compiled(folder, SOURCES / "stream.c")]
    for kernels, object_file in engines.items():
        program = folder / "program"
        assert CC is not None
        subprocess.run([CC, *SANITIZE, *objects, object_file, "-o", program], check=True)
        for arguments in ((), *BLOCKS):
            done = subprocess.run(
                [program, *map(str, arguments)], input=x.tobytes(), capture_output=True, check=False
            )
            case = f"{kernels} kernels, samples a call and of a block: {arguments or 'one by one'}"
            assert done.returncode == 0, f"{case}: {done.stderr.decode()}"
            found = np.frombuffer(done.stdout, np.int8).reshape(expected.shape)
            np.testing.assert_array_equal(found, expected, err_msg=case)


@pytest.mark.parametrize("seed", SEEDS[3::15])
def test_drawn_network(seed: int, engines: dict[str, Path], tmp_path: Path) -> None:
    check(tmp_path, engines, drawn_network(seed), drawn_input(seed))


@pytest.mark.parametrize("make", [awkward_network, tails_network])
def test_network_made_by_hand(make, engines: dict[str, Path], tmp_path: Path) -> None:
    tflite = make(0)
    channels = NativeEngine(tflite).n_inputs
    check(tmp_path, engines, tflite, random_signal(np.random.default_rng(0), 150, channels))
