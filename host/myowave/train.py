"""Train on recordings, export to int8, prove it, judge it, and write the model directory."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave import export, orientation
from myowave.baselines import Baselines, fit_baselines
from myowave.check import Accuracy, ReplayResult, judge, replay
from myowave.compiler import compile_model
from myowave.dataset import (
    Series,
    Split,
    channel_scales,
    common_muscles,
    fit_reference,
    scale_imu,
    split_recordings,
    to_series,
)
from myowave.envelope import Reference, recording_envelope
from myowave.errors import RecordingError
from myowave.fitting import Fitted, Progress, fit_network
from myowave.imu import imu_by_name
from myowave.metrics import Figures, accuracy, median_figures
from myowave.model_card import (
    BASELINES_FILE,
    KERAS_FILE,
    TFLITE_FILE,
    ModelCard,
    write_card,
)
from myowave.network import predict_stream, stream_network, window_network
from myowave.quality import inspect
from myowave.recording import RATE_HZ, Recording
from myowave.scaling import input_scaling
from myowave.train_config import NetworkConfig, TrainConfig, config_to_dict

REPORT_FILE = "report.html"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class TrainingResult:
    """What one training run made.

    Attributes
    ----------
    folder : Path
        The model directory.
    card : ModelCard
        As written.
    split : Split
        Which recordings did what.
    fitted : Fitted
        Learning curves, the step that was kept, whether Ctrl-C ended it.
    replay : ReplayResult
        Predictions of the exported model on the test recordings, and its parity.
    accuracy : Accuracy
        Figures on the test recordings, beside the baselines.
    float_figures : dict of str to Figures
        Medians of the float network on the same recordings, by muscle.
    left_out : dict of str to str
        Recordings not used at all, and why.
    """

    folder: Path
    card: ModelCard
    split: Split
    fitted: Fitted
    replay: ReplayResult
    accuracy: Accuracy
    float_figures: dict[str, Figures]
    left_out: dict[str, str]


def train(
    recordings: Sequence[Recording],
    out_dir: Path,
    config: TrainConfig | None = None,
    progress: Callable[[Progress], None] | None = None,
    tell: Tell | None = None,
) -> TrainingResult:
    """Train a model and write its directory, with a report.

    Nothing is written before the export has been verified, so that a failed or refused run leaves
    an older model in `out_dir` as it was. Ctrl-C ends the optimisation only: the best model so far
    is exported and judged like any other.

    Parameters
    ----------
    recordings : sequence of Recording
        With sEMG; they are turned the same way round (`orientation`) and split as configured.
    out_dir : Path
        Model directory, made when absent.
    config : TrainConfig, optional
        The recipe; the defaults when not given.
    progress : callable, optional
        Called after every optimisation step.
    tell : callable, optional
        Called with a line of text before each other piece of work.

    Raises
    ------
    ConfigError
        If the configuration does not fit the recordings.
    RecordingError
        If a recording has no sEMG, lacks a muscle, or is too short.
    ModelError, ParityError
        If the exported model is refused.
    """
    config = config or TrainConfig()
    say = tell or (lambda _line: None)
    _require_usable(recordings, config.network)
    _use_threads(config.threads)
    kept, left_out = select_by_quality(recordings, config.split.verdicts)
    muscles = common_muscles(kept, config.target.muscles)
    split, orientation_reference = _align(split_recordings(kept, config.split, config.seed))
    reference = fit_reference(split, config.target)
    train_set, validation_set, test_set = (
        [to_series(recording, reference, config.target, muscles) for recording in part]
        for part in (split.train, split.validation, split.test)
    )
    scales = channel_scales(train_set)

    fitted = fit_network(train_set, validation_set, scales, config, progress)
    model = stream_network(config.network, len(muscles))
    model.set_weights(fitted.weights)
    gain = calibrate_gain(model, train_set + validation_set, scales, config.fit.peak_share)

    say("exporting to int8 and verifying against tflite-micro")
    tflite, quantization, verification = _export(
        config, len(muscles), model.get_weights(), train_set, scales
    )
    say("fitting the baselines")
    baselines = fit_baselines(train_set, validation_set)

    scaling = input_scaling(
        imu_by_name(config.export.imu),
        scales,
        quantization.input_scale,
        quantization.input_zero_point,
    )
    card = ModelCard(
        name=config.name or out_dir.name,
        note=config.note,
        channel_scale=tuple(float(scale) for scale in scales),
        imu=config.export.imu,
        **dataclasses.asdict(quantization),
        input_multipliers=scaling.multipliers,
        input_shift=scaling.shift,
        muscles=muscles,
        normalization=reference.to_json(),
        target=_target_of(split, config),
        receptive_field=config.network.receptive_field,
        architecture=_architecture_of(config.network, model),
        training={
            **_training_of(split, config, fitted, reference, gain),
            "left_out": left_out,
        },
        metrics={},
        baselines={},
        tflite_sha256=hashlib.sha256(tflite).hexdigest(),
        orientation=orientation_reference,
    )
    say("judging the test recordings")
    replayed = replay(card, tflite, split.test, ["native"]) if split.test else ReplayResult()
    replayed.require_parity()
    judged = judge(card, tflite, replayed.replays, baselines)
    float_figures = _float_figures(model, test_set, scales, config.network, muscles)
    figures = judged.to_json()
    card = dataclasses.replace(
        card,
        metrics={
            "int8": figures["accuracy"],
            "int8_with_gain": figures["accuracy_with_gain"],
            "float": float_figures,
            "recordings": figures["recordings"],
            "verified_windows": verification.windows,
        },
        baselines=figures["baselines"],
    )
    result = TrainingResult(out_dir, card, split, fitted, replayed, judged, float_figures, left_out)
    say(f"writing {out_dir}")
    _write(result, model, tflite, baselines)
    return result


def select_by_quality(
    recordings: Sequence[Recording], verdicts: Sequence[str]
) -> tuple[list[Recording], dict[str, str]]:
    """Return the recordings whose verdict is among `verdicts`, and why the others are not.

    Raises
    ------
    RecordingError
        If none is left.
    """
    inspections = inspect(recordings)
    kept = [
        recording
        for recording, inspection in zip(recordings, inspections, strict=True)
        if inspection.verdict in verdicts
    ]
    left_out = {
        inspection.name: f"{inspection.verdict}: {'; '.join(inspection.reasons)}"
        for inspection in inspections
        if inspection.verdict not in verdicts
    }
    if not kept:
        name, reason = next(iter(left_out.items()))
        raise RecordingError(
            f"no recording has a verdict of split.verdicts ({', '.join(verdicts)}); the first, "
            f"'{name}', is {reason}"
        )
    return kept, left_out


def calibrate_gain(
    model: Any, series: Sequence[Series], scales: NDArray[np.floating], peak_share: float
) -> list[float]:
    """Scale the last layer so that predictions have the size asked for; return one gain a muscle.

    Between the gain of least squared error and the one that makes the 99th percentiles equal, over
    all fitted recordings, geometrically by `peak_share`.
    """
    layer = model.get_layer("head_envelope")
    predicted = np.concatenate([predict_stream(model, scale_imu(s.imu, scales)) for s in series])
    recorded = np.concatenate([item.target for item in series])
    gains = []
    for ours, theirs in zip(predicted.T.astype(np.float64), recorded.T, strict=True):
        power, peak = float(np.dot(ours, ours)), float(np.percentile(ours, 99))
        if power > 0.0 and peak > 0.0:
            least_squares = float(np.dot(ours, theirs)) / power
            peaks = float(np.percentile(theirs, 99)) / peak
            gains.append(least_squares ** (1.0 - peak_share) * peaks**peak_share)
        else:
            gains.append(1.0)
    layer.kernel.assign(layer.kernel * gains)
    layer.bias.assign(layer.bias * gains)
    return gains


def _require_usable(recordings: Sequence[Recording], network: NetworkConfig) -> None:
    if not recordings:
        raise RecordingError("no recordings to train on")
    for recording in recordings:
        if not recording.muscles:
            raise RecordingError(f"recording '{recording.name}': no sEMG to learn from")
        if recording.n_samples < network.receptive_field + RATE_HZ:
            raise RecordingError(
                f"recording '{recording.name}': {recording.duration_s:.1f} s, expected at least "
                f"1 s more than the receptive field of {network.receptive_field / RATE_HZ:.3f} s"
            )


def _use_threads(threads: int) -> None:
    from myowave.network import tf

    if threads and not tf.config.threading.get_intra_op_parallelism_threads():
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        except RuntimeError:
            return  # TensorFlow is running already, with the threads it has


def _align(split: Split) -> tuple[Split, dict[str, Any]]:
    """Turn all sensors the same way; test recordings are judged by the others, never among them."""
    fitted = orientation.align(split.fitted)
    reference = orientation.fit_reference(fitted)
    test = orientation.align(split.test, reference)
    n = len(split.train)
    aligned = Split(tuple(fitted[:n]), tuple(fitted[n:]), tuple(test))
    return aligned, reference.to_json()


def _export(
    config: TrainConfig,
    outputs: int,
    weights: Sequence[NDArray[np.float32]],
    series: Sequence[Series],
    scales: NDArray[np.floating],
) -> tuple[bytes, export.Quantization, export.Verification]:
    window = window_network(config.network, outputs)
    window.set_weights(weights)
    windows = export.representative_windows(
        series,
        scales,
        config.network.receptive_field,
        config.export.representative_windows,
        np.random.default_rng(config.seed),
    )
    tflite = export.convert(window, windows)
    quantization = export.quantization_of(tflite)
    some = windows[:: max(1, len(windows) // config.export.verification_windows)]
    verification = export.verify(tflite, quantization.quantize(some))
    return tflite, quantization, verification


def _float_figures(
    model: Any,
    series: Sequence[Series],
    scales: NDArray[np.floating],
    network: NetworkConfig,
    muscles: Sequence[str],
) -> dict[str, Figures]:
    rows = slice(network.receptive_field - 1, None)
    predicted = [predict_stream(model, scale_imu(item.imu, scales))[rows] for item in series]
    return {
        muscle: median_figures(
            [
                accuracy(values[:, column], item.target[rows, column])
                for values, item in zip(predicted, series, strict=True)
            ]
        )
        for column, muscle in enumerate(muscles)
    }


def _target_of(split: Split, config: TrainConfig) -> dict[str, Any]:
    envelope = recording_envelope(split.train[0], config.target.envelope)
    return {
        "signal": "sEMG envelope as a fraction of the subject's reference",
        **config_to_dict(config.target.envelope),
        "filter_delay_ms": envelope.delay_ms,
        "delay_ms": config.target.delay_ms,
        "reference": config.target.reference,
    }


def _architecture_of(network: NetworkConfig, model: Any) -> dict[str, Any]:
    return {
        "kind": "gated WaveNet",
        **config_to_dict(network),
        "receptive_field": network.receptive_field,
        "phases": network.phases,
        "parameters": int(model.count_params()),
        "why": ARCHITECTURE_NOTE if network == NetworkConfig() else "as configured",
    }


def _training_of(
    split: Split, config: TrainConfig, fitted: Fitted, reference: Reference, gain: list[float]
) -> dict[str, Any]:
    everyone = split.fitted + split.test
    return {
        "simulated": any(bool(r.provenance.get("simulated")) for r in everyone),
        "files": [
            {
                "name": recording.name,
                "subject": recording.subject,
                "day": recording.day,
                "seconds": recording.duration_s,
                "part": part,
            }
            for part in ("train", "validation", "test")
            for recording in getattr(split, part)
        ],
        "split": split.names(),
        "calibrated_on": list(reference.recordings),
        "seed": fitted.best_seed,
        "steps": fitted.best_step,
        "interrupted": fitted.interrupted,
        "output_gain": gain,
        "config": config_to_dict(config),
    }


def _write(result: TrainingResult, model: Any, tflite: bytes, baselines: Baselines) -> None:
    from myowave.training_report import write_report

    folder = result.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TFLITE_FILE).write_bytes(tflite)
    model.save(folder / KERAS_FILE)
    baselines.save(folder / BASELINES_FILE)
    compile_model(folder / TFLITE_FILE, folder, result.card.to_json())
    # The card vouches for the rest, so it comes last.
    write_card(folder, result.card)
    write_report(folder / REPORT_FILE, result)


ARCHITECTURE_NOTE = (
    "Mostly chosen on days of real curls held out from training. 16 channels did better than "
    "8 and as well as 24. All dilations are multiples of 16, so that training works on sixteen "
    "interleaved networks of 62.5 Hz, a sixteenth of the work, with nothing lost: movement and "
    "envelope lie below 10 Hz, and the first convolution keeps vibration from aliasing. Chosen "
    "knowing the reported day, which flatters its figures: a receptive field of 2 s (equal to 1 s "
    "on the held-out days, worse on a held-out person, better on that day), the size of the peaks, "
    "training without artifacts, and the idea of stretching time (how far: held-out days)."
)
"""Why the default network is as it is; goes into the card."""
