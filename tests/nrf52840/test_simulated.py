"""The nRF52840 image in labwired: finds its IMU, samples by DMA, predicts, survives faults."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from myowave.compiler import reference
from myowave.compiler.reference import WaveNetShape
from myowave.imu import IMUS
from myowave.wire import DEFINITION, Frame
from tests.firmware.models import expected, movement, write_model
from tests.nrf52840.simulated import CHANNELS, Simulated, build_image

pytest.importorskip("labwired", reason="labwired, which simulates the nRF52840, is not installed")

# Board, IMU, its address, its name in the model.
TIMER = ("xiao_nrf52840_sense", "lsm6ds3tr_c", 0x6A, "lsm6ds3tr-c")
DATA_READY = ("nrf52840_dk", "mpu6050", 0x68, "mpu-6050")
Case = tuple[str, str, int, str]

CHECKS = DEFINITION.self_test
STATUS = DEFINITION.status
UNTROUBLED = ("missed", "dropped", "overruns", "gaps", "rx_crc_errors", "bus_nacks", "clock_silent")
GPIOTE_INTENSET = 0x40006304
NOWHERE = 0x6000_0000  # no memory, and no peripheral
PRECISE_BUS_FAULT = 0x8200  # PRECISERR, BFARVALID
RESETREAS = 0x40000400
RESETREAS_DOG = 1 << 1
SAMPLE_CLOCK = 0x40008540  # TIMER0 CC[0]: its interrupt sets the next tick
WDT = 0x40010000
WDT_CONFIGURATION = {0x000: 1, 0x504: 2 * 32768 - 1, 0x508: 1, 0x50C: 1}  # START, CRV, RREN, CONFIG
WDT_RR = WDT + 0x600
WDT_RELOAD = 0x6E524635


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Return the model directory and the image of a board, each made once."""
    made: dict[str, tuple[Path, Path]] = {}

    def make(case: Case) -> tuple[Path, Path]:
        board, _, _, imu = case
        if board not in made:
            # Small, so that the simulator is soon past warm-up.
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(reference.REFERENCES, "tiny", WaveNetShape(8, 4, 1))
                model = write_model(tmp_path_factory.mktemp(board) / "tiny", "tiny", IMUS[imu])
            made[board] = (model, build_image(board, model))
        return made[board]

    return make


@pytest.fixture
def simulate(images, tmp_path):
    """Make a simulated board."""

    def make(case: Case, *, missing: bool = False, address: int | None = None) -> Simulated:
        board, part, default, _ = case
        _, image = images(case)
        return Simulated(image, board, tmp_path, None if missing else part, address or default)

    return make


def motion(slice_: int) -> NDArray[np.float64]:
    """Return a movement that never repeats a sample, in g and degrees a second."""
    phase = 0.13 * slice_ + np.arange(len(CHANNELS))
    value: NDArray[np.float64] = np.sin(phase) * np.array([7, 7, 7, 900, 900, 900])
    return value


def boot(board: Simulated, imu: str) -> Frame:
    frame = board.wait_for("identity", imu=imu)
    board.motion = motion
    return frame


def streamed(frames: list[Frame]) -> list[tuple[NDArray[np.int16], NDArray[np.int8]]]:
    """Return counts and predictions of each stretch without a gap."""
    stretches: list[tuple[list[NDArray[np.int16]], list[NDArray[np.int8]]]] = []
    for frame in frames:
        if frame.name != "data":
            continue
        if frame["gap_ticks"] > 0 or not stretches:
            stretches.append(([], []))
        stretches[-1][0].append(frame["counts"])
        stretches[-1][1].append(frame["predictions"])
    return [(np.concatenate(counts), np.concatenate(p)) for counts, p in stretches]


def sampling(board: Simulated, case: Case) -> None:
    """Start, and wait until frames come."""
    boot(board, case[3])
    assert board.ask("set_raw", on=1)["status"] == STATUS["ok"]
    assert board.ask("start")["status"] == STATUS["ok"]
    board.wait_for("data")


def recovered(board: Simulated, model: Path) -> Frame:
    """Wait for the first full batch after the gap; check what came before and after it."""
    while not any(frame["gap_ticks"] > 0 for frame in board.frames if frame.name == "data"):
        board.wait_for("data")
    board.wait_for("data", count=20)
    statistics = board.ask("stop", "statistics")
    stretches = streamed(board.frames)
    assert statistics["gaps"] == len(stretches) - 1 >= 1
    assert statistics["processed"] == sum(len(counts) for counts, _ in stretches)
    for counts, predictions in stretches:
        assert np.array_equal(predictions, expected(model, counts))
    return statistics


@pytest.mark.parametrize("case", [TIMER, DATA_READY], ids=lambda case: case[1])
def test_predictions_on_the_board_are_the_native_engine_s(case, images, simulate):
    """Whatever the IMU's registers held, the same frame has what the engine makes of it."""
    model, _ = images(case)
    with simulate(case) as board:
        identity = boot(board, case[3])
        assert identity["board"] == case[0]
        assert identity["self_test_run"] == sum(CHECKS.values())
        assert identity["self_test_failed"] == 0
        assert board.ask("set_raw", on=1)["status"] == STATUS["ok"]
        assert board.ask("start")["status"] == STATUS["ok"]
        board.wait_for("data", first_tick=60)
        assert board.sim.read_u32(GPIOTE_INTENSET) == (case is DATA_READY)
        statistics = board.ask("stop", "statistics")
        for counter in UNTROUBLED:
            assert statistics[counter] == 0, counter
        ((counts, predictions),) = streamed(board.frames)
    assert len(counts) == statistics["processed"] >= 80
    assert np.abs(counts.astype(int)).max(axis=0).min() > 20000
    assert np.array_equal(predictions, expected(model, counts))
    assert len(np.unique(predictions)) > 8


