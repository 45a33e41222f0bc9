"""The optimisation: from examples to the float network's weights.

The network is trained one phase at a time (see `network.phase_network`), with AdamW, on chunks
drawn anew for every step. The exponential average of the weights is what is evaluated and kept: it
costs nothing at inference and is steadier than the last step.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.dataset import Batch, ChunkSampler, Series, scale_imu
from myowave.metrics import correlation
from myowave.network import keras, phase_network, tf
from myowave.train_config import FitConfig, TrainConfig

Weights = list[NDArray[np.float32]]

_WARM_UP_STEPS = 50
_FINAL_RATE = 0.05
_GRADIENT_NORM = 1.0
# XLA takes some 10 s to compile a step and then makes each several times faster.
_STEPS_WORTH_COMPILING = 100


@dataclass(frozen=True)
class Progress:
    """Where a training run is.

    Attributes
    ----------
    step, steps : int
        Batches done and batches at most, over all seeds.
    loss : float
        Mean training loss since the last report.
    validation_r : float or None
        Latest mean correlation on the validation recordings.
    best_r : float or None
        Best so far.
    """

    step: int
    steps: int
    loss: float
    validation_r: float | None
    best_r: float | None


@dataclass
class History:
    """Learning curves of one seed.

    Attributes
    ----------
    step, loss, validation_r : list
        At each evaluation: batches done, mean loss since the one before, mean correlation on the
        validation recordings (None without any).
    """

    seed: int
    step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    validation_r: list[float | None] = field(default_factory=list)


@dataclass
class Fitted:
    """The result of the optimisation.

    Attributes
    ----------
    weights : list of arrays
        Of the stream, phase and window forms alike.
    best_step, best_seed : int
        When the weights were taken, and from which seed.
    histories : list of History
        One a seed.
    interrupted : bool
        Whether Ctrl-C ended it early.
    seconds : float
        How long it took.
    """

    weights: Weights
    best_step: int
    best_seed: int
    histories: list[History]
    interrupted: bool
    seconds: float


def fit_network(
    train: Sequence[Series],
    validation: Sequence[Series],
    scales: NDArray[np.floating],
    config: TrainConfig,
    progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Train the network.

    With `fit.refit`, the validation recordings only tell how many steps to take; the network is
    then trained again, from the same seed, on them as well.

    Ctrl-C ends training after the step under way and returns the best weights so far; a second one
    is an ordinary KeyboardInterrupt.

    Parameters
    ----------
    train, validation : sequence of Series
        Recordings to learn from, and to stop by; without the latter the last step counts.
    scales : (6,) array
        From `dataset.channel_scales`.
    config : TrainConfig
        Network, augmentation and optimisation.
    progress : callable, optional
        Called after every step.
    """
    started = time.monotonic()
    best: tuple[float, Weights, int, int] | None = None
    histories: list[History] = []
    fit = config.fit
    refit = fit.refit and bool(validation)
    steps_at_most = (fit.seeds + refit) * fit.steps

    def report(done: int, run: _Run) -> None:
        if progress is not None:
            held_out = run.history.validation_r
            best_r = best[0] if best is not None and validation else None
            latest = held_out[-1] if held_out else None
            progress(Progress(done, steps_at_most, run.latest_loss, latest, best_r))

    with _interruptible() as interrupted:
        for number in range(fit.seeds):
            seed = config.seed + number
            run = _Run(train, validation, scales, config, seed)
            histories.append(run.history)
            for step in range(1, fit.steps + 1):
                run.step(step)
                stop = interrupted()
                evaluate = stop or step % fit.evaluate_every == 0 or step == fit.steps
                if evaluate:
                    score = run.evaluate(step)
                    if best is None or score > best[0]:
                        best = (score, run.averaged_weights(), step, seed)
                report(number * fit.steps + step, run)
                if stop or (evaluate and run.has_stalled(step)):
                    break
            if interrupted():
                break
        assert best is not None  # the first seed's last step is always evaluated
        _, weights, best_step, best_seed = best
        if refit and not interrupted():
            run = _Run([*train, *validation], [], scales, config, best_seed)
            for step in range(1, best_step + 1):
                run.step(step)
                report(fit.seeds * fit.steps + step, run)
                if interrupted():
                    break
            else:
                weights = run.averaged_weights()
        was_interrupted = interrupted()
    return Fitted(
        weights, best_step, best_seed, histories, was_interrupted, time.monotonic() - started
    )


def chunk_loss(predicted: Any, target: Any, weights: Any, fit: FitConfig) -> Any:
    """Return the loss of (batch, predictions, m) predictions, a scalar tensor.

    Squared error, weighted by 1 + peak_weight * target, after each example's best gain within the
    tolerance. The gain is a constant to the gradient: it only moves the goal.
    """
    weights = weights[..., None]
    if fit.gain_tolerance > 0.0:
        both = tf.reduce_sum(weights * predicted * target, axis=1, keepdims=True)
        own = tf.reduce_sum(weights * predicted * predicted, axis=1, keepdims=True)
        most = 1.0 + fit.gain_tolerance
        gain = tf.clip_by_value(both / (own + 1e-3), 1.0 / most, most)
        target = target / tf.stop_gradient(gain)
    error = weights * tf.square(predicted - target) * (1.0 + fit.peak_weight * target)
    return tf.reduce_sum(error) / (tf.reduce_sum(weights) * predicted.shape[-1] + 1e-6)


def learning_rate(step: int, fit: FitConfig) -> float:
    """Return the rate at a step, 1 to `fit.steps`: a linear warm-up, then half a cosine."""
    cosine = 0.5 * (1.0 + np.cos(np.pi * step / fit.steps))
    decay = _FINAL_RATE + (1.0 - _FINAL_RATE) * cosine
    return float(fit.learning_rate * min(1.0, step / _WARM_UP_STEPS) * decay)


