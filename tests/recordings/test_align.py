"""Lining up a log with another system's recording: what belongs together is found, nothing else."""

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench_align import Other, belonging, periodic, tap_times, tapped, track_of, unrelated
from myowave.align import aligned_recording, find_alignment, log_track
from myowave.cli import main
from myowave.errors import RecordingError
from myowave.imu import from_counts, imu_by_name, to_counts
from myowave.link import Device
from myowave.log import LogData, LogWriter, read_log
from myowave.model_card import load_card
from myowave.offset_search import find_taps, match_taps
from myowave.readers import read
from myowave.recording import RATE_HZ, Recording, load, save
from myowave.resample import sample_at
from myowave.simulate import simulate
from myowave.virtual import VirtualBoard
from tests.conftest import REPOSITORY

Array = NDArray[np.float64]
MODEL = REPOSITORY / "models" / "sim_biceps"


@pytest.fixture(scope="module")
def sessions() -> list[Recording]:
    """Simulated sessions of different people and trials."""
    return [simulate(30.0, seed, subject=seed, trial=1 + seed % 2) for seed in range(1, 7)]


@pytest.fixture(scope="module")
def curls(curls_dir: Path) -> list[Recording]:
    return [read(file) for file in sorted(curls_dir.glob("*_*_*.csv"))[::3]]


def error_ms(found, other: Other, recording: Recording) -> float:
    """Largest error over the recording."""
    ends_s = np.array([0.0, recording.duration_s])
    return 1000.0 * float(np.abs(found.log_s(ends_s) - other.log_s(ends_s)).max())


# ---- by movement ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("lever_m", "noise"), [(0.0, 0.1), (0.05, 1.0), (0.15, 10.0)])
def test_a_movement_is_found_however_it_was_recorded(sessions, lever_m, noise):
    rates = belonging(sessions, lever_m=lever_m, noise=noise)
    assert rates.accepted == rates.pairs == len(sessions)
    assert max(rates.errors_ms) < 6.0
    assert rates.within >= rates.pairs - 1


def test_other_movements_are_refused(sessions):
    tracks = [track_of(one) for one in sessions]
    pairs = ((tracks[i], sessions[j]) for i, j in permutations(range(len(sessions)), 2))
    assert unrelated(pairs).accepted == 0


def test_the_real_curls_each_find_themselves_and_no_other(curls):
    rates = belonging(curls)
    assert rates.accepted == rates.pairs
    assert max(rates.errors_ms) < 6.0
    rng = np.random.default_rng(1)
    different = list(permutations(range(len(curls)), 2))
    tracks = [track_of(one) for one in curls]
    chosen = (different[i] for i in rng.permutation(len(different))[:80])
    assert unrelated((tracks[i], curls[j]) for i, j in chosen).accepted == 0


@pytest.mark.parametrize("period_s", [0.5, 1.0, 2.0, 3.0])
def test_equal_repetitions_are_refused_also_with_themselves(period_s):
    """Any whole number of periods fits as well: the truth is among them, and nobody can tell."""
    logged = periodic(60.0, period_s, 0.0, seed=1)
    for phase in (0.0, 0.3):
        with pytest.raises(RecordingError, match="movement that repeats itself"):
            find_alignment(track_of(logged), periodic(60.0, period_s, phase, seed=2))
    with pytest.raises(RecordingError, match="no sure offset"):
        find_alignment(track_of(logged), Other(5.0, 50.0).record(logged), "movement")


def test_one_common_knock_is_no_proof(sessions):
    """One event fits anywhere; that pieces of the session agree is what counts."""
    one, other = (tapped(session, [10.0]) for session in sessions[:2])
    with pytest.raises(RecordingError, match="no sure offset"):
        find_alignment(track_of(one), other)


def test_too_little_is_refused(sessions):
    whole = sessions[0]
    with pytest.raises(RecordingError, match=r"6\.0 s to compare, expected 10 s at least"):
        find_alignment(track_of(whole), Other(3.0, 9.0).record(whole))
    # Both are long, but have hardly anything in common.
    begin, end = (
        replace(whole, acc=whole.acc[part], gyro=whole.gyro[part], emg=whole.emg[part])
        for part in (slice(None, 16_000), slice(14_000, None))
    )
    with pytest.raises(RecordingError, match="no sure offset"):
        find_alignment(track_of(begin), end)