def test_the_imu_is_found_on_its_other_address(simulate):
    """Every part is looked for at two addresses; at the first nobody answers."""
    with simulate(TIMER, address=0x6B) as board:
        assert boot(board, TIMER[3])["self_test_failed"] == 0


def test_without_an_imu_the_board_says_so_and_can_be_asked(simulate):
    with simulate(TIMER, missing=True) as board:
        assert "no IMU answers" in board.wait_for("text")["text"]
        identity = board.wait_for("identity", self_test_failed=CHECKS["imu"])
        assert identity["imu"] == ""
        assert board.ask("start")["status"] == STATUS["no_sensor"]
        assert board.ask("ping", "pong", token=7)["token"] == 7


def test_an_imu_that_does_not_acknowledge(images, simulate):
    """From one tick to the next nobody answers at its address; then it does again."""
    with simulate(TIMER) as board:
        sampling(board, TIMER)
        # The acquisition's mw_imu: a pointer to the part, then the address.
        begin = board.sim.symbol("acquisition")
        part = board.sim.symbol("mw_imu_lsm6ds3tr_c")
        at = next(begin + 4 * i for i in range(8) if board.sim.read_u32(begin + 4 * i) == part) + 4
        word = board.sim.read_u32(at)
        assert word & 0xFF == 0x6A
        board.sim.write_u32(at, (word & ~0xFF) | 0x50)
        board.run(8)
        board.sim.write_u32(at, word)
        statistics = recovered(board, images(TIMER)[0])
    assert statistics["bus_nacks"] >= 3
    assert statistics["missed"] >= 3


def test_sda_held_low(images, simulate):
    """No transfer begins, the bus is freed again and again, and sampling goes on after release."""
    with simulate(TIMER) as board:
        sampling(board, TIMER)
        board.pull_up(sda=False)
        board.run(10)
        assert not any(frame["gap_ticks"] for frame in board.frames if frame.name == "data")
        board.pull_up()
        statistics = recovered(board, images(TIMER)[0])
    assert statistics["bus_recoveries"] >= 1
    assert statistics["missed"] >= 5


def test_recorded_counts_come_back_as_predictions(images, simulate):
    """Frames far longer than a receive buffer, several behind one another."""
    model, _ = images(TIMER)
    counts = movement(128)
    with simulate(TIMER) as board:
        boot(board, TIMER[3])
        assert board.ask("replay")["status"] == STATUS["ok"]
        results = []
        for first in range(0, 128, 64):
            for at in (first, first + 32):
                board.send("replay_samples", first=at, count=32, counts=counts[at : at + 32])
            results += [board.wait_for("replay_result", first=at) for at in (first, first + 32)]
    predictions = np.concatenate([result["predictions"] for result in results])
    assert np.array_equal(predictions, expected(model, counts))


def test_a_fault_is_told_after_the_reset(simulate):
    """The clock's interrupt follows a pointer that points nowhere; the reset puts it right."""
    with simulate(TIMER) as board:
        sampling(board, TIMER)
        board.sim.write_u32(board.sim.symbol("listener"), NOWHERE)
        text = board.wait_for("text", level=DEFINITION.level["error"])["text"]
        assert "the last run ended in a fault" in text
        values = dict(zip(text.split(": ")[1].split()[::2], text.split()[-15::2], strict=True))
        begin = board.sim.symbol("mw_acquisition_on_clock") & ~1
        assert begin <= int(values["pc"], 16) < begin + 32
        assert int(values["cfsr"], 16) == PRECISE_BUS_FAULT
        assert NOWHERE <= int(values["bfar"], 16) < NOWHERE + 4096
        identity = board.wait_for("identity", imu=TIMER[3])
        assert identity["reset_cause"] == DEFINITION.reset_cause["fault"]
        assert board.ask("ping", "pong", token=9)["token"] == 9


def test_only_the_main_loop_feeds_the_watchdog(images, tmp_path):
    """It hangs in the command that is to stop sampling: interrupts go on, and do not feed."""
    board_name, part, address, _ = TIMER
    image = images(TIMER)[1]
    with Simulated(image, board_name, tmp_path, part, address) as board:
        hung = board.hung_in(image, "mw_app_stop", tmp_path)
    with Simulated(hung, board_name, tmp_path, part, address, plain=("wdt",)) as board:
        sampling(board, TIMER)
        for offset, value in WDT_CONFIGURATION.items():
            assert board.sim.read_u32(WDT + offset) == value
        for _ in range(5):
            board.sim.write_u32(WDT_RR, 0)
            board.run()
            assert board.sim.read_u32(WDT_RR) == WDT_RELOAD
        board.send("stop")
        board.run(5)
        board.sim.write_u32(WDT_RR, 0)
        ticked = board.sim.read_u32(SAMPLE_CLOCK)
        assert board.run(50) == []
        assert board.sim.read_u32(SAMPLE_CLOCK) > ticked
        assert board.sim.read_u32(WDT_RR) == 0


def test_a_reset_by_the_watchdog_is_told(images, tmp_path):
    board_name, part, address, imu = TIMER
    image = images(TIMER)[1]
    with Simulated(image, board_name, tmp_path, part, address, plain=("clock",)) as board:
        board.sim.write_u32(RESETREAS, RESETREAS_DOG)
        identity = board.wait_for("identity", imu=imu)
        assert identity["reset_cause"] == DEFINITION.reset_cause["watchdog"]
        assert board.ask("ping", "pong", token=9)["token"] == 9
