"""Colours of the monitor's page: told apart by colour-blind readers, on a light and a dark page.

The palette is that of Okabe and Ito, "Color Universal Design" (2008), each colour only where it
stands out from the background; on a dark page blue is their sky blue, and yellow takes part. No
colour is the only sign of anything: curves are named beside them, states are words.
"""

from dataclasses import dataclass

from bokeh.themes import Theme

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Look:
    """Colours of what is drawn on canvases; the page's own are in `page.css`.

    Attributes
    ----------
    ink, muted, grid : str
        Text and lines, from strong to faint.
    muscles : tuple of str
        One a muscle, used again from the first where there are more.
    axes : tuple of str
        x, y and z of a raw sensor.
    """

    ink: str
    muted: str
    grid: str
    muscles: tuple[str, ...]
    axes: tuple[str, str, str]

    def muscle(self, index: int) -> str:
        """Return the colour of a muscle."""
        return self.muscles[index % len(self.muscles)]

    def theme(self) -> Theme:
        """Return it as a theme for Bokeh's plots."""
        return Theme(
            json={
                "attrs": {
                    "Plot": {
                        "background_fill_color": None,
                        "border_fill_color": None,
                        "outline_line_color": self.grid,
                    },
                    "Grid": {"grid_line_color": self.grid},
                    "Axis": {
                        "axis_line_color": None,
                        "major_tick_line_color": None,
                        "minor_tick_line_color": None,
                        "major_label_text_color": self.muted,
                        "major_label_text_font": _FONT,
                        "major_label_text_font_size": "14px",
                        "axis_label_text_color": self.muted,
                        "axis_label_text_font": _FONT,
                        "axis_label_text_font_size": "14px",
                        "axis_label_text_font_style": "normal",
                    },
                }
            }
        )


LIGHT = Look(
    ink="#1d2430",
    muted="#4d5766",
    grid="#dfe3ea",
    muscles=("#0072B2", "#D55E00", "#009E73", "#B85C94", "#B07A00", "#3D8FC4"),
    axes=("#0072B2", "#D55E00", "#009E73"),
)
DARK = Look(
    ink="#e8ecf2",
    muted="#a9b4c2",
    grid="#2b333e",
    muscles=("#56B4E9", "#E69F00", "#1FBF92", "#CC79A7", "#F0E442", "#E8743B"),
    axes=("#56B4E9", "#E69F00", "#1FBF92"),
)
