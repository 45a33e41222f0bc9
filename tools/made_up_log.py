"""What a board would have sent, made up: the long sessions that benchmarks need at once."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from myowave.wire import DEFINITION, Frame, decode_frame, encode_frame

RATE_HZ = 1000
BATCH = DEFINITION.limits["batch_samples"]
SEQUENCES = 1 << 16


def identity_frame(muscles: Sequence[str]) -> Frame:
    """Return the identity frame of a board with these muscles; int8 steps of 1/255, 0 at -128."""
    return _frame(
        "identity",
        0,
        protocol_version=DEFINITION.limits["version"],
        firmware_major=0,
        firmware_minor=1,
        firmware_patch=0,
        model_sha256=bytes(range(32)),
        rate_hz=RATE_HZ,
        receptive_field=512,
        outputs=len(muscles),
        output_scale=1 / 255,
        output_zero_point=-128,
        acc_lsb_m_s2=9.80665 / 4096,
        gyro_lsb_rad_s=0.000532,
        running=1,
        raw=1,
        imu_rate_millihertz=1000 * RATE_HZ,
        self_test_run=0,
        self_test_failed=0,
        reset_cause=DEFINITION.reset_cause["power_on"],
        calibrated=0,
        turn=0,
        gyro_bias_x=0,
        gyro_bias_y=0,
        gyro_bias_z=0,
        imu="icm-42688-p",
        board="native",
        muscles=list(muscles),
    )


def data_frames(
    predictions: NDArray[np.int8], counts: NDArray[np.int16] | None = None
) -> Iterator[Frame]:
    """Yield the data frames of (n, m) predictions and (n, 6) raw counts; n is whole batches."""
    for number, first in enumerate(range(0, len(predictions), BATCH)):
        rows = slice(first, first + BATCH)
        yield _frame(
            "data",
            number + 1,
            first_tick=first,
            time_us=first * 1_000_000 // RATE_HZ,
            gap_ticks=0,
            flags=0 if counts is None else DEFINITION.data_flags["raw"],
            warm_up=0,
            count=BATCH,
            outputs=predictions.shape[1],
            predictions=predictions[rows],
            counts=[] if counts is None else counts[rows],
        )


def _frame(name: str, number: int, **values: object) -> Frame:
    return decode_frame(encode_frame(name, number % SEQUENCES, **values).strip(b"\0"))
