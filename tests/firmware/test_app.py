"""The application without a board: a port in the test's hands, interrupts called one by one."""

import subprocess
from typing import Any

import cffi
import numpy as np
import pytest

from myowave.paths import firmware_dir
from myowave.wire import Decoder, Frame, encode_frame
from tests.firmware.models import IMU, expected, movement

SHIM = """\
#include "app.h"
#include "port.h"

static mw_app app;
static uint64_t now_us;
static uint32_t sleep_us;
static int clock_rate;
static int masked;
static int sleeps;
static int led;

const char *mw_port_board(void) { return "test"; }
uint8_t mw_port_reset_cause(void) { return MW_WIRE_RESET_CAUSE_WATCHDOG; }
void mw_port_led(mw_led state) { led = (int)state; }
uint64_t mw_port_time_us(void) { return now_us; }
void mw_port_sample_clock_start(uint32_t rate_hz) { clock_rate = (int)rate_hz; }
void mw_port_sample_clock_stop(void) { clock_rate = 0; }
void mw_port_serial_kick(void) {}
uint32_t mw_port_irq_save(void) { masked++; return 0; }
void mw_port_irq_restore(uint32_t saved) { (void)saved; masked--; }
void mw_port_sleep(void) { now_us += masked == 1 ? sleep_us : 0u; sleeps++; }

int shim_init(const char *imu, float acc, float gyro) {
    now_us = 0;
    sleeps = 0;
    clock_rate = 0;
    masked = 0;
    mw_status status = mw_app_init(&app);
    mw_sensor sensor = {.acc_lsb_m_s2 = acc, .gyro_lsb_rad_s = gyro};
    strncpy(sensor.name, imu, sizeof sensor.name - 1u);
    mw_app_set_sensor(&app, &sensor);
    return (int)status;
}
void shim_time(uint64_t time_us, uint32_t sleeps_us) { now_us = time_us; sleep_us = sleeps_us; }
int shim_clock(void) { return clock_rate; }
int shim_sleeps(void) { return sleeps; }
int shim_masked(void) { return masked; }
int shim_led(void) { return led; }
void shim_tick(uint64_t time_us, const int16_t *counts) { mw_app_on_tick(&app, time_us, counts); }
void shim_overrun(void) { mw_app_on_overrun(&app); }
void shim_end(void) { mw_app_on_sensor_end(&app); }
void shim_byte(uint8_t byte) { mw_app_on_byte(&app, byte); }
uint32_t shim_room(void) { return mw_app_queue_room(&app); }
void shim_run(void) { mw_app_run_once(&app); }
int shim_next(void) {
    uint8_t byte;
    return mw_app_next_byte(&app, &byte) ? (int)byte : -1;
}
"""
INTERFACE = """
int shim_init(const char *imu, float acc, float gyro);
void shim_time(uint64_t time_us, uint32_t sleeps_us);
int shim_clock(void);
int shim_sleeps(void);
int shim_masked(void);
int shim_led(void);
void shim_tick(uint64_t time_us, const int16_t *counts);
void shim_overrun(void);
void shim_end(void);
void shim_byte(uint8_t byte);
uint32_t shim_room(void);
void shim_run(void);
int shim_next(void);
"""


