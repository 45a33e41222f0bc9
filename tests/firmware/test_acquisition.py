"""Acquisition by itself: clock, burst and main loop in every order, on a bus of plain registers.

The clock may interrupt anything, so the shim lets it strike inside every call of the port.
"""

import subprocess
from typing import Any

import cffi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myowave.link import Statistics
from myowave.paths import firmware_dir
from myowave.wire import Decoder, Frame, encode_frame

PERIOD_US = 1000
BEGIN_US = 5000
OK, NACK_ADDRESS, NACK_DATA, ARBITRATION_LOST, STUCK, TIMEOUT = range(6)
STATUSES = (OK, NACK_ADDRESS, NACK_DATA, ARBITRATION_LOST, STUCK, TIMEOUT)

SHIM = """\
#include <string.h>

#include "acquisition.h"
#include "port.h"

static mw_app app;
static mw_acquisition acquisition;
static uint64_t now_us;
static uint64_t next_clock_us;
static uint8_t registers[3][256]; /* of an ICM-42688-P, by bank */
static int strikes_after; /* calls of the port until the clock strikes; 0: it does not */
static bool running, refuses, in_burst, stuck;
static int masked, recoveries;
static uint8_t burst[14];

static void clock_tick(void) {
    uint64_t time_us = next_clock_us;
    next_clock_us += 1000u;
    if (time_us > now_us) {
        now_us = time_us;
    }
    mw_acquisition_on_clock(&acquisition, time_us);
}

/* A place where the clock may interrupt. */
static void here(void) {
    if (running && strikes_after > 0 && --strikes_after == 0) {
        clock_tick();
    }
}

const char *mw_port_board(void) { return "test"; }
uint8_t mw_port_reset_cause(void) { return MW_WIRE_RESET_CAUSE_WATCHDOG; }
void mw_port_led(mw_led state) { (void)state; }
uint64_t mw_port_time_us(void) { return now_us; }
void mw_port_serial_kick(void) {}
uint32_t mw_port_irq_save(void) { here(); masked++; here(); return 0; }
void mw_port_irq_restore(uint32_t saved) { (void)saved; here(); masked--; here(); }
void mw_port_sleep(void) {}

void mw_port_sample_clock_start(uint32_t rate_hz) {
    next_clock_us = now_us + 1000000u / rate_hz;
    mw_acquisition_start(&acquisition, now_us, 1000000u / rate_hz);
    running = true;
}
void mw_port_sample_clock_stop(void) {
    running = false;
    mw_acquisition_stop(&acquisition);
    here();
}
bool mw_port_burst_start(uint8_t address, uint8_t first_register, uint8_t length) {
    if (refuses || address != 0x68u || first_register != 0x1Fu || length != 12u) {
        return false;
    }
    in_burst = true;
    /* The sample says at which tick it was taken. */
    uint64_t tick = (next_clock_us - 1000u) / 1000u;
    for (int i = 0; i < 12; i++) {
        burst[i] = (uint8_t)(i < 2 ? (int)(tick >> (8 * (1 - i))) : 7 * i + 1);
    }
    return true;
}
void mw_port_burst_abort(void) { here(); in_burst = false; here(); }

static mw_bus_status bus_write(void *context, uint8_t address, const uint8_t *bytes,
                               size_t length) {
    (void)context;
    here();
    if (stuck) {
        return MW_BUS_STUCK;
    }
    if (address != 0x68u) {
        return MW_BUS_NACK_ADDRESS;
    }
    uint8_t bank = registers[0][0x76] % 3u;
    for (size_t i = 1; i < length; i++) {
        uint8_t at = (uint8_t)(bytes[0] + i - 1u);
        registers[at == 0x76u ? 0 : bank][at] = bytes[i];
    }
    registers[0][0x11] &= 0xFEu; /* the reset bit clears itself */
    return MW_BUS_OK;
}
static mw_bus_status bus_read(void *context, uint8_t address, uint8_t first, uint8_t *bytes,
                              size_t length) {
    (void)context;
    here();
    if (stuck) {
        return MW_BUS_STUCK;
    }
    if (address != 0x68u) {
        return MW_BUS_NACK_ADDRESS;
    }
    memcpy(bytes, &registers[registers[0][0x76] % 3u][first], length);
    return MW_BUS_OK;
}
static mw_bus_status bus_recover(void *context) {
    (void)context;
    here();
    recoveries++;
    return stuck ? MW_BUS_STUCK : MW_BUS_OK;
}
static void bus_delay(void *context, uint32_t us) { (void)context; (void)us; here(); }
const mw_bus *mw_port_bus(void) {
    static const mw_bus bus = {NULL, bus_write, bus_read, bus_recover, bus_delay};
    return &bus;
}

int shim_begin(void) {
    memset(&acquisition, 0, sizeof acquisition);
    memset(registers, 0, sizeof registers);
    acquisition.app = &app;
    acquisition.no_data_ready = true; /* on the timer */
    registers[0][0x75] = 0x47u; /* WHO_AM_I */
    registers[0][0x23] = 0x10u; /* 1 g */
    now_us = 4000;
    strikes_after = 0;
    recoveries = 0;
    masked = 0;
    running = refuses = in_burst = stuck = false;
    int status = (int)mw_app_init(&app);
    mw_acquisition_begin(&acquisition);
    return status;
}
void shim_clock(int left_out, int late_us) {
    now_us = next_clock_us += 1000u * (uint64_t)left_out;
    if (running) {
        next_clock_us += 1000u;
        now_us += (uint64_t)late_us;
        mw_acquisition_on_clock(&acquisition, now_us);
    }
}
void shim_burst(int status) {
    if (in_burst) {
        in_burst = false;
        mw_acquisition_on_burst(&acquisition, (mw_bus_status)status, burst);
    }
}
void shim_spurious_burst(void) { mw_acquisition_on_burst(&acquisition, MW_BUS_OK, burst); }
void shim_serve(int strikes) {
    strikes_after = strikes;
    mw_acquisition_serve(&acquisition, now_us);
    mw_app_run_once(&app);
    strikes_after = 0;
}
void shim_set(int stuck_now, int refuses_now) { stuck = stuck_now; refuses = refuses_now; }
void shim_pass(int us) { now_us += (uint64_t)us; }
void shim_lose_configuration(void) {
    memset(registers, 0, sizeof registers);
    registers[0][0x75] = 0x47u;
}
int shim_recoveries(void) { return recoveries; }
int shim_masked(void) { return masked; }
void shim_byte(uint8_t byte) { mw_app_on_byte(&app, byte); }
int shim_next(void) {
    uint8_t byte;
    return mw_app_next_byte(&app, &byte) ? (int)byte : -1;
}
"""
INTERFACE = """
int shim_begin(void);
void shim_clock(int left_out, int late_us);
void shim_burst(int status);
void shim_spurious_burst(void);
void shim_serve(int strikes);
void shim_set(int stuck_now, int refuses_now);
void shim_pass(int us);
void shim_lose_configuration(void);
int shim_recoveries(void);
int shim_masked(void);
void shim_byte(uint8_t byte);
int shim_next(void);
"""


