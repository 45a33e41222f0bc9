"""The page `check` writes: do the backends agree, and how good is the prediction?"""

from pathlib import Path

import numpy as np

from myowave.check import Accuracy, ReplayResult
from myowave.metrics import Figures, median_figures
from myowave.model_card import ModelCard
from myowave.recording import RATE_HZ
from myowave.report import Report
from myowave.report.figures import envelope_overlay

COLUMNS = {
    "r": "r",
    "r2": "R²",
    "rmse": "RMSE",
    "nrmse": "NRMSE",
    "lag_ms": "lag (ms)",
    "peak_ratio": "peak ratio",
    "onset_error_ms": "onset error (ms)",
}
BASELINES = {
    "ridge": "ridge on causal lags",
    "swap": "another trial's IMU",
    "mean_curve": "mean curve, no IMU",
}


def write_report(
    path: Path, card: ModelCard, result: ReplayResult, accuracy: Accuracy, title: str = "Check"
) -> None:
    """Write the HTML report of a check to `path`."""
    report = Report(f"{title}: {card.name}", f"model {card.tflite_sha256[:12]}")
    if result.simulated:
        report.add_notice("warning", "Judged on **simulated** recordings, of no person.")
    if card.simulated:
        report.add_notice("warning", "The model was trained on **simulated** recordings.")
    report.add_heading("Parity with tflite-micro")
    wrong = {name: parity for name, parity in result.parity.items() if parity.mismatches}
    for name, parity in wrong.items():
        report.add_notice("bad", f"`{name}` differs. First: {parity.first}")
    if not wrong:
        report.add_notice("good", "Every backend gives the same integer for every sample compared.")
    report.add_table(
        "Samples compared, warm-up left out (of the backend the others are compared with: windows)",
        ["backend", "samples", "mismatches", "largest difference (int8 steps)"],
        [[n, p.samples, p.mismatches, p.max_abs_diff] for n, p in result.parity.items()],
    )
    if accuracy.muscles:
        _add_accuracy(report, accuracy)
        report.add_heading("Predicted and recorded envelopes")
        for item in result.replays:
            recorded = accuracy.recorded.get(item.recording.name)
            if recorded is None:
                continue
            figure = envelope_overlay(
                np.arange(len(recorded)) / RATE_HZ,
                recorded,
                {"predicted": item.shown(card.receptive_field)},
                muscles=card.muscles,
            )
            report.add_figure(figure, item.recording.name)
    report.add_text(
        "The envelope is a fraction of the subject's reference. Not a medical device: nothing here "
        "is meant for diagnosis or treatment."
    )
    report.write(path)


def accuracy_rows(accuracy: Accuracy, muscle: str) -> list[tuple[str, Figures]]:
    """Return label and median figures of the model, of the model with gain and of each baseline."""
    of = accuracy.muscles[muscle]
    rows = [("model", of.of_recordings), ("model, gain from two repetitions", of.with_gain)]
    rows += [(label, of.baselines.get(name, {})) for name, label in BASELINES.items()]
    if len(of.of_recordings) == 1:
        # With nobody else's there, its own is played from the middle.
        rows = [(label.replace("another trial's IMU", "own IMU, shifted"), f) for label, f in rows]
    return [(label, median_figures(list(figures.values()))) for label, figures in rows if figures]


def _add_accuracy(report: Report, accuracy: Accuracy) -> None:
    report.add_heading("Accuracy against recorded EMG")
    if accuracy.calibrated_on:
        report.add_notice(
            "info",
            "The model card holds no amplitude reference for some of these days; it was measured "
            f"on the day's first recording: {', '.join(accuracy.calibrated_on)}.",
        )
    for muscle, of in accuracy.muscles.items():
        report.add_table(
            f"{muscle}: medians over {len(of.of_recordings)} recordings",
            ["", *COLUMNS.values()],
            [
                [label, *(figures[name] for name in COLUMNS)]
                for label, figures in accuracy_rows(accuracy, muscle)
            ],
        )
        if len(of.of_recordings) > 1:
            report.add_table(
                f"{muscle}: each recording, as predicted",
                ["recording", *COLUMNS.values()],
                [
                    [name, *(figures[key] for key in COLUMNS)]
                    for name, figures in of.of_recordings.items()
                ],
            )
