"""No bytes upset the compiler: each file gives a plan or one line that says why not.

`corpus/README.md` says how to hunt longer.
"""

import os
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from myowave.compiler import Plan, load_plan
from myowave.compiler.emit import emit
from myowave.engine import NativeEngine
from myowave.errors import MyowaveError
from myowave.paths import build_dir
from myowave.tflm import run_tflm_windows
from tests.engine.mutations import CORPUS, Mutator, Rng, accepted, field_mutants
from tests.engine.networks import random_input

SECONDS = float(os.environ.get("MYOWAVE_FUZZ_SECONDS", "0"))
FILES = sorted(CORPUS.glob("*.tflite"))
VALID = [path for path in FILES if not path.stem.startswith("refused")]
# Without the switch: every so manyth extreme, so many random files and so many run.
STRIDE = 1 if SECONDS else 3
RANDOM_FILES = 6000
NETWORKS_RUN = 12
MEMORY_BYTES = 1 << 30
# Windows of the networks run: long enough for every kind, short enough for tflite-micro.
WINDOW_MAX = 2000


@pytest.fixture
def bounded_memory() -> Iterator[None]:
    """Let the process grow by a gigabyte at most: what asks for more fails."""
    if sys.platform != "linux":
        yield
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def kept(content: bytes) -> Iterator[None]:
    """Keep the file with which what stands inside fails."""
    try:
        yield
    except BaseException as error:  # a hang ends in pytest-timeout's own exception
        path = build_dir("fuzz") / "failed.tflite"
        path.write_bytes(content)
        error.add_note(f"the file is kept as {path}; add it to {CORPUS} once it is understood")
        raise


def checked(content: bytes) -> Plan | None:
    """Return what `accepted` does."""
    with kept(content):
        return accepted(content)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_corpus(path: Path, bounded_memory: None) -> None:
    assert (checked(path.read_bytes()) is None) == path.stem.startswith("refused")


def test_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in FILES) < 200_000


@pytest.mark.timeout(max(300.0, 20 * SECONDS))
@pytest.mark.parametrize("name", ["converter", "dense", "gated", "relu", "slices"])
def test_every_number_at_its_extremes(name: str, bounded_memory: None) -> None:
    content = (CORPUS / f"{name}.tflite").read_bytes()
    refused = 0
    for number, mutant in enumerate(field_mutants(content)):
        if number % STRIDE == 0:
            refused += checked(mutant) is None
    assert refused > 1000 / STRIDE


@pytest.mark.timeout(max(300.0, 2 * SECONDS))
def test_random_damage(bounded_memory: None) -> None:
    # A hunt begins elsewhere every time; a test run does not.
    rng = np.random.default_rng(None if SECONDS else 1)
    # Damage to a damaged file seldom tells anything new.
    mutator = Mutator([path.read_bytes() for path in [*FILES, *10 * VALID]])
    end = time.monotonic() + SECONDS
    found, number = set(), 0
    while time.monotonic() < end if SECONDS else number < RANDOM_FILES:
        found.add(checked(mutator.draw(rng)) is None)
        number += 1
    assert found == {True, False}


# --- What survives damage is a network like any other --------------------------------------------


def other_networks(rng: Rng) -> Iterator[tuple[bytes, Plan]]:
    """Draw damaged files that compile to tables unlike those of any file so far."""
    mutator = Mutator([path.read_bytes() for path in VALID])
    seen = {tables(load_plan(content)) for content in mutator.files}
    while True:
        content = mutator.draw(rng)
        plan = checked(content)
        if plan is not None and plan.window <= WINDOW_MAX and tables(plan) not in seen:
            seen.add(tables(plan))
            yield content, plan


def tables(plan: Plan) -> str:
    return emit(plan)[1].replace(plan.sha256[:16], "")


def oracle(content: bytes, x: NDArray[np.int8], ends: NDArray[np.intp]) -> NDArray[np.int8] | None:
    """Return what tflite-micro computes, None if it refuses the file; it may also crash on it."""
    try:
        return run_tflm_windows(content, x, ends)
    except MyowaveError:
        return None


@pytest.mark.timeout(max(300.0, 4 * SECONDS))
def test_damaged_networks_that_compile_equal_tflite_micro() -> None:
    rng = np.random.default_rng(None if SECONDS else 2)
    end = time.monotonic() + SECONDS
    compared = 0
    context = get_context("spawn")
    pool = ProcessPoolExecutor(1, context)
    for content, plan in other_networks(rng):
        if time.monotonic() >= end if SECONDS else compared == NETWORKS_RUN:
            break
        samples = plan.receptive_field // 2 + 20
        x = np.vstack([random_input(rng, samples, plan.n_inputs) for _ in range(4)])
        ends = np.unique(np.linspace(plan.receptive_field - 1, len(x) - 1, 16).astype(np.intp))
        try:
            expected = pool.submit(oracle, content, x, ends).result()
        except BrokenProcessPool:
            pool = ProcessPoolExecutor(1, context)
            continue
        if expected is not None:
            with kept(content):
                np.testing.assert_array_equal(NativeEngine(content).run(x)[ends], expected)
            compared += 1
    pool.shutdown()
    assert compared
