"""The backends that run one int8 model: one name each, one call for all.

Every backend gives the same integers; `check` proves it. A backend is one of

- ``tflm``: tflite-micro's reference kernels on the laptop, the oracle;
- ``native``: the streaming engine compiled for the laptop;
- ``cortex-m0plus`` … ``cortex-m55``: the same sources on an emulated core;
- a port URL: a board, emulated or real, that answers replayed raw counts.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from myowave.errors import ConfigError

EMULATED_CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m55")
INT8_BACKENDS = ("tflm", "native", *EMULATED_CORES)


def is_port(backend: str) -> bool:
    """Tell whether `backend` names a serial port (a path or URL) and not one of the named ones."""
    if backend in INT8_BACKENDS:
        return False
    return "/" in backend or backend.startswith("COM") or Path(backend).exists()


def require_known(backend: str) -> None:
    """Raise ConfigError, with the list of names, when `backend` is neither named nor a port."""
    if backend not in INT8_BACKENDS and not is_port(backend):
        raise ConfigError(
            f"unknown backend '{backend}', expected one of {', '.join(INT8_BACKENDS)} "
            "or a port such as /dev/ttyACM0"
        )


def run_int8(
    backend: str,
    tflite: bytes,
    inputs: NDArray[np.int8],
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.int8]:
    """Stream int8 samples through one backend.

    Parameters
    ----------
    backend : str
        One of `INT8_BACKENDS`.
    tflite : bytes
        The exported model.
    inputs : (n, channels) int8
        Network inputs, one row a sample.
    progress : callable, optional
        Called with (samples done, n) by the backends that can tell.

    Returns
    -------
    (n, outputs) int8
        Predictions. The first receptive field − 1 rows are warm-up: they depend on how a backend
        fills the past before the first sample, and are not compared.

    Raises
    ------
    ConfigError
        For a name that is no int8 backend.
    ToolError
        When the backend's compiler, emulator or package is missing.
    """
    if backend == "native":
        from myowave.engine import NativeEngine

        return NativeEngine(tflite).run(inputs)
    if backend == "tflm":
        from myowave.tflm import run_tflm

        return run_tflm(tflite, inputs, progress=progress)
    if backend in EMULATED_CORES:
        from myowave.cortex import run_cortex

        return run_cortex(tflite, inputs, core=backend, progress=progress)
    raise ConfigError(f"unknown backend '{backend}', expected one of {', '.join(INT8_BACKENDS)}")
