"""The accuracy table, as `train` and `check` print it."""

from typing import TYPE_CHECKING

from rich.table import Table

from myowave.cli.output import print_table

if TYPE_CHECKING:
    from myowave.check import Accuracy


def print_accuracy(accuracy: "Accuracy", *, simulated: bool) -> None:
    """Print the medians of the model and of each baseline, one table a muscle."""
    from myowave.check_report import COLUMNS, accuracy_rows
    from myowave.report.page import format_cell

    for muscle, of in accuracy.muscles.items():
        count = len(of.of_recordings)
        kind = ("simulated " if simulated else "") + ("recording" if count == 1 else "recordings")
        table = Table(box=None, pad_edge=False)
        table.add_column(f"{muscle}, medians over {count} {kind}")
        for title in COLUMNS.values():
            table.add_column(title, justify="right")
        for label, figures in accuracy_rows(accuracy, muscle):
            table.add_row(
                label,
                *(
                    format_cell(figures[name], decimals=0 if name.endswith("_ms") else 3)
                    for name in COLUMNS
                ),
            )
        print_table(table)
