"""The recording file: exact round trip, and refusal of anything else."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from myowave.errors import ConfigError, RecordingError
from myowave.recording import Recording, load, save


def make(n: int = 500, muscles: tuple[str, ...] = ("biceps", "trizeps ü")) -> Recording:
    rng = np.random.default_rng(1)
    return Recording(
        acc=rng.standard_normal((n, 3)),
        gyro=rng.standard_normal((n, 3)),
        emg=rng.standard_normal((n, len(muscles))),
        muscles=muscles,
        subject="S1",
        day="2025-01-29",
        name="trial 1",
        source_rates_hz={"acc_x": 10000 / 27},
        source_units={"acc_x": "G"},
        provenance={"source": {"file": "a.csv"}, "list": [1, 2.5, None, True]},
    )


@pytest.mark.parametrize("muscles", [(), ("biceps",), ("a", "b c", "ü")])
def test_round_trip_is_exact(tmp_path: Path, muscles: tuple[str, ...]) -> None:
    recording = make(muscles=muscles)
    recording.acc[0] = [-0.0, 5e-324, 1.7976931348623157e308]
    save(recording, tmp_path / "deep" / "er" / "r.parquet")
    back = load(tmp_path / "deep" / "er" / "r.parquet")
    for name in ("acc", "gyro", "emg"):
        assert getattr(back, name).tobytes() == getattr(recording, name).tobytes()
        assert getattr(back, name).shape == getattr(recording, name).shape
    for name in (
        "muscles", "subject", "day", "name", "source_rates_hz", "source_units", "provenance",
    ):  # fmt: skip
        assert getattr(back, name) == getattr(recording, name)


def test_saving_replaces_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.parquet"
    save(make(), path)
    before = path.read_bytes()

    def fail(self: Path, target: Path) -> Path:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ConfigError, match=r"cannot be written \(disk full\)"):
        save(make(n=100), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("gyro", np.zeros((499, 3)), "field gyro: 499 samples, expected 500"),
        ("acc", np.zeros((500, 2)), r"field acc: shape \(500, 2\), expected \(n, 3\)"),
        ("emg", np.zeros((500, 1)), r"field emg: shape \(500, 1\), expected \(n, 2\)"),
        ("emg", np.full((500, 2), np.nan), "field emg: nan at sample 0, column 0"),
        ("acc", np.array([["a"] * 3] * 500), "field acc: not numeric"),
        ("muscles", ("a", "a"), "field muscles"),
        ("muscles", ("a", ""), "field muscles"),
        ("provenance", {"x": float("nan")}, "field provenance: not JSON"),
    ],
)
def test_construction_names_the_field(field: str, value: object, message: str) -> None:
    values = {**make().__dict__, field: value}
    with pytest.raises(RecordingError, match=message):
        Recording(**values)


def test_construction_refuses_no_samples() -> None:
    with pytest.raises(RecordingError, match="no samples"):
        make(n=0)


def test_foreign_files_are_refused_by_name(tmp_path: Path) -> None:
    text = tmp_path / "t.parquet"
    text.write_text("acc_x,acc_y\n")
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"x": [1.0]}), other)
    for path, message in (
        (text, "not a MyoWave recording"),
        (other, "without the 'myowave.recording' metadata"),
        (tmp_path / "absent.parquet", "cannot be read"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(RecordingError, match=message) as caught:
            load(path)
        assert str(path) in str(caught.value)


@pytest.fixture(scope="module")
def valid_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("valid") / "r.parquet"
    save(make(), path)
    return path.read_bytes()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_file_loads_equal_or_is_refused(
    tmp_path: Path, valid_file: bytes, data: st.DataObject
) -> None:
    content = bytearray(valid_file)
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "damaged.parquet"
    path.write_bytes(content)
    try:
        back = load(path)
    except RecordingError as error:
        assert "\n" not in " ".join(str(error).split())
        assert str(path) in str(error)
    else:
        # Page checksums: what loads has the samples that were written.
        assert back.emg.tobytes() == make().emg.tobytes()


@pytest.mark.parametrize("cut", [4, 8, 5000])
def test_a_cut_off_file_is_told_in_plain_words(tmp_path: Path, valid_file: bytes, cut: int) -> None:
    path = tmp_path / "cut.parquet"
    path.write_bytes(valid_file[:-cut])
    with pytest.raises(RecordingError, match="damaged recording, the file is cut off") as caught:
        load(path)
    assert "Parquet" not in str(caught.value)
    assert "myowave import" in str(caught.value)
