"""The page `train` writes: how it learned, how well it predicts, and what that looks like."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from myowave.check_report import BASELINES, COLUMNS, accuracy_rows
from myowave.metrics import Figures
from myowave.recording import RATE_HZ
from myowave.report import Report
from myowave.report.figures import accuracy_bars, envelope_overlay, learning_curves

if TYPE_CHECKING:
    from myowave.train import TrainingResult

# The figures a picture can hold side by side; the others have units of their own.
_DRAWN = ("r", "r2", "peak_ratio")


def write_report(path: Path, result: "TrainingResult") -> None:
    """Write the HTML report of a training run to `path`."""
    card = result.card
    report = Report(f"Training: {card.name}", f"model {card.tflite_sha256[:12]}")
    if card.simulated:
        report.add_notice(
            "warning",
            "Trained and judged on **simulated** data: these figures say nothing about people.",
        )
    if result.fitted.interrupted:
        report.add_notice(
            "info",
            f"Training was ended by Ctrl-C; the model is the best so far, of step "
            f"{result.fitted.best_step}.",
        )
    if card.note:
        report.add_text(card.note)
    _add_recordings(report, result)
    _add_learning(report, result)
    if result.accuracy.muscles:
        _add_accuracy(report, result)
        _add_pictures(report, result)
    else:
        report.add_notice("info", "No test recordings: nothing is known of the model's accuracy.")
    report.add_heading("Network")
    report.add_text(str(card.architecture["why"]))
    report.add_table(
        "The exported model",
        ["", "value"],
        [
            ["receptive field (ms)", card.receptive_field],
            ["dilations", ", ".join(str(d) for d in card.architecture["dilations"])],
            ["channels", card.architecture["channels"]],
            ["parameters", card.architecture["parameters"]],
            ["delay of the envelope's filters (ms)", card.target["filter_delay_ms"]],
            ["delay asked of the network (ms)", card.target["delay_ms"]],
            ["what 1.0 is", card.target["reference"]],
            ["windows proven equal on tflite-micro", card.metrics["verified_windows"]],
        ],
    )
    report.add_text(
        "The envelope is a fraction of the subject's reference. Not a medical device: nothing here "
        "is meant for diagnosis or treatment."
    )
    report.write(path)


def _add_recordings(report: Report, result: "TrainingResult") -> None:
    report.add_heading("Recordings")
    names = result.split.names()
    calibrated = [name for name in result.card.training["calibrated_on"] if name in names["test"]]
    report.add_table(
        "No part of a recording is in two rows",
        ["used for", "recordings", "minutes", "names"],
        [
            [
                part,
                len(names[part]),
                sum(recording.duration_s for recording in getattr(result.split, part)) / 60.0,
                ", ".join(names[part]) or "none",
            ]
            for part in names
        ],
    )
    if result.left_out:
        report.add_table(
            "Left out",
            ["recording", "verdict of inspect"],
            [[name, reason] for name, reason in result.left_out.items()],
        )
    if calibrated:
        report.add_notice(
            "info",
            "What 1.0 is was measured, for days nobody trained on, on the test recording "
            f"{', '.join(calibrated)}: its own figures, other than r and timing, are flattered.",
        )


def _add_learning(report: Report, result: "TrainingResult") -> None:
    report.add_heading("Learning")
    every = result.card.training["config"]["fit"]["evaluate_every"]
    for history in result.fitted.histories:
        curves: dict[str, list[float]] = {"loss": history.loss}
        held_out = [value for value in history.validation_r if value is not None]
        if len(held_out) == len(history.loss):
            curves["val_r"] = held_out
        kept = None
        if history.seed == result.fitted.best_seed:
            kept = history.step.index(result.fitted.best_step) + 1
        caption = f"Seed {history.seed}; one epoch is {every} batches"
        report.add_figure(learning_curves(curves, best_epoch=kept), caption)


def _add_accuracy(report: Report, result: "TrainingResult") -> None:
    report.add_heading("Accuracy on the test recordings")
    for muscle, of in result.accuracy.muscles.items():
        rows: list[tuple[str, Figures]] = accuracy_rows(result.accuracy, muscle)
        rows.insert(1, ("model before quantization", result.float_figures[muscle]))
        report.add_table(
            f"{muscle}: medians over {len(of.of_recordings)} recordings",
            ["", *COLUMNS.values()],
            [[label, *(figures[name] for name in COLUMNS)] for label, figures in rows],
        )
        drawn = {
            label: {COLUMNS[name]: value for name in _DRAWN if (value := figures[name]) is not None}
            for label, figures in rows
            if label == "model" or label in BASELINES.values()
        }
        report.add_figure(accuracy_bars(drawn), f"{muscle}: the model beside its baselines")


def _add_pictures(report: Report, result: "TrainingResult") -> None:
    report.add_heading("Predicted and recorded envelopes")
    warm_up = result.card.receptive_field - 1
    for item in result.replay.replays:
        recorded = result.accuracy.recorded[item.recording.name]
        predicted = item.envelope.copy()
        predicted[:warm_up] = np.nan
        figure = envelope_overlay(
            np.arange(len(recorded)) / RATE_HZ,
            recorded,
            {"predicted": predicted},
            muscles=result.card.muscles,
        )
        figures = [
            result.accuracy.muscles[muscle].of_recordings[item.recording.name]
            for muscle in result.card.muscles
        ]
        r = ", ".join(f"{row['r']:.2f}" for row in figures)
        source = "simulated, " if item.recording.provenance.get("simulated") else ""
        report.add_figure(figure, f"{item.recording.name} ({source}int8 model, r = {r})")
