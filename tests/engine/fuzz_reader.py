"""Hunt by coverage for files that upset the compiler: see corpus/README.md. Needs PyPI's `atheris`.

python -m tests.engine.fuzz_reader [-max_total_time=600] [any other libFuzzer option]
"""

import importlib
import sys
from typing import Any

import numpy as np

from myowave.paths import build_dir

INSTRUMENTED = ["myowave.compiler", "tflite", "flatbuffers"]
BYTES_MAX = 6000


def main() -> None:
    """Fuzz until told to stop; libFuzzer keeps what it finds under build/fuzz."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.engine.mutations import CORPUS, Mutator, accepted

    def check(content: bytes) -> None:
        accepted(content)

    def mutate(content: bytes, max_size: int, seed: int) -> bytes:
        """Damage numbers where they lie; now and then bytes, with what coverage has taught."""
        rng = np.random.default_rng(seed)
        if rng.random() < 0.4:
            return bytes(atheris.Mutate(content, max_size))
        return Mutator([bytes(content)]).draw(rng)[:max_size]

    found = build_dir("fuzz") / "corpus"
    found.mkdir(exist_ok=True)
    options = [f"-max_len={BYTES_MAX}", f"-artifact_prefix={found.parent}/"]
    atheris.Setup(
        [sys.argv[0], *options, *sys.argv[1:], str(found), str(CORPUS)],
        check,
        custom_mutator=mutate,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