@pytest.fixture(scope="module")
def library(model, tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("app")
    (folder / "shim.c").write_text(SHIM)
    firmware = firmware_dir()
    # Acquisition has ports of its own in its tests.
    app = [path for path in (firmware / "app").glob("*.c") if path.name != "acquisition.c"]
    sources = [*app, *(firmware / "engine").glob("*.c")]
    subprocess.run(
        [
            *("cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"),
            *(f"-I{firmware / part}" for part in ("app", "engine")),
            *(f"-I{model}", "-o", folder / "app.so", folder / "shim.c", *sources),
            model / "model_data.c",
        ],
        check=True,
    )
    ffi = cffi.FFI()
    ffi.cdef(INTERFACE)
    return ffi, ffi.dlopen(str(folder / "app.so"))


class App:
    """The application and what it has sent."""

    def __init__(self, library: Any) -> None:
        self.ffi, self.lib = library
        self.decoder = Decoder()
        assert self.lib.shim_init(IMU.name.encode(), 1.0, 2.0) == 0
        (identity,) = self.sent()
        assert identity.name == "identity"

    def command(self, name: str, **values: Any) -> list[Frame]:
        self.receive(encode_frame(name, 0, **values))
        self.lib.shim_run()
        return self.sent()

    def receive(self, data: bytes) -> None:
        for byte in data:
            self.lib.shim_byte(byte)

    def tick(self, time_us: int, counts: np.ndarray | None) -> None:
        row = self.ffi.NULL if counts is None else self.ffi.new("int16_t[]", counts.tolist())
        self.lib.shim_tick(time_us, row)

    def sent(self) -> list[Frame]:
        data = bytearray()
        while (byte := self.lib.shim_next()) >= 0:
            data.append(byte)
        frames = self.decoder.feed(bytes(data))
        assert (self.decoder.crc_errors, self.decoder.malformed, self.decoder.lost) == (0, 0, 0)
        return frames

    def statistics(self) -> Frame:
        *_, statistics = self.command("get_statistics")
        return statistics


@pytest.fixture
def app(library) -> App:
    return App(library)


def test_a_full_queue_drops_counts_and_leaves_a_gap(app, model):
    counts = movement(300)
    app.command("start")
    for i in range(200):
        app.tick(1000 * i, counts[i])
    assert app.lib.shim_room() == 0
    app.lib.shim_run()
    for i in range(200, 220):
        app.tick(1000 * i, counts[i])
    app.lib.shim_run()
    data = [frame for frame in app.sent() if frame.name == "data"]
    assert [(f["first_tick"], f["count"], f["gap_ticks"]) for f in data][-2:] == [
        (120, 8, 0),
        (200, 20, 72),
    ]
    assert data[-1]["time_us"] == 200_000
    assert data[-1]["warm_up"] == 20
    got = np.vstack([frame["predictions"] for frame in data])
    fresh = [expected(model, counts[:128]), expected(model, counts[200:220])]
    assert np.array_equal(got, np.vstack(fresh))
    statistics = app.statistics()
    assert (statistics["dropped"], statistics["missed"], statistics["gaps"]) == (72, 0, 1)
    assert statistics["queue_high_water"] == 128


def test_ticks_without_a_sample_are_missed_never_invented(app):
    counts = movement(50)
    app.command("start")
    for i in range(50):
        app.tick(1000 * i, None if 20 <= i < 30 else counts[i])
        app.lib.shim_run()
    frames = [*app.sent(), *app.command("stop")]
    data = [frame for frame in frames if frame.name == "data"]
    assert [(f["first_tick"], f["count"], f["gap_ticks"]) for f in data] == [
        (0, 20, 0),
        (30, 20, 10),
    ]
    assert app.statistics()["missed"] == 10


def test_stop_sends_the_batch_and_says_idle(app):
    app.command("start")
    assert app.lib.shim_clock() == 1000
    for i in range(7):
        app.tick(1000 * i, movement(7)[i])
    frames = app.command("stop")
    assert [frame.name for frame in frames] == ["data", "statistics", "acknowledge"]
    assert (frames[0]["count"], frames[1]["mode"]) == (7, 0)
    assert app.lib.shim_clock() == 0


def test_a_batch_that_does_not_fill_is_sent_after_a_while(app):
    app.command("start")
    app.tick(5000, movement(1)[0])
    app.lib.shim_run()
    assert app.sent() == []
    app.lib.shim_time(200_000, 0)
    app.lib.shim_run()
    (frame,) = app.sent()
    assert (frame.name, frame["count"], frame["time_us"]) == ("data", 1, 5000)


def test_cpu_load_is_the_share_of_time_not_asleep(app):
    app.command("start")
    for round_ in range(1, 1100):
        # 300 us of work, then 700 us of sleep.
        app.lib.shim_time(1000 * round_ + 300, 700)
        app.lib.shim_run()
    loads = [f["cpu_load_permille"] for f in app.sent() if f.name == "statistics"]
    assert len(loads) == 1
    assert loads[0] == pytest.approx(300, abs=2)


def test_no_sleep_while_there_is_work_and_interrupts_always_come_back(app):
    app.command("start")
    sleeps = app.lib.shim_sleeps()
    app.lib.shim_byte(0)
    app.tick(0, movement(1)[0])
    app.lib.shim_run()
    assert app.lib.shim_sleeps() == sleeps + 1  # after the work, not in its place
    assert app.lib.shim_masked() == 0


def test_a_full_receive_ring_loses_bytes_and_counts_them(app):
    app.receive(b"\1" * 1030)
    app.lib.shim_run()
    statistics = app.statistics()
    assert statistics["rx_overflow"] == 6
    # The run of bytes was no frame; the command after it was understood all the same.
    assert statistics["rx_malformed"] == 1


def test_a_line_that_takes_nothing_gets_whole_frames_only(app):
    """Answers keep their place in the ring when data frames find none."""
    counts = movement(4000)
    app.command("set_raw", on=1)
    app.command("start")
    for i in range(4000):
        app.tick(1000 * i, counts[i])
        app.lib.shim_run()
    app.receive(encode_frame("ping", 0, token=9))
    app.lib.shim_run()
    frames = app.sent()
    data = [frame for frame in frames if frame.name == "data"]
    assert frames[-1].name == "pong"
    for frame in data:
        first = frame["first_tick"]
        assert np.array_equal(frame["counts"], counts[first : first + 20])
    statistics = app.statistics()
    assert statistics["tx_dropped_batches"] == 200 - len(data)
    assert statistics["dropped"] == 0


def test_overruns_are_counted_and_counters_reset(app):
    app.lib.shim_overrun()
    assert app.statistics()["overruns"] == 1
    app.command("reset_counters")
    assert app.statistics()["overruns"] == 0


def test_the_end_of_the_imu_stops_sampling_once(app):
    app.command("start")
    app.tick(0, movement(1)[0])
    app.lib.shim_end()
    app.lib.shim_run()
    assert [frame.name for frame in app.sent()] == ["data", "statistics", "text"]
    assert app.lib.shim_clock() == 0
    app.lib.shim_end()
    app.lib.shim_run()
    assert app.sent() == []


def test_the_light_shows_what_the_board_does(library):
    ready, sampling, fault = range(3)
    app = App(library)
    (identity,) = app.command("identify")
    assert identity["reset_cause"] == 4  # the watchdog, as the port says
    assert app.lib.shim_led() == ready
    app.command("start")
    assert app.lib.shim_led() == sampling
    app.command("stop")
    app.lib.shim_run()
    assert app.lib.shim_led() == ready
    app.lib.shim_init(b"mpu-6050", 1.0, 2.0)
    app.lib.shim_run()
    assert app.lib.shim_led() == fault


def test_an_imu_of_another_name_cannot_start(library):
    app = App(library)
    app.lib.shim_init(b"mpu-6050", 1.0, 2.0)
    app.decoder.restart()
    app.sent()
    (answer,) = app.command("start")
    assert answer["status"] == 6
    assert app.lib.shim_clock() == 0
