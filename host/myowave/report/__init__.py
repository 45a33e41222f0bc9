"""One self-contained HTML page with tables and pictures, for training, checking and the demo.

    report = Report("Check of model curls-a", "3 recordings on native and cortex-m4")
    report.add_notice("good", "Every backend agrees with tflite-micro.")
    report.add_heading("Accuracy")
    report.add_table("Medians over recordings", ["method", "r"], [["model", 0.82], ["ridge", 0.77]])
    report.add_figure(figures.accuracy_bars({"model": {"r": 0.82}, "ridge": {"r": 0.77}}), "...")
    report.write(Path("report.html"))

The page loads nothing from anywhere: style and pictures are inside. It follows the reader's light
or dark setting.
"""

from myowave.report.page import NOTICE_KINDS, Cell, NoticeKind, Report

__all__ = ["NOTICE_KINDS", "Cell", "NoticeKind", "Report"]
