"""The report: parts added one after the other, rendered to one HTML file at the end."""

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from markupsafe import Markup, escape

from myowave.errors import ConfigError
from myowave.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NoticeKind = Literal["info", "good", "warning", "bad"]
NOTICE_KINDS: tuple[str, ...] = get_args(NoticeKind)
Cell = str | int | float | bool | None

# Figures draw text and axes in these two colours; in the page they become the reader's own. They
# are the page's light colours, so that a figure saved on its own looks the same.
INK = "#1d2430"
FAINT = "#d5dae3"
NARROW_SPACE = "\u202f"


@dataclass(frozen=True)
class _Part:
    """One part of the page: its kind, as the template knows it, and its finished HTML or values."""

    kind: str
    html: Markup = field(default_factory=Markup)
    caption: str = ""
    anchor: str = ""
    columns: tuple[str, ...] = ()
    numeric: tuple[bool, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


class Report:
    """A page under construction.

    Parameters
    ----------
    title, subtitle : str
        Plain text; what the page is about, and one line more.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self._parts: list[_Part] = []
        self._figures = 0

    def add_heading(self, text: str) -> None:
        """Start a section; with three or more, the page opens with a list of them."""
        number = sum(part.kind == "heading" for part in self._parts) + 1
        self._parts.append(_Part("heading", escape(text), anchor=f"section-{number}"))

    def add_text(self, text: str) -> None:
        """Add paragraphs.

        Everything is escaped. A blank line starts a new paragraph, a paragraph whose lines start
        with "- " is a list; `**bold**` and `` `code` `` are known, nothing else.
        """
        self._parts.append(_Part("text", _paragraphs(text)))

    def add_links(self, links: Sequence[tuple[str, str]]) -> None:
        """Add a list of links to files beside the page: (relative path, what is there)."""
        items = Markup("").join(
            Markup('<li><a href="{}">{}</a></li>').format(href, text) for href, text in links
        )
        self._parts.append(_Part("text", Markup("<ul>{}</ul>").format(items)))

    def add_notice(self, kind: NoticeKind, text: str) -> None:
        """Add a box that stands out: "info", "good", "warning" or "bad"; text as in `add_text`."""
        if kind not in NOTICE_KINDS:
            raise ConfigError(f"notice kind '{kind}', expected one of {', '.join(NOTICE_KINDS)}")
        self._parts.append(_Part(f"notice {kind}", _paragraphs(text)))

    def add_table(
        self, caption: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]
    ) -> None:
        """Add a table.

        Parameters
        ----------
        caption : str
            Plain text above the table.
        columns : sequence of str
            Headings.
        rows : sequence of sequences
            Cells: text as it is, None and NaN as a dash, whole numbers whole, others with as many
            decimals as the largest of their column needs. Columns of numbers are flush right.

        Raises
        ------
        ConfigError
            If a row has not as many cells as there are columns.
        """
        for index, row in enumerate(rows):
            if len(row) != len(columns):
                raise ConfigError(
                    f"table '{caption}', row {index}: {len(row)} cells, expected {len(columns)}"
                )
        numeric = tuple(
            bool(rows) and all(_is_number(row[column]) for row in rows)
            for column in range(len(columns))
        )
        decimals = [_decimals([row[column] for row in rows]) for column in range(len(columns))]
        cells = tuple(
            tuple(format_cell(cell, places) for cell, places in zip(row, decimals, strict=True))
            for row in rows
        )
        self._parts.append(
            _Part("table", caption=caption, columns=tuple(columns), numeric=numeric, rows=cells)
        )

    def add_figure(self, figure: "Figure", caption: str = "") -> None:
        """Add a picture as it is now; those of `report.figures` fit the page in every light."""
        self._figures += 1
        self._parts.append(
            _Part("figure", _inline_svg(figure, f"f{self._figures}", caption), caption=caption)
        )

    def html(self) -> str:
        """Return the page."""
        import jinja2

        folder = resources.files(__package__)
        environment = jinja2.Environment(
            autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
        )
        template = environment.from_string(
            folder.joinpath("page.html.j2").read_text(encoding="utf-8")
        )
        return template.render(
            title=self.title,
            subtitle=self.subtitle,
            style=Markup(folder.joinpath("style.css").read_text(encoding="utf-8")),
            parts=self._parts,
            headings=[part for part in self._parts if part.kind == "heading"],
            created=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
            version=metadata.version("myowave"),
        )

    def write(self, path: Path) -> None:
        """Write the page to `path`, whole or not at all; missing folders are made."""
        write_atomically(path, self.html())


def format_cell(cell: Cell, decimals: int = 3) -> str:
    """Return the text of one table cell; `decimals` is for numbers that are not whole."""
    if cell is None:
        return "–"
    if isinstance(cell, bool | np.bool_):
        return "yes" if cell else "no"
    if isinstance(cell, int | np.integer):
        return f"{cell:,}".replace(",", NARROW_SPACE).replace("-", "−")
    if isinstance(cell, float | np.floating):
        if math.isnan(cell):
            return "–"
        if math.isinf(cell):
            return "∞" if cell > 0 else "−∞"
        # "z": no minus in front of what rounds to zero.
        return f"{cell:z,.{decimals}f}".replace(",", NARROW_SPACE).replace("-", "−")
    return str(cell)


def _decimals(column: list[Cell]) -> int:
    """Return how many decimals the numbers of a column get: three figures of the largest."""
    sizes = [
        abs(float(cell))
        for cell in column
        if isinstance(cell, float | np.floating) and math.isfinite(cell)
    ]
    largest = max(sizes, default=0.0)
    for limit, decimals in ((0.01, 6), (10.0, 3), (1000.0, 1)):
        if largest < limit:
            return decimals
    return 0


def _is_number(cell: Cell) -> bool:
    return cell is None or (
        isinstance(cell, int | float | np.integer | np.floating) and not isinstance(cell, bool)
    )


def _paragraphs(text: str) -> Markup:
    """Return the few marks of `Report.add_text` as HTML."""
    out = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in block.splitlines()]
        if lines and all(line.startswith("- ") for line in lines):
            items = "".join(f"<li>{_marks(line[2:])}</li>" for line in lines)
            out.append(f"<ul>{items}</ul>")
        else:
            out.append(f"<p>{_marks(' '.join(lines))}</p>")
    return Markup("\n".join(out))


def _marks(text: str) -> str:
    # Escaped first: what is left to match are our own marks, never somebody's HTML.
    escaped = str(escape(text))
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", escaped)


def _inline_svg(figure: "Figure", prefix: str, description: str) -> Markup:
    """Return the figure as SVG that can stand beside others in one page and takes its colours."""
    import matplotlib as mpl

    buffer = io.StringIO()
    # Text stays text, so that it is small, sharp and found by a search; the salt makes the same
    # figure the same bytes.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    # Ids are unique in a page, not only in a picture.
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = svg.replace("url(#", f"url(#{prefix}-").replace('href="#', f'href="#{prefix}-')
    svg = svg.replace(INK, "currentColor").replace(FAINT, "var(--faint)")
    # A hundredth of a point is finer than any screen, and half the bytes.
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path.group()), svg)
    # The page decides the size; viewBox keeps the proportions.
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    label = escape(description or "figure")
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1))
