"""Receive MyoWave's streams from the Lab Streaming Layer, as a laboratory's recorder does.

`python lsl_inlet.py SOURCE SAMPLES OUT.npz` finds the streams whose identifier holds SOURCE, says
`connected` when it listens to all three, and ends with SAMPLES samples, or with as many as a marker
"end N" says.
"""

import sys
import time
from typing import Any

import numpy as np
import pylsl

NAMES = ("envelope", "IMU", "markers")


def main(source: str, samples: float, out: str) -> None:
    """Receive until the end and write what came."""
    found = pylsl.resolve_bypred(f"contains(source_id,'{source}')", len(NAMES), 60.0)
    inlets = {
        info.name().removeprefix("MyoWave "): pylsl.StreamInlet(info, max_buflen=600, recover=False)
        for info in found
    }
    assert sorted(inlets) == sorted(NAMES)
    descriptions = {name: inlet.info(10).as_xml() for name, inlet in inlets.items()}
    for inlet in inlets.values():
        inlet.open_stream(10)
    print("connected", flush=True)

    taken: dict[str, tuple[list[Any], list[float]]] = {name: ([], []) for name in NAMES}
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for name, inlet in inlets.items():
            values, stamps = inlet.pull_chunk(0.05, max_samples=4096)
            taken[name][0].extend(values)
            taken[name][1].extend(stamps)
        for (label,) in taken["markers"][0]:
            if label.startswith("end "):
                samples = int(label.removeprefix("end "))
        if min(len(taken[name][1]) for name in ("envelope", "IMU")) >= samples:
            break
    arrays: dict[str, Any] = {}
    for name, (values, stamps) in taken.items():
        arrays[name] = np.array(values)
        arrays[f"{name} stamps"] = np.array(stamps)
        arrays[f"{name} xml"] = np.array(descriptions[name])
    np.savez(out, **arrays)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