@pytest.fixture(scope="module")
def library(model, tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("acquisition")
    (folder / "shim.c").write_text(SHIM)
    firmware = firmware_dir()
    parts = ("app", "drivers", "engine")
    subprocess.run(
        [
            *("cc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"),
            *("-fsanitize=undefined", "-fno-sanitize-recover=all"),
            *(f"-I{firmware / part}" for part in parts),
            *(f"-I{model}", "-o", folder / "app.so", folder / "shim.c"),
            *(path for part in parts for path in (firmware / part).glob("*.c")),
            model / "model_data.c",
        ],
        check=True,
    )
    ffi = cffi.FFI()
    ffi.cdef(INTERFACE)
    return ffi.dlopen(str(folder / "app.so"))


class Board:
    """The shim and what its application has sent."""

    def __init__(self, library: Any) -> None:
        self.lib = library
        self.frames: list[Frame] = []
        self._decoder = Decoder()
        assert self.lib.shim_begin() == 0
        self.take()
        assert self.frames[-1]["imu"] == "icm-42688-p"

    def take(self) -> None:
        data = bytearray()
        while (byte := self.lib.shim_next()) >= 0:
            data.append(byte)
        self.frames += self._decoder.feed(bytes(data))

    def command(self, name: str, **values: Any) -> None:
        for byte in encode_frame(name, 0, **values):
            self.lib.shim_byte(byte)
        self.serve()

    def start(self) -> None:
        self.command("set_raw", on=1)
        self.command("start")
        self.frames.clear()

    def sample(self, status: int = OK, *, left_out: int = 0, late_us: int = 0) -> None:
        self.lib.shim_clock(left_out, late_us)
        self.lib.shim_burst(status)
        self.serve()

    def serve(self, strikes: int = 0) -> None:
        self.lib.shim_serve(strikes)
        self.take()

    def finish(self) -> Statistics:
        """Stop; check that every sample is at the tick it says it is of."""
        self.command("stop")
        data = [frame for frame in self.frames if frame.name == "data"]
        for frame in data:
            tick = frame["first_tick"] + np.arange(frame["count"])
            taken = frame["counts"][:, 0].astype(int) - BEGIN_US // PERIOD_US
            assert np.array_equal(taken, tick)
            assert frame["time_us"] // PERIOD_US == BEGIN_US // PERIOD_US + frame["first_tick"]
        last = [frame for frame in self.frames if frame.name == "statistics"][-1]
        statistics = Statistics.from_frame(last)
        assert statistics.processed == sum(frame["count"] for frame in data)
        assert self.lib.shim_masked() == 0
        return statistics

    @property
    def texts(self) -> list[str]:
        return [frame["text"] for frame in self.frames if frame.name == "text"]


@pytest.fixture
def board(library) -> Board:
    board = Board(library)
    board.start()
    return board


def test_every_tick_is_a_sample(board):
    for _ in range(100):
        board.sample()
    statistics = board.finish()
    assert (statistics.processed, statistics.missed, statistics.gaps) == (100, 0, 0)
    assert statistics.faults() == {}


@pytest.mark.parametrize(
    ("status", "counter", "recoveries"),
    [
        (NACK_ADDRESS, "bus_nacks", 0),
        (NACK_DATA, "bus_nacks", 0),
        (ARBITRATION_LOST, "bus_arbitration_lost", 1),
        (STUCK, "bus_stuck", 1),
        (TIMEOUT, "bus_timeouts", 1),
    ],
)
def test_a_failed_burst_costs_its_sample(board, status, counter, recoveries):
    for i in range(30):
        board.sample(status if i == 10 else OK)
    statistics = board.finish()
    assert (statistics.processed, statistics.missed, statistics.gaps) == (29, 1, 1)
    assert getattr(statistics, counter) == 1
    assert board.lib.shim_recoveries() == statistics.bus_recoveries == recoveries
    assert statistics.longest_recovery_us == PERIOD_US


def test_a_stuck_bus_is_freed_again_and_again(board):
    for i in range(60):
        board.lib.shim_set(10 <= i < 40, 0)
        board.sample(STUCK if 10 <= i < 40 else OK)
    statistics = board.finish()
    # Every 5 ms; the first sample comes at the tick after the last attempt.
    assert statistics.bus_recoveries == 7
    assert (statistics.processed, statistics.missed) == (29, 31)
    assert statistics.longest_recovery_us == 31 * PERIOD_US
    assert board.texts == ["fault on the I2C bus: freed, samples are missing"]


def test_a_lost_configuration_is_sent_again(board):
    for i in range(30):
        if i == 10:
            board.lib.shim_lose_configuration()
        board.sample(NACK_ADDRESS if 10 <= i < 13 else OK)
    statistics = board.finish()
    assert (statistics.imu_lost_configurations, statistics.imu_configurations) == (1, 1)
    assert (statistics.processed, statistics.missed) == (27, 3)


def test_a_burst_that_does_not_end(board):
    for i in range(30):
        if 10 <= i < 14:
            board.lib.shim_clock(0, 0)
            board.serve()
        else:
            board.sample()
    statistics = board.finish()
    # Given up when it has taken over two periods; ticks meanwhile find the bus busy.
    assert (statistics.bus_timeouts, statistics.bus_recoveries, statistics.overruns) == (1, 1, 3)
    assert (statistics.processed, statistics.missed, statistics.gaps) == (26, 4, 1)


def test_a_burst_that_cannot_begin(board):
    for i in range(30):
        board.lib.shim_set(0, 10 <= i < 12)
        board.sample()
    statistics = board.finish()
    assert (statistics.bus_timeouts, statistics.bus_recoveries) == (2, 2)
    assert (statistics.processed, statistics.missed, statistics.gaps) == (28, 2, 1)


def test_a_burst_that_ends_late_keeps_its_tick(board):
    for i in range(30):
        if i == 10:
            board.lib.shim_clock(0, 0)
            board.lib.shim_clock(0, 0)
            board.lib.shim_burst(OK)
        else:
            board.sample()
    statistics = board.finish()
    assert (statistics.processed, statistics.missed, statistics.overruns) == (30, 1, 1)


def test_ticks_the_clock_left_out_are_missed(board):
    for i in range(30):
        board.sample(left_out=4 if i == 10 else 0)
    statistics = board.finish()
    assert (statistics.processed, statistics.missed, statistics.gaps) == (30, 4, 1)


def test_a_silent_clock_is_started_again(board):
    for _ in range(10):
        board.sample()
    for _ in range(25):
        board.lib.shim_pass(PERIOD_US)
        board.serve()
    for _ in range(10):
        board.sample()
    statistics = board.finish()
    assert statistics.clock_silent == 2
    assert statistics.processed == 20
    assert 20 <= statistics.missed <= 25  # the first tick of the clock that was started last


def test_jitter_is_the_deviation_from_the_grid(board):
    late = [0, 0, 3, 0, 10, 1, 0, 0, 700, 0]
    for late_us in late:
        board.sample(late_us=late_us)
    statistics = board.finish()
    assert statistics.missed == 0
    assert statistics.jitter_max_us == 700
    assert statistics.jitter_mean_ns == 1000 * sum(late) // len(late)


def test_a_burst_that_nobody_started_is_ignored(board):
    board.sample()
    board.lib.shim_spurious_burst()
    board.sample()
    statistics = board.finish()
    assert (statistics.processed, statistics.missed) == (2, 0)


operation = st.one_of(
    st.tuples(st.just("clock"), st.sampled_from([0, 0, 0, 0, 1, 3])),
    st.tuples(st.just("burst"), st.sampled_from([OK] * 8 + list(STATUSES))),
    st.tuples(st.just("burst"), st.just(OK)),
    st.tuples(st.just("serve"), st.integers(0, 12)),
    st.tuples(st.just("stuck"), st.sampled_from([0, 0, 1])),
    st.tuples(st.just("refuse"), st.sampled_from([0, 0, 1])),
    st.tuples(st.just("lose"), st.just(0)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(operation, min_size=1, max_size=150))
def test_every_order_of_interrupts(library, operations):
    """Samples are at their ticks, and ticks, samples and missed ones add up."""
    board = Board(library)
    board.start()
    stuck = refuses = 0
    for what, argument in operations:
        if what == "clock":
            board.lib.shim_clock(argument, 0)
        elif what == "burst":
            board.lib.shim_burst(argument)
        elif what == "serve":
            board.serve(argument)
        elif what == "lose":
            board.lib.shim_lose_configuration()
        else:
            stuck = argument if what == "stuck" else stuck
            refuses = argument if what == "refuse" else refuses
            board.lib.shim_set(stuck, refuses)
    # All is well again: after the next retry every tick is a sample.
    board.lib.shim_set(0, 0)
    for _ in range(20):
        board.sample()
    statistics = board.finish()
    data = [frame for frame in board.frames if frame.name == "data"]
    end = data[-1]["first_tick"] + data[-1]["count"]
    assert statistics.processed + statistics.missed + statistics.dropped == end
    assert sum(frame["gap_ticks"] for frame in data) == statistics.missed + statistics.dropped
    assert data[-1]["count"] >= 1
