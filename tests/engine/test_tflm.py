"""The oracle itself: what tflite-micro's runtime needs so that it answers at all."""

import subprocess
import sys

WIDE = """
import numpy as np
from myowave.compiler.reference import NetworkBuilder
from myowave.engine import NativeEngine
from myowave.tflm import run_tflm_windows

rows = 65000
net = NetworkBuilder(1, 1, 1 / 32, 0)
scales = np.full(rows, 0.5, np.float32)
ones = np.ones((rows, 1, 1), np.int8)
conv = net.conv(net.input, ones, None, filter_scales=scales, scale=1 / 32, zero_point=0)
model = net.build([conv])
x = np.arange(-5, 5, dtype=np.int8)[:, None]
oracle = run_tflm_windows(model, x, np.arange(len(x)))
assert np.array_equal(NativeEngine(model).run(x), oracle)
"""


def test_a_filter_of_very_many_rows_has_room_in_the_arena() -> None:
    """In a process of its own: the runtime crashes where its arena is too small for them."""
    done = subprocess.run([sys.executable, "-c", WIDE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
