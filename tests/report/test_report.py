"""The report page stands alone, says what it was given and nothing it was not."""

import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest

from myowave.errors import ConfigError
from myowave.recording import Recording
from myowave.report import Report, figures
from myowave.report.page import FAINT, INK, format_cell

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Collects tags, ids and links, and fails on tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: Counter[str] = Counter()
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            assert value is not None or name not in {"id", "href", "src"}
            if name == "id":
                self.ids.append(str(value))
            if name in {"href", "xlink:href", "src", "srcset", "data", "action"}:
                self.targets.append(str(value))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def recording() -> Recording:
    rng = np.random.default_rng(0)
    return Recording(
        acc=rng.normal(0, 5, (8000, 3)),
        gyro=rng.normal(0, 2, (8000, 3)),
        emg=rng.normal(0, 0.2, (8000, 2)),
        muscles=("biceps", "triceps"),
        subject="s",
        day="",
        name="trial <1>",
    )


def full_report(recording: Recording) -> Report:
    time = np.arange(8000) / 1000.0
    envelope = np.abs(np.sin(time))[:, None] * np.ones((1, 2))
    warm = envelope.copy()
    warm[:512] = np.nan
    report = Report("Check of <model>", "a & b")
    report.add_notice("warning", "All figures are from **simulated** recordings.")
    for section in ("Accuracy", "Training", "Recordings"):
        report.add_heading(section)
    report.add_table("Medians", ["method", "r"], [["model", 0.82], ["mean curve", float("nan")]])
    report.add_text("See `model.json`.\n\n- one\n- two")
    report.add_figure(figures.accuracy_bars({"model": {"r": 0.8, "r2": -9.0}, "ridge": {"r": 0.7}}))
    report.add_figure(
        figures.learning_curves({"loss": [3.0, 2.0], "val_loss": [4.0, 3.5], "val_r": [0.1, 0.5]})
    )
    report.add_figure(
        figures.envelope_overlay(time, envelope, {"int8": warm}, muscles=recording.muscles), "both"
    )
    report.add_figure(figures.emg_imu_overview(recording, envelope), 'a "quoted" <caption>')
    return report


def test_page_nests_and_loads_nothing_from_anywhere(recording: Recording):
    html = full_report(recording).html()
    page = Page(html)
    assert page.open == []
    assert page.tags["svg"] == 4
    assert page.tags["script"] == page.tags["link"] == page.tags["img"] == 0
    assert all(target.startswith("#") for target in page.targets)
    assert "@import" not in html
    assert set(re.findall(r"url\((.)", html)) <= {"#"}


def test_every_link_inside_has_exactly_one_target(recording: Recording):
    html = full_report(recording).html()
    page = Page(html)
    assert max(Counter(page.ids).values()) == 1
    inner = [target[1:] for target in page.targets] + re.findall(r"url\(#([^)]+)\)", html)
    assert inner
    assert set(inner) <= set(page.ids)


def test_nothing_given_to_the_report_becomes_html():
    attack = '<script>alert("x")</script>'
    report = Report(attack, attack)
    report.add_heading(attack)
    report.add_text(f"{attack} `{attack}` **{attack}**\n\n- {attack}")
    report.add_notice("bad", attack)
    report.add_table(attack, [attack], [[attack]])
    report.add_figure(figures.accuracy_bars({attack: {attack: 1.0}}, attack), attack)
    page = Page(report.html())
    assert page.tags["script"] == 0
    assert "".join(page.text).count(attack) >= 11


def test_figures_take_the_colours_of_the_page(recording: Recording):
    html = full_report(recording).html()
    drawings = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert INK not in drawings
    assert FAINT not in drawings
    assert "currentColor" in drawings
    assert "prefers-color-scheme: dark" in html


def test_the_same_parts_give_the_same_page_but_for_the_date(recording: Recording):
    pages = [
        re.sub(r"on \d{4}-\d\d-\d\d \d\d:\d\d", "", full_report(recording).html()) for _ in range(2)
    ]
    assert pages[0] == pages[1]


def test_report_is_written_whole_into_a_new_folder(tmp_path):
    path = tmp_path / "new" / "report.html"
    report = Report("µ title")
    report.write(path)
    assert "µ title" in path.read_text(encoding="utf-8")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "∞"),
        (True, "yes"),
        (1234567, "1\u202f234\u202f567"),
        (-5, "−5"),
        (0.8215, "0.822"),
        (np.float32(-0.5), "−0.500"),
        (-0.0001, "0.000"),
        ("r = -1", "r = -1"),
    ],
)
def test_cells_read_well(cell, text):
    assert format_cell(cell) == text


def test_a_column_of_numbers_has_the_same_decimals_throughout():
    report = Report("t")
    report.add_table("lags", ["lag"], [[-3.0], [12.25], [110.4], [None]])
    cells = re.findall(r'<td class="number">(.*?)</td>', report.html())
    assert cells == ["−3.0", "12.2", "110.4", "–"]


def test_rows_of_the_wrong_length_and_unknown_notices_are_refused():
    report = Report("t")
    with pytest.raises(ConfigError, match="table 'x', row 1: 1 cells, expected 2"):
        report.add_table("x", ["a", "b"], [[1, 2], [3]])
    with pytest.raises(ConfigError, match="notice kind 'loud', expected one of info, good"):
        report.add_notice("loud", "text")  # type: ignore[arg-type]


def test_a_long_curve_keeps_its_peaks_and_its_gaps():
    time = np.arange(100_000) / 1000.0
    envelope = np.zeros(100_000)
    envelope[41_234] = 7.0
    envelope[:512] = np.nan
    figure = figures.envelope_overlay(time, envelope, {"p": envelope})
    for line in figure.axes[0].get_lines():
        x, y = (np.asarray(values, float) for values in line.get_data())
        assert len(x) <= 2 * figures.COLUMNS + 2
        assert np.nanmax(y) == 7.0
        assert x[np.nanargmax(y)] == pytest.approx(41.234, abs=0.1)
        assert np.isnan(y[0])
        assert np.all(np.diff(x) > 0)
        assert x[-1] > 99.8


def test_one_bad_method_does_not_flatten_the_bars_of_the_others():
    figure = figures.accuracy_bars({"model": {"r2": 0.5}, "swap": {"r2": -40.0}})
    assert figure.axes[0].get_ylim()[0] == -1.0
    assert "-40.00" in [text.get_text() for text in figure.axes[0].texts]


def test_figures_refuse_arrays_that_do_not_match(recording: Recording):
    with pytest.raises(ConfigError, match=r"int8: shape \(5,\), expected 9 samples"):
        figures.envelope_overlay(np.arange(9), np.zeros(9), {"int8": np.zeros(5)})
    with pytest.raises(ConfigError, match=r"expected \(8000, 2\)"):
        figures.emg_imu_overview(recording, np.zeros((8000, 1)))
