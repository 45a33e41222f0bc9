"""Bad input is one line that names file and place; nothing else ever escapes a reader."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from myowave.errors import RecordingError
from myowave.readers import ReadOptions, read, table, write_csv
from myowave.recording import Recording

from .files import (
    EMG_RATE,
    Channel,
    Sensor,
    Trigno,
    imu_sensor,
    memory_of_refusal,
    ninapro,
    opensignals,
)

Rows = list[list[str]]


def set_cell(row: int, column: int, text: str) -> Callable[[Rows], None]:
    """Change one cell; `row` counts as an editor does."""

    def change(rows: Rows) -> None:
        rows[row - 1][column - 1] = text

    return change


def set_column(column: int, text: str) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        for row in rows[7:]:
            if row[column - 1]:
                row[column - 1] = text

    return change


def cut_row(row: int, cells: int) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        del rows[row - 1][cells:]

    return change


def drop_rows(first: int) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        del rows[first:]

    return change


BAD_ROWS: dict[str, tuple[Callable[[Rows], None], str]] = {
    "missing channel": (
        set_cell(6, 5, "TEMP (C)"),
        r"missing channel GYRO Y, columns are 'ACC X \(G\)'.*, not recognised are 'TEMP \(C\)'; ",
    ),
    "unknown unit": (
        set_cell(6, 7, "EMG 1 (furlong)"),
        r"column 7 'EMG 1 \(furlong\)' has the unknown unit 'furlong', expected one of v, mv",
    ),
    "non-numeric cell": (
        set_cell(100, 3, "1.2.3"),
        r"row 100, column 3 'ACC Z \(G\)': '1.2.3' is not a number",
    ),
    "impossible value": (
        set_cell(101, 7, "3e7"),
        r"row 101, column 7 .*: 3e\+07 mV, expected at most 10000; is the unit right",
    ),
    "infinite cell": (set_cell(101, 7, "inf"), r"row 101, column 7 .*'inf' is not a number"),
    "decimal comma among commas": (
        set_cell(102, 7, '"0,5"'),
        r"row 102, column 7 .*'0,5' is not a number",
    ),
    "constant channel": (
        set_column(4, "1.5"),
        r"column 4 'GYRO X \(deg/s\)': constant at 1.5 deg/s",
    ),
    "empty channel": (set_column(4, ""), r"column 4 'GYRO X \(deg/s\)': no values"),
    "NaN inside": (
        set_cell(200, 7, "NaN"),
        r"row 200, column 7 'EMG 1 \(mV\)': no value between others",
    ),
    "blank inside": (set_cell(150, 1, ""), r"row 150, column 1 'ACC X \(G\)': no value between"),
    "sEMG rate too low": (
        set_cell(7, 7, "1111.1111 Hz"),
        r"column 7 .* samples at 1111.1111 Hz = .* but the header says 2.7",
    ),
    "IMU rate too high": (
        set_cell(7, 1, "740.7407 Hz"),
        r"column 1 .* 740.7407 Hz .* the rates contradict the lengths",
    ),
    "rate is no number": (set_cell(7, 7, "fast"), r"column 7 .* has the rate 'fast'"),
    "no rate": (set_cell(7, 7, ""), r"column 7 .* neither a rate .* nor a time column"),
    "length is no number": (
        set_cell(3, 2, "long"),
        r"'Collection Length \(seconds\)' is 'long'",
    ),
    "row too short": (cut_row(300, 3), "row 300: 3 cells, expected 7; is the file cut off"),
    "row too long": (
        lambda rows: rows[299].append("1.0"),
        "row 300: 8 cells, expected 7",
    ),
    "blank line between": (
        lambda rows: rows.insert(299, [""]),
        r"row 300, column 1 'ACC X \(G\)': no value between others",
    ),
    "cut between rows": (
        drop_rows(2000),
        "1993 rows are 0.928 s, but the header says 2.7 s: the file is cut off",
    ),
    "no rows": (drop_rows(7), "row 8: no numbers after the header"),
    "no titles": (drop_rows(5), "no row of column titles"),
}


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(RecordingError) as caught:
        read(path, ReadOptions(**options))  # type: ignore[arg-type]
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("fault", BAD_ROWS)
def test_faults_of_a_table(tmp_path: Path, fault: str) -> None:
    change, expected = BAD_ROWS[fault]
    rows = Trigno().rows()
    change(rows)
    path = Trigno().write(tmp_path / "a.csv", rows)
    with pytest.raises(RecordingError, match=expected):
        read(path)
    refusal(path)


@pytest.mark.parametrize("cut", [1, 3, 12, 2000])
def test_file_cut_in_mid_row(tmp_path: Path, cut: int) -> None:
    path = Trigno(line_end="\n").write(tmp_path / "a.csv")
    data = path.read_bytes()
    path.write_bytes(data[:-cut] if data[-cut - 1 : -cut] != b"\n" else data[: -cut - 1])
    assert "does not end with a line end: the file is cut in mid-row" in refusal(path)


def test_row_cut_at_a_comma_is_too_short_even_with_a_line_end(tmp_path: Path) -> None:
    path = Trigno(line_end="\n").write(tmp_path / "a.csv")
    text = path.read_text()
    path.write_text(text[: text.rindex(",")] + "\n")
    assert "6 cells, expected 7; is the file cut off?" in refusal(path)


def test_too_short(tmp_path: Path) -> None:
    path = Trigno(seconds=0.8).write(tmp_path / "a.csv")
    assert "too short, its channels have 0.79" in refusal(path)


def test_gap_in_a_time_column(tmp_path: Path) -> None:
    writer = Trigno(times=True)
    rows = writer.rows()
    for row in rows[1000:]:
        row[12] = f"{float(row[12]) + 0.05:.7f}"
    path = writer.write(tmp_path / "a.csv", rows)
    message = refusal(path)
    assert "row 1001, column 13 'EMG 1 Time Series (s)'" in message
    assert "the recording has a gap" in message


def test_time_column_that_contradicts_the_rate(tmp_path: Path) -> None:
    writer = Trigno(times=True)
    rows = writer.rows()
    for row in rows[7:]:
        row[12] = f"{1.02 * float(row[12]):.7f}"
    message = refusal(writer.write(tmp_path / "a.csv", rows))
    assert "runs at 2106.0276 Hz, but the header says 2148.1481 Hz" in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty file"),
        (b" \r\n\n", "empty file"),
        (bytes(range(256)) * 10, "binary file (byte 0 is zero)"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary file (byte 8 is zero)"),
        ("Application:, Trigno Discover".encode("utf-16"), "UTF-16 text"),
        (b"a,b\n1,2\n", "unknown format (first row 'a,b')"),
        (b"X[s],Avanti 1: EMG 1\n0,1\n", "EMGworks CSV, whose columns do not state their units"),
        (b"Application:, Trigno Discover (1.6.5)\n", "no row of column titles"),
        (b"# OpenSignals Text File Format. Version 1\n", "no row '# EndOfHeader'"),
        (
            b"# OpenSignals Text File Format\n# {\n# EndOfHeader\n1\n",
            "row 2: not JSON",
        ),
        (
            b'# OpenSignals Text File Format\n# {"a": {}, "b": {}}\n# EndOfHeader\n1\n',
            "2 devices (a, b)",
        ),
        (b"MATLAB 7.3 MAT-file", "MATLAB file of another version"),
        (b"MATLAB 5.0 MAT-file, nothing", "damaged MATLAB file"),
        (b"PAR1 but no Parquet", "damaged recording"),
    ],
)
def test_files_that_are_no_recording(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert expected in refusal(path)


def test_absent_file_and_folder(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "absent.csv")
    assert "cannot be read" in refusal(tmp_path)


def test_reading_stops_at_the_most_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_VALUES", 7000)
    path = Trigno().write(tmp_path / "a.csv")
    assert "more than 1000 rows of 7 channels" in refusal(path)
    layout = table.TableLayout(7, ",", ".", ("",) * 7)
    with pytest.raises(RecordingError, match="more than 1000 rows"):
        table._read_plain(path, layout, range(7))


@pytest.mark.parametrize("last", [b"\0", b"\n"])
def test_memory_stays_bounded_for_2_gb(tmp_path: Path, last: bytes) -> None:
    """A sparse 2 GB file after a valid start, read in a process whose peak is measured."""
    path = Trigno(seconds=10.0).write(tmp_path / "big.csv")
    with path.open("r+b") as file:
        file.seek(2 * 1024**3)
        file.write(last)
    grown_kib, message = memory_of_refusal(path)
    assert str(path) in message
    assert grown_kib < 200 * 1024, f"grew by {grown_kib} KiB"


@pytest.mark.parametrize("shape", [(1, 10**9), (10**5, 10**5)])
def test_matlab_file_that_promises_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    from scipy import io

    monkeypatch.setattr(io, "whosmat", lambda path: [("emg", shape, "double")])
    path = ninapro(tmp_path / "a.mat")
    assert "the most one recording may have" in refusal(path)


# Corruption of valid files, as transfers, editors and full disks make it.

FUZZED = ("trigno", "trigno times", "pandas", "semicolon", "own", "opensignals", "ninapro")


@pytest.fixture(scope="module")
def valid_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("valid")
    path = folder / "file"
    short = Trigno(
        seconds=1.1,
        sensors=(
            imu_sensor(),
            Sensor("bicep (1)", (Channel("EMG 1 (mV)", EMG_RATE / 4, np.sin),)),
        ),
    )
    files = {}
    for name, writer in (
        ("trigno", short),
        ("trigno times", short.changed(times=True, periods=True)),
        ("pandas", short.changed(pandas=True)),
        ("semicolon", short.changed(delimiter=";", decimal=",")),
    ):
        files[name] = writer.write(path).read_bytes()
    write_csv(read(short.write(path)), path)
    files["own"] = path.read_bytes()
    files["opensignals"] = opensignals(path, rate=200, seconds=1.2).read_bytes()
    files["ninapro"] = ninapro(path, electrodes=1, gyro=True, seconds=1.1).read_bytes()
    return files


OPTIONS = ReadOptions(
    imu_sensor=None, allow_missing_gyro=True, acc_calibration=((25000.0, 38000.0),)
)


def corrupt(data: st.DataObject, content: bytes) -> bytes:
    out = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        # Headers are short: aim half of the damage at them.
        end = len(out) if data.draw(st.booleans()) else min(len(out), 700)
        at = data.draw(st.integers(0, max(0, end - 1)))
        kind = data.draw(st.sampled_from(["flip", "insert", "delete", "cut", "repeat"]))
        if kind == "flip" and out:
            out[at] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            out[at:at] = data.draw(
                st.sampled_from(
                    [b",", b"\n", b"\r", b";", b'"', b"\0", b"-", b"e9", b"NaN", b"\xff"]
                )
            )
        elif kind == "delete":
            del out[at : at + data.draw(st.integers(1, 200))]
        elif kind == "cut":
            del out[at:]
        else:
            piece = out[at : at + 80]
            out[at:at] = piece
    return bytes(out)


@pytest.mark.parametrize("name", FUZZED)
@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_damaged_file_is_a_recording_or_one_line(
    tmp_path: Path, valid_files: dict[str, bytes], name: str, data: st.DataObject
) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(corrupt(data, valid_files[name]))
    options = OPTIONS
    if name == "ninapro":
        options = ReadOptions(imu_sensor="1", allow_missing_gyro=True)
    try:
        recording = read(path, options)
    except RecordingError as error:
        assert str(path) in str(error)
        assert len(str(error)) < 2000
    else:
        assert isinstance(recording, Recording)
        assert np.isfinite(recording.emg).all()


@pytest.mark.parametrize("name", FUZZED)
def test_fuzzed_files_are_valid_to_begin_with(
    tmp_path: Path, valid_files: dict[str, bytes], name: str
) -> None:
    path = tmp_path / "valid"
    path.write_bytes(valid_files[name])
    options = ReadOptions(imu_sensor="1") if name == "ninapro" else OPTIONS
    assert read(path, options).n_samples > 1000