class _Run:
    """One seed's training: network, optimiser, average, curves."""

    def __init__(
        self,
        train: Sequence[Series],
        validation: Sequence[Series],
        scales: NDArray[np.floating],
        config: TrainConfig,
        seed: int,
    ) -> None:
        keras.utils.set_random_seed(seed)
        fit = config.fit
        self.fit = fit
        self.history = History(seed)
        self.latest_loss = float("nan")
        self.sampler = ChunkSampler(train, scales, config, np.random.default_rng(seed))
        outputs = train[0].target.shape[1]
        self.model = phase_network(config.network, outputs, self.sampler.predictions)
        # A network that starts at the usual height does not spend its first steps getting there.
        usual = np.mean(np.concatenate([item.target for item in train]), axis=0)
        self.model.get_layer("head_envelope").bias.assign(usual)
        # Neighbouring taps of the first convolution see nearly the same sample: start as a mean.
        front = self.model.get_layer("front").kernel
        front.assign(tf.broadcast_to(tf.reduce_mean(front, axis=0, keepdims=True), front.shape))
        self.average = [tf.Variable(weight) for weight in self.model.trainable_variables]
        self.optimizer = keras.optimizers.AdamW(
            learning_rate=fit.learning_rate,
            weight_decay=fit.weight_decay,
            beta_2=0.99,
            global_clipnorm=_GRADIENT_NORM,
        )
        self.optimizer.exclude_from_weight_decay(var_names=["bias"])
        self.optimizer.build(self.model.trainable_variables)
        self.validation = _validation_chunks(validation, scales, self.sampler)
        compiled = fit.steps >= _STEPS_WORTH_COMPILING
        self._update = tf.function(self._update_eagerly, jit_compile=compiled)
        self._predict = tf.function(
            lambda inputs: self.model(inputs, training=False), jit_compile=compiled
        )
        self._losses: list[float] = []
        self._best = -np.inf
        self._best_step = 0

    def step(self, step: int) -> None:
        """Do one update."""
        batch = self.sampler.draw()
        self.optimizer.learning_rate = learning_rate(step, self.fit)
        # Early on the average follows fast, or it would remember the start.
        keep = min(self.fit.averaging, step / (step + 10.0))
        loss = self._update(batch.inputs, batch.targets, batch.weights, np.float32(keep))
        self.latest_loss = float(loss)
        self._losses.append(self.latest_loss)

    def _update_eagerly(self, inputs: Any, targets: Any, weights: Any, keep: Any) -> Any:
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            predicted = self.model(inputs, training=True)[:, :, 0, :]
            loss = chunk_loss(predicted, targets, weights, self.fit)
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        for average, variable in zip(self.average, variables, strict=True):
            average.assign(keep * average + (1.0 - keep) * variable)
        return loss

    def evaluate(self, step: int) -> float:
        """Evaluate the averaged weights, note it in the history and return the score."""
        score: float | None = None
        if self.validation:
            current = self.model.get_weights()
            self.model.set_weights(self.averaged_weights())
            score = float(np.mean([self._correlation(chunks) for chunks in self.validation]))
            self.model.set_weights(current)
        self.history.step.append(step)
        self.history.loss.append(float(np.mean(self._losses)))
        self.history.validation_r.append(score)
        self._losses.clear()
        # Without validation recordings later is better.
        score = float(step) if score is None else score
        if score > self._best:
            self._best, self._best_step = score, step
        return score

    def has_stalled(self, step: int) -> bool:
        """Tell whether the last `patience` evaluations brought nothing better."""
        patience = self.fit.patience * self.fit.evaluate_every
        return bool(self.validation) and step - self._best_step >= patience

    def averaged_weights(self) -> Weights:
        """Return a copy of the averaged weights."""
        return [weight.numpy().copy() for weight in self.average]

    def _correlation(self, chunks: Batch) -> float:
        parts = [
            np.asarray(self._predict(chunks.inputs[i : i + self.fit.batch]))[:, :, 0, :]
            for i in range(0, len(chunks.inputs), self.fit.batch)
        ]
        predicted = np.maximum(np.concatenate(parts), 0.0)
        judged = chunks.weights > 0.0
        return float(
            np.mean(
                [
                    correlation(predicted[judged, output], chunks.targets[judged, output])
                    for output in range(predicted.shape[-1])
                ]
            )
        )


def _validation_chunks(
    series: Sequence[Series], scales: NDArray[np.floating], sampler: ChunkSampler
) -> list[Batch]:
    """Cut each recording into the chunks training uses, filled up to whole batches.

    Chunks follow one another without gap or overlap of their predictions, so that all of them
    together are one phase of the recording. Fixed shapes compile once.
    """
    phases = int(sampler.ends[1] - sampler.ends[0]) if len(sampler.ends) > 1 else 1
    stride = sampler.predictions * phases
    result = []
    for item in series:
        n = len(item.imu)
        count = -(-n // stride)
        count += -count % sampler.batch
        first = np.arange(count)[:, None] * stride - sampler.history
        at = first + np.arange(sampler.samples)[None, :]
        inputs = scale_imu(item.imu, scales)[np.clip(at, 0, n - 1)]
        ends = at[:, sampler.ends]
        weights = (ends < n).astype(np.float32)
        result.append(Batch(inputs[:, :, None, :], item.target[np.minimum(ends, n - 1)], weights))
    return result


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question the loop asks; the second one is as usual."""
    asked = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    usual = signal.getsignal(signal.SIGINT)

    def note(_number: int, _frame: Any) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, usual)
