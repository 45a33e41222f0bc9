"""What the nRF52840's interrupts and main loop take, in counted instructions."""

import pytest

from budget import CYCLES_PER_INSTRUCTION, INTERRUPT_CYCLES, count

CYCLES_PER_MS = 64_000
# The receiver's FIFO holds six bytes at 1 Mbaud while the interrupt that empties it waits.
FIFO_CYCLES = 6 * 10 * 64


@pytest.fixture(scope="module")
def counted() -> dict[str, float]:
    return count()


def test_the_sample_clock_s_interrupt_only_stamps_and_starts(counted):
    assert counted["tick"] < 250


def test_a_millisecond_has_room_for_a_sample_of_r(counted):
    """Also for one that fills a frame, with all that comes in between."""
    paths = ("tick", "burst end", "sample and frame", "idle round", "go on sending")
    cycles = CYCLES_PER_INSTRUCTION * sum(counted[path] for path in paths) + 3 * INTERRUPT_CYCLES
    assert cycles < 0.75 * CYCLES_PER_MS


def test_no_byte_is_lost_to_an_interrupt_that_has_to_wait(counted):
    """The clock's may run twice, and whatever of the others is longest is under way."""
    others = max(counted[path] for path in ("burst end", "begin to send", "go on sending"))
    waiting = CYCLES_PER_INSTRUCTION * (others + 2 * counted["tick"]) + 3 * INTERRUPT_CYCLES
    assert waiting < FIFO_CYCLES


def test_all_interrupts_are_off_for_a_moment_only(counted):
    """As long as it takes to read the time; the sample clock waits for nothing else."""
    assert counted["read time"] < 40
