"""History: what a loop over all samples ever taken says, from memory that does not grow."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from myowave.link import Identity
from myowave.live.history import History
from myowave.wire import Frame, decode_frame, encode_frame

SCALE, ZERO = 1 / 200, -100
NAN6 = np.full(6, np.nan, dtype=np.float32)


def identity(muscles: int = 2, **changes) -> Identity:
    base = Identity(
        firmware="0.1.0",
        model_sha256=f"{muscles:064x}",
        rate_hz=1000,
        receptive_field=512,
        output_scale=SCALE,
        output_zero_point=ZERO,
        acc_lsb_m_s2=0.001,
        gyro_lsb_rad_s=0.001,
        running=True,
        raw=True,
        imu="lsm6ds3tr-c",
        board="native",
        muscles=tuple(f"muscle {i}" for i in range(muscles)),
        imu_rate_hz=1660.0,
        self_test={},
        reset_cause="power_on",
        calibration=None,
    )
    return replace(base, **changes)


def data(tick: int, count: int, *, muscles: int = 2, raw: bool = True, seed: int = 0) -> Frame:
    rng = np.random.default_rng([seed, tick])
    predictions = rng.integers(-128, 128, (count, muscles)).astype(np.int8)
    counts = rng.integers(-32768, 32768, (count, 6)).astype(np.int16)
    payload: dict[str, Any] = {
        **{"first_tick": tick, "time_us": 1000 * tick, "gap_ticks": 0, "flags": 2 * raw},
        **{"warm_up": min(count, 3), "count": count, "outputs": muscles},
        **{"predictions": predictions, "counts": counts if raw else []},
    }
    return decode_frame(encode_frame("data", 0, **payload)[1:-1])


def arrival_s(tick: int) -> float:
    return 1.7e9 + tick / 1000.0


class Oracle:
    """Every sample ever given, by its place on the time axis."""

    def __init__(self) -> None:
        self.samples: dict[int, tuple[int, np.ndarray, bool]] = {}

    def take(self, frame: Frame) -> None:
        envelope = (frame["predictions"].astype(np.float64) - ZERO) * SCALE
        for i in range(frame["count"]):
            raw = frame["counts"][i] if len(frame["counts"]) else NAN6
            values = np.concatenate([envelope[i], raw]).astype(np.float32)
            self.samples[frame["first_tick"] + i] = (
                frame["first_tick"] + i,
                values,
                i < frame["warm_up"],
            )


def random_session(history: History, seed: int, frames: int) -> Oracle:
    """Frames of all sizes, with and without raw counts, some of them lost."""
    rng = np.random.default_rng(seed)
    oracle = Oracle()
    history.begin(identity())
    tick = 0
    for _ in range(frames):
        if rng.random() < 0.05:
            tick += int(rng.choice([1, 7, 40, 700]))
        frame = data(tick, int(rng.integers(1, 21)), raw=bool(rng.random() < 0.8), seed=seed)
        history.on_frame(frame, arrival_s(tick + frame["count"]))
        oracle.take(frame)
        tick += frame["count"]
    return oracle


@pytest.mark.parametrize("frames", [3, 40, 400])
@pytest.mark.parametrize("seed", range(3))
def test_samples_are_kept_as_they_came_and_only_the_newest(frames, seed):
    history = History(0.5)
    oracle = random_session(history, seed, frames)
    first, newest = min(oracle.samples), max(oracle.samples)
    assert history.total == len(oracle.samples)
    assert history.newest_s == pytest.approx((newest - first) / 1000.0)
    assert history.newest_s - history.oldest_s >= min(0.499, history.newest_s)
    for seconds in (0.001, 0.02, 0.3, 0.5):
        latest = history.latest(seconds)
        wanted = [
            oracle.samples[place]
            for place in sorted(oracle.samples)
            if newest - place < round(1000 * seconds)
        ]
        assert latest.tick.tolist() == [tick for tick, _, _ in wanted]
        assert np.allclose(latest.time_s, (latest.tick - first) / 1000.0, rtol=0, atol=1e-9)
        values = np.hstack([latest.envelope, latest.counts])
        expected = np.vstack([values for _, values, _ in wanted])
        assert np.array_equal(values, expected, equal_nan=True)
        assert latest.warm_up.tolist() == [warm_up for _, _, warm_up in wanted]


@pytest.mark.parametrize("seed", range(6))
def test_a_view_is_the_lowest_and_highest_of_every_bin(seed):
    history = History(2.0)
    oracle = random_session(history, seed, 300)
    first, newest = min(oracle.samples), max(oracle.samples) - min(oracle.samples)
    table = np.full((newest + 1, 8), np.nan, dtype=np.float32)
    for place, (_, values, _) in oracle.samples.items():
        table[place - first] = values
    oldest = round(1000 * history.oldest_s)
    assert oldest > 0
    rng = np.random.default_rng(seed)
    for span, bins in [
        (0.05, 50),
        (0.3, 100),
        (1.0, 60),
        (1.7, 40),
        (2.0, 7),
        (2.0, 1),
        (9.0, 100),
    ]:
        end_s = history.newest_s - rng.choice([0.0, 0.123, 0.5])
        view = history.view(end_s - span, end_s, bins)
        assert len(view.time_s) <= bins + 2
        low = np.hstack([view.low, view.raw_low])
        high = np.hstack([view.high, view.raw_high])
        width = 1 if len(view.time_s) < 2 else round(1000 * float(view.time_s[1] - view.time_s[0]))
        if len(view.time_s) < 2:
            continue
        for i, middle_s in enumerate(view.time_s):
            begin = round(1000 * float(middle_s) - 0.5 * (width - 1))
            assert begin % width == 0
            assert begin >= oldest
            part = table[begin : begin + width]
            there = ~np.isnan(part).all(axis=0)
            assert np.array_equal(~np.isnan(low[i]), there)
            assert np.array_equal(low[i, there], np.nanmin(part[:, there], axis=0))
            assert np.array_equal(high[i, there], np.nanmax(part[:, there], axis=0))
        # Nothing of the window is left out that is kept.
        reaches = round(1000 * float(view.time_s[-1]) + 0.5 * (width - 1))
        assert reaches >= min(newest, round(1000 * end_s) - width)
        begins = round(1000 * float(view.time_s[0]) - 0.5 * (width - 1))
        assert begins < max(oldest, round(1000 * (end_s - span))) + width


@pytest.mark.parametrize(("window_s", "bins"), [(0.3, 100), (2.0, 50)])
def test_a_bin_once_complete_never_changes(window_s, bins):
    history = History(4.0)
    history.begin(identity())
    seen: dict[float, np.ndarray] = {}
    for tick in range(0, 3000, 20):
        history.on_frame(data(tick, 20), arrival_s(tick + 20))
        view = history.view(history.newest_s - window_s, history.newest_s, bins)
        # The newest bin may be incomplete.
        for moment, low, high in zip(
            view.time_s[:-1].tolist(), view.low[:-1], view.high[:-1], strict=True
        ):
            both = np.vstack([low, high])
            assert np.array_equal(seen.setdefault(moment, both), both)
    assert len(seen) >= 60


def test_nothing_yet_is_nothing_to_see():
    history = History(1.0)
    for _ in range(2):
        assert (history.newest_s, history.oldest_s, history.total) == (0.0, 0.0, 0)
        assert len(history.view(-10.0, 0.0, 100).time_s) == 0
        assert len(history.latest(1.0).tick) == 0
        assert np.isnan(history.host_s(0.0))
        assert history.ticks([0.0, 1.0]).tolist() == [-1, -1]
        history.begin(identity())
    for wrong in ((0.0, float("nan"), 5), (1.0, 0.0, 5), (0.0, 1.0, 0)):
        with pytest.raises(ValueError, match="view of"):
            history.view(*wrong)


def test_frames_that_do_not_fit_are_left_out():
    history = History(1.0)
    history.on_frame(data(0, 5), 0.0)
    history.begin(identity())
    history.on_frame(data(0, 5, muscles=3), 0.0)
    assert history.total == 0


def test_memory_stays_what_it_was():
    history = History(1.0)
    history.begin(identity())
    arrays = [id(value) for value in vars(history).values() if isinstance(value, np.ndarray)]
    random_session(history, 1, 600)
    # A board that is started anew again and again.
    for start in range(300):
        history.on_frame(data(0, 20), arrival_s(20000 + 500 * start))
    assert [
        id(value) for value in vars(history).values() if isinstance(value, np.ndarray)
    ] == arrays
    assert len(history._runs) < 10


def test_no_board_claims_all_memory():
    history = History()
    history.begin(identity(muscles=200, rate_hz=65535))
    arrays = [value for value in vars(history).values() if isinstance(value, np.ndarray)]
    assert 50e6 < sum(array.nbytes for array in arrays) < 150e6


def test_a_board_started_anew_is_placed_by_this_computers_clock():
    history = History(10.0)
    history.begin(identity())
    for tick in range(5000, 6000, 20):
        history.on_frame(data(tick, 20), arrival_s(tick + 19))
    # Away for 700 ms; its ticks count from 0 again.
    history.on_identity(identity(), 0.0)
    for tick in range(0, 400, 20):
        history.on_frame(data(tick, 20), arrival_s(6699 + tick + 20))
    assert history.newest_s == pytest.approx(0.999 + 0.701 + 0.399, abs=0.002)
    times = history.latest(10.0).time_s
    assert np.all(np.diff(times) > 0)
    assert np.flatnonzero(np.diff(times) > 0.0015).tolist() == [999]
    # The gap stays a gap.
    view = history.view(0.0, 3.0, 3000)
    assert np.isnan(view.low[1005:1695]).all()
    assert not np.isnan(view.low[:1000]).any()
    assert history.ticks([0.0, 0.5, 1.3, history.newest_s]).tolist() == [5000, 5500, -1, 399]
    for time_s, tick in ((0.25, 5250), (0.999, 5999), (history.newest_s, 6699 + 400)):
        assert history.host_s(time_s) == pytest.approx(arrival_s(tick), abs=0.003)


def test_a_clock_set_back_makes_no_sample_older():
    history = History(10.0)
    history.begin(identity())
    history.on_frame(data(1000, 20), arrival_s(5000))
    history.on_frame(data(0, 20), arrival_s(0))
    assert np.allclose(np.diff(history.latest(10.0).time_s), 0.001)


def test_a_line_that_was_away_while_the_board_went_on_leaves_a_gap_of_its_ticks():
    history = History(10.0)
    history.begin(identity())
    history.on_frame(data(0, 20), arrival_s(20))
    history.on_identity(identity(), 0.0)
    history.on_frame(data(2500, 20), arrival_s(9999))
    assert history.newest_s == pytest.approx(2.519)


def test_other_muscles_begin_with_an_empty_picture_while_time_goes_on():
    history = History(10.0)
    history.begin(identity(2))
    for tick in range(0, 1000, 20):
        history.on_frame(data(tick, 20), arrival_s(tick + 20))
    history.on_identity(identity(4), 0.0)
    # The other board's ticks happen to go on.
    history.on_frame(data(2000, 20, muscles=4), arrival_s(1500))
    assert history.muscles == identity(4).muscles
    latest = history.latest(10.0)
    assert latest.envelope.shape == (20, 4)
    assert latest.tick.tolist() == list(range(2000, 2020))
    assert history.newest_s == pytest.approx(1.48, abs=0.02)
    assert history.total == 1020


@pytest.mark.parametrize("seed", range(5))
def test_who_asks_since_the_last_sample_gets_each_one_once(seed):
    history = History(2.0)
    history.begin(identity())
    rng = np.random.default_rng(seed)
    seen_s, tick = -np.inf, 0
    got: list[int] = []
    sent: list[int] = []
    for _ in range(200):
        for _ in range(rng.integers(0, 4)):
            tick += int(rng.choice([0, 0, 0, 7]))
            count = int(rng.integers(1, 20))
            history.on_frame(data(tick, count), arrival_s(tick + count))
            sent += range(tick, tick + count)
            tick += count
        samples = history.since(seen_s)
        if len(samples.tick):
            seen_s = float(samples.time_s[-1])
        got += samples.tick.tolist()
        assert len(history.since(seen_s).tick) == 0
    assert got == sent
    assert history.since(0.0, 0.01).tick.tolist() == history.latest(0.01).tick.tolist()


def test_after_time_has_begun_anew_all_is_new():
    history = History()
    history.begin(identity())
    history.on_frame(data(5000, 20), arrival_s(0))
    history.on_frame(data(9000, 20), arrival_s(4000))
    seen_s = history.newest_s
    history.begin(identity(rate_hz=500))
    assert len(history.since(seen_s).tick) == 0
    history.on_frame(data(0, 20), arrival_s(5000))
    assert history.since(seen_s).tick.tolist() == list(range(20))