def test_without_movement_there_is_nothing_to_find():
    rng = np.random.default_rng(0)

    def at_rest() -> Recording:
        still = np.tile([0.0, 0.0, 9.81], (30_000, 1))
        return Recording(
            acc=still + rng.normal(0, 0.05, still.shape),
            gyro=rng.normal(0, 0.01, still.shape),
            emg=np.zeros((30_000, 0)),
            muscles=(),
            subject="",
            day="",
            name="rest",
        )

    with pytest.raises(RecordingError, match="no sure offset"):
        find_alignment(track_of(at_rest()), at_rest())
    still = replace(at_rest(), acc=np.ones((30_000, 3)))
    with pytest.raises(RecordingError, match="holds no acceleration"):
        find_alignment(track_of(at_rest()), still, "movement")


def test_a_recording_without_gyroscope_is_enough(sessions):
    other = Other(3.0, 28.0, drift_ppm=50.0)
    recording = other.record(sessions[0])
    recording = replace(recording, gyro=np.zeros_like(recording.gyro))
    assert error_ms(find_alignment(track_of(sessions[0]), recording), other, recording) < 5.0


def random_movement(seconds: float, seed: int) -> Recording:
    """A movement without repetition, cheap to make."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    n = round(seconds * RATE_HZ)
    gyro = ndimage.gaussian_filter1d(rng.normal(size=(n, 3)), 60.0, axis=0)
    acc = ndimage.gaussian_filter1d(rng.normal(size=(n, 3)), 60.0, axis=0)
    return Recording(
        acc=acc * 3.0 / acc.std() + [0.0, 0.0, 9.81],
        gyro=gyro * 2.0 / gyro.std(),
        emg=np.zeros((n, 0)),
        muscles=(),
        subject="",
        day="",
        name="random",
    )


@given(
    begin_s=st.floats(0.0, 15.0),
    length_s=st.floats(20.0, 40.0),
    drift_ppm=st.floats(-150.0, 150.0),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=8, deadline=None, phases=(Phase.reuse, Phase.generate))
def test_any_part_with_any_drift_and_mounting(begin_s, length_s, drift_ppm, seed):
    movement = random_movement(60.0, seed)
    other = Other(begin_s, begin_s + length_s, drift_ppm, seed=seed)
    recording = other.record(movement)
    found = find_alignment(track_of(movement), recording)
    assert error_ms(found, other, recording) < 8.0
    # The other way round: the log is the part.
    swapped = find_alignment(track_of(recording), movement)
    back = swapped.log_s(other.log_s(np.array([0.0, length_s]) * 0.9))
    assert np.allclose(back, np.array([0.0, length_s]) * 0.9, atol=0.01)


def test_half_an_hour_with_drift():
    movement = random_movement(1800.0, 3)
    other = Other(100.0, 1750.0, drift_ppm=-130.0)
    recording = other.record(movement)
    found = find_alignment(track_of(movement), recording)
    assert found.drift_ppm == pytest.approx(-130.0, abs=1.0)
    assert error_ms(found, other, recording) <= found.uncertainty_ms < 5.0
    # 0.2 s between begin and end would have blurred one correlation over the whole.
    assert found.evidence["agreeing"] == found.evidence["pieces"]


@pytest.mark.parametrize("drift_ppm", [-3000.0, 1000.0])
def test_a_clock_that_is_no_crystal_is_refused(sessions, drift_ppm):
    """A drift of the usual size would be taken, and the ends be off by what is beyond it."""
    recording = Other(2.0, 28.0, drift_ppm).record(sessions[0])
    with pytest.raises(RecordingError, match=r"drift apart by \d+ ppm or more"):
        find_alignment(track_of(sessions[0]), recording)


# ---- by taps -------------------------------------------------------------------------------------


def test_taps_tell_where_the_movement_does_not():
    """Sensors on different limbs, and curls to a metronome: only the taps are in common."""
    rng = np.random.default_rng(2)
    taps_s = tap_times(rng, 60.0)
    logged = tapped(periodic(60.0, 2.0, 0.0, seed=1), taps_s)
    other = Other(4.0, 56.0, drift_ppm=70.0)
    elsewhere = periodic(60.0, 1.7, 0.2, seed=2)
    recording = other.record(tapped(elsewhere, taps_s, seed=9))
    found = find_alignment(track_of(logged), recording)
    assert found.method == "taps"
    assert found.evidence["groups"] == [3, 3]
    assert error_ms(found, other, recording) <= found.uncertainty_ms < 12.0


def test_taps_that_cannot_tell_are_refused():
    plain = periodic(60.0, 2.0, 0.0, seed=1)
    other = Other(4.0, 56.0)
    begin = [7.0, 7.31, 7.75]
    for taps_s in (begin, [7.0, 7.4, 7.8, 50.0, 50.4, 50.8]):
        logged = tapped(plain, taps_s)
        with pytest.raises(RecordingError, match="coincide"):
            find_alignment(track_of(logged), other.record(logged), "taps")


def test_taps_of_other_sessions_hardly_ever_coincide():
    rng = np.random.default_rng(4)
    movement = periodic(60.0, 2.0, 0.0, seed=1)
    tracks = [track_of(tapped(movement, tap_times(rng, 60.0), seed)) for seed in range(9)]
    others = [tapped(movement, tap_times(rng, 60.0), 100 + seed) for seed in range(9)]
    pairs = ((track, other) for track in tracks for other in others)
    assert unrelated(pairs, "taps").accepted == 0


def test_every_tap_is_found_and_no_movement_taken_for_one(sessions):
    taps_s = tap_times(np.random.default_rng(5), 30.0)
    assert find_taps(sessions[0].acc).size == 0
    found_s = find_taps(tapped(sessions[0], taps_s).acc)
    assert len(found_s) == len(taps_s)
    # The knock is at its highest some milliseconds after it began, with every tap.
    assert np.ptp(found_s - taps_s) < 0.004


def test_no_taps_no_match():
    some = np.array([1.0, 1.3, 1.8])
    assert match_taps(np.zeros(0), some, 60.0, 60.0) is None
    assert match_taps(some, np.array([1.0, 1.6, 2.5]), 60.0, 60.0) is None


def test_ways_that_contradict_each_other_are_refused(sessions):
    taps_s = tap_times(np.random.default_rng(6), 30.0)
    with pytest.raises(RecordingError, match=r"movement says .* and taps .*choose one with --by"):
        find_alignment(
            track_of(tapped(sessions[0], taps_s)), tapped(sessions[0], taps_s + 0.5, seed=3)
        )
    agreed = find_alignment(
        track_of(tapped(sessions[0], taps_s)), tapped(sessions[0], taps_s, seed=3)
    )
    assert (agreed.method, agreed.confirmed_by) == ("movement", ("taps",))


# ---- a real board's log --------------------------------------------------------------------------

OTHER = Other(4.0, 55.0, drift_ppm=60.0, seed=5)


@pytest.fixture(scope="module")
def movement() -> Recording:
    return simulate(60.0, 11)


def log_board(path: Path, movement: Recording, *, raw: bool, samples: int | None = None) -> Path:
    """Have a native board play a movement and log what it sends."""
    imu = imu_by_name(load_card(MODEL).imu)
    counts = to_counts(movement.acc, movement.gyro, imu)[:samples]
    with (
        VirtualBoard(counts, imu, MODEL, "native", virtual_clock=True) as board,
        Device.open(board.port) as device,
        LogWriter(path) as writer,
    ):
        device.listen(writer.frame)
        device.identify()
        device.set_raw(raw)
        device.start()
        received = 0
        while received < len(counts):
            frames = device.frames(5.0)
            assert frames, "the board fell silent"
            received += sum(frame["count"] for frame in frames if frame.name == "data")
            writer.flush()
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, movement: Recording) -> Path:
    """Logs of the movement and another system's recording of it."""
    folder = tmp_path_factory.mktemp("align")
    log_board(folder / "raw.mwlog", movement, raw=True)
    log_board(folder / "plain.mwlog", movement, raw=False)
    save(replace(OTHER.record(movement), name="other"), folder / "other.parquet")
    save(simulate(60.0, 12), folder / "unrelated.parquet")
    return folder


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main(["align", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_aligns_and_writes_the_boards_imu_with_the_others_emg(
    folder, movement, tmp_path, capsys
):
    output, figures = tmp_path / "aligned.parquet", tmp_path / "figures.json"
    code, out, err = run(
        capsys, folder / "raw.mwlog", folder / "other.parquet", "-o", output, "--json", figures
    )
    assert (code, err) == (0, "")
    assert "by movement: correlation" in out
    found = json.loads(figures.read_text())
    assert found["offset_s"] == pytest.approx(4.0, abs=0.003)
    assert abs(found["drift_ppm"] - 60.0) <= found["drift_uncertainty_ppm"]
    assert found["output"]["samples"] == load(output).n_samples

    aligned = load(output)
    assert aligned.duration_s == pytest.approx(51.0, abs=0.02)
    begin = round(aligned.provenance["aligned"]["log_begin_s"] * RATE_HZ)
    part = slice(begin, begin + aligned.n_samples)
    imu = imu_by_name(load_card(MODEL).imu)
    counts = to_counts(movement.acc, movement.gyro, imu)[part]
    assert np.allclose(
        np.hstack([aligned.acc, aligned.gyro]), from_counts(counts, imu), rtol=1e-6, atol=1e-9
    )
    # The sEMG lies where the muscle was when the board sampled: at no other lag it fits better.
    true, emg = movement.emg[part, 0], aligned.emg[:, 0]
    for piece in (slice(1000, 11_000), slice(-11_000, -1000)):
        fits = [float(np.dot(true[piece], np.roll(emg, lag)[piece])) for lag in range(-20, 21)]
        assert abs(int(np.argmax(fits)) - 20) <= 1
        assert max(fits) > 0.8 * float(np.dot(true[piece], true[piece]))
    assert aligned.provenance["simulated"] is True
    assert aligned.provenance["aligned"]["method"] == "movement"
    assert aligned.muscles == movement.muscles
    assert main(["inspect", str(output)]) == 0


@pytest.mark.parametrize("log", ["raw.mwlog", "plain.mwlog"])
def test_an_unrelated_recording_is_refused_in_one_line(folder, log, capsys, tmp_path):
    output = tmp_path / "none.parquet"
    code, out, err = run(capsys, folder / log, folder / "unrelated.parquet", "-o", output)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "no sure offset" in err
    assert "needed" in err
    assert "tap both sensors together three times" in err
    assert not output.exists()


def test_without_raw_counts_the_envelope_tells(folder, capsys, tmp_path):
    figures = tmp_path / "figures.json"
    code, out, _ = run(capsys, folder / "plain.mwlog", folder / "other.parquet", "--json", figures)
    assert code == 0
    assert "by envelope" in out
    found = json.loads(figures.read_text())
    assert abs(1000.0 * (found["offset_s"] - 4.0)) <= found["uncertainty_ms"]
    # A network lags or leads by some of this, which no correlation tells.
    assert found["uncertainty_ms"] >= 100.0
    output = tmp_path / "none.parquet"
    code, _, err = run(capsys, folder / "plain.mwlog", folder / "other.parquet", "-o", output)
    assert code == 2
    assert "log with --raw" in err
    code, _, err = run(capsys, folder / "plain.mwlog", folder / "other.parquet", "--by", "movement")
    assert code == 2
    assert "log with --raw" in err


def test_the_delay_the_network_was_taught_is_taken_off(folder):
    log = read_log(folder / "plain.mwlog")
    other = load(folder / "other.parquet")
    card = json.loads((MODEL / "model.json").read_text())
    late = {**card, "target": {**card["target"], "filter_delay_ms": 30.0, "delay_ms": 50}}
    found = {
        name: find_alignment(log_track(replace(log, card=card)), other)
        for name, card in (
            ("none", None),
            ("model's", card),
            ("late", late),
            ("odd", {"target": 1}),
        )
    }
    offset_s = found["none"].offset_s
    assert found["model's"].offset_s == found["odd"].offset_s == offset_s
    assert found["late"].offset_s == pytest.approx(offset_s - 0.08)
    assert found["late"].start_unix_s == pytest.approx(found["none"].start_unix_s - 0.08)


def test_muscles_that_are_not_the_logs_are_refused(folder):
    track = log_track(read_log(folder / "plain.mwlog"))
    other = load(folder / "other.parquet")
    two = replace(other, emg=np.repeat(other.emg, 2, axis=1), muscles=("soleus", "gastrocnemius"))
    with pytest.raises(RecordingError, match=r"biceps.* are not the recording's \(soleus"):
        find_alignment(track, two)
    one = replace(other, muscles=("bicep",))
    assert find_alignment(track, one).method == "envelope"


def test_bad_arguments_are_one_line(folder, capsys, tmp_path):
    log, other = folder / "raw.mwlog", folder / "other.parquet"
    (tmp_path / "notes.txt").write_text("mine\n")
    for arguments, said in (
        ((other, other), "not a log"),
        ((log, log), "raw.mwlog"),
        ((log, tmp_path / "absent.parquet"), "absent.parquet"),
        ((log, other, "--by", "magic"), "expected movement, taps, envelope"),
        ((log, other, "--run", 3), "no run 3, the log holds 1"),
        ((log, other, "-o", other), "is the source"),
        ((log, other, "-o", tmp_path / "notes.txt"), "not a MyoWave recording"),
    ):
        code, _, err = run(capsys, *arguments)
        assert code == 2
        assert said in err
        assert err.count("\n") == 1


def test_the_longest_run_is_taken_or_the_one_named(folder, movement, tmp_path):
    path = tmp_path / "two_runs.mwlog"
    path.write_bytes((folder / "raw.mwlog").read_bytes())
    log_board(path, movement, raw=True, samples=15_000)
    log = read_log(path)
    other = load(folder / "other.parquet")
    found = find_alignment(log_track(log), other)
    assert (found.run, found.runs) == (1, 2)
    second = find_alignment(log_track(log, 2), other)
    assert second.run == 2
    assert second.offset_s == pytest.approx(found.offset_s, abs=0.005)
    assert second.overlap_s == pytest.approx(11.0, abs=0.1)


def test_a_run_no_memory_could_hold_is_refused(folder):
    log = read_log(folder / "raw.mwlog")
    tick = log.tick.copy()
    tick[-1] += 1 << 32
    with pytest.raises(RecordingError, match=r"run 1 of the log lacks 1193\.\d h of its samples"):
        log_track(replace(log, tick=tick))


def without(log: LogData, lost: list[tuple[int, int]]) -> LogData:
    """Return a log that lacks ticks begin to end of each pair."""
    kept = np.ones(log.n_samples, dtype=bool)
    for begin, end in lost:
        kept[begin:end] = False
    rows = {
        name: getattr(log, name)[kept]
        for name in (
            *("run", "tick", "device_us", "host_s", "predictions", "warm_up", "missing"),
            *("counts", "has_counts", "corrected"),
        )
    }
    return replace(log, **rows)


def test_gaps_are_bridged_when_short_and_left_out_when_long(folder):
    log = read_log(folder / "raw.mwlog")
    other = load(folder / "other.parquet")
    whole = log_track(log)
    assert whole.imu is not None
    track = log_track(without(log, [(20_000, 20_020), (40_000, 41_500)]))
    assert track.imu is not None
    assert track.imu.shape == whole.imu.shape
    assert track.filled.sum() == 20 + 1500
    found = find_alignment(track, other)
    assert found.offset_s == pytest.approx(4.0, abs=0.003)
    written = aligned_recording(track, other, found, folder / "raw.mwlog")
    details = written.provenance["aligned"]
    assert details["interpolated_samples"] == 20
    # From where the recording begins to the long gap.
    assert written.n_samples == pytest.approx(40_000 - 4_000, abs=4)
    begin = round(details["log_begin_s"] * RATE_HZ)
    kept = np.r_[0 : 20_000 - begin, 20_020 - begin : written.n_samples]
    assert np.array_equal(written.acc[kept], whole.imu[begin:, :3][kept])


def test_a_log_that_holds_nothing_is_refused(tmp_path):
    path = tmp_path / "empty.mwlog"
    LogWriter(path).close()
    with pytest.raises(RecordingError, match="log without samples"):
        log_track(read_log(path))


# ---- resampling at any instant -------------------------------------------------------------------


@pytest.mark.parametrize("frequency_hz", [5.0, 120.0, 400.0])
def test_samples_at_a_drifting_clocks_instants(frequency_hz):
    phase = 2 * np.pi * frequency_hz / RATE_HZ
    values = np.column_stack([np.sin(phase * np.arange(8000)), np.cos(phase * np.arange(8000))])
    positions: Array = 100.3 + np.arange(7000, dtype=np.float64) * (1.0 + 120e-6)
    expected = np.column_stack([np.sin(phase * positions), np.cos(phase * positions)])
    assert np.abs(sample_at(values, np.asarray(positions)) - expected).max() < 2e-3
    assert np.allclose(sample_at(values, np.arange(50.0, 60.0)), values[50:60], atol=2e-3)
