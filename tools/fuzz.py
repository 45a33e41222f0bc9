"""Hunt for bytes that upset the decoders, the firmware's commands or the log reader.

    python tools/fuzz.py decoder --seconds 600     the Python decoder, against the C one (atheris)
    python tools/fuzz.py log --seconds 600         the log reader (atheris)
    python tools/fuzz.py c-decoder --seconds 600   the firmware's decoder (libFuzzer)
    python tools/fuzz.py c-app --seconds 600       its commands and IMU link (libFuzzer)
    python tools/fuzz.py corrupted --frames 10000000   damaged frames through both decoders

The hunts need clang with its runtime (Debian: clang-14, libclang-rt-14-dev) or PyPI's atheris. What
reaches code that nothing has reached before goes to tests/wire/corpus, which the tests replay; what
fails is kept under build/fuzz. See tests/wire/corpus/README.md.
"""

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myowave.paths import REPOSITORY, build_dir

INSTRUMENTED = ["myowave.wire", "myowave.log", "myowave.link", "myowave.calibration"]
CLANGS = ("clang", "clang-19", "clang-16", "clang-15", "clang-14")
# Longer inputs find nothing that shorter ones do not, and the corpus is to stay small.
MAX_LEN = {"decoder": 2000, "log": 3000, "c-decoder": 2000, "c-app": 2000}
CORPUS_OF = {"decoder": "lines", "log": "logs", "c-decoder": "lines", "c-app": "lines"}


def hunt_options(target: str, seconds: int) -> list[str]:
    """Return libFuzzer's options."""
    return [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_LEN[target]}",
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        f"-artifact_prefix={build_dir('fuzz', target)}/",
    ]


def folders(target: str) -> tuple[Path, Path]:
    """Return where finds go, with an example to begin with, and where the kept ones are."""
    from tests.wire.examples import example_line, write_example_log
    from tests.wire.fuzz_targets import CORPUS

    kept = CORPUS / CORPUS_OF[target]
    kept.mkdir(parents=True, exist_ok=True)
    found = build_dir("fuzz", target, "found")
    seed = found / "example"
    seed.unlink(missing_ok=True)
    if CORPUS_OF[target] == "lines":
        seed.write_bytes(example_line())
    else:
        write_example_log(seed)
    return found, kept


# ---- Python: atheris -----------------------------------------------------------------------------


def fuzz_python(target: str, options: list[str]) -> None:
    """Run one target in this process, which libFuzzer ends."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.wire import fuzz_targets
        from tests.wire.c_codec import CCodec

    folder = Path(tempfile.mkdtemp(prefix="myowave-fuzz-"))
    codec = CCodec.build(folder)
    change = fuzz_targets.change_line if target == "decoder" else fuzz_targets.change_log

    def check(content: bytes) -> None:
        if target == "decoder":
            fuzz_targets.check_line(content, codec)
        else:
            fuzz_targets.check_log(content, folder)

    def mutate(content: bytes, most: int, seed: int) -> bytes:
        if seed % 4 == 0:
            return bytes(atheris.Mutate(content, most))
        changed = change(content, seed // 4, lambda body, n: bytes(atheris.Mutate(body, n)))
        return changed[:most]

    # A merge runs the program again, by what it takes for the program's name.
    name = f"{sys.executable} {__file__} {target} --libfuzzer"
    atheris.Setup([name, *options], check, custom_mutator=mutate)
    atheris.Fuzz()


# ---- C: libFuzzer --------------------------------------------------------------------------------


def build_c_target(target: str) -> Path:
    """Compile one target with coverage, address and undefined behaviour sanitizers."""
    from tests.wire.c_codec import SANITIZERS, compile_c, target_sources

    clang = next(filter(shutil.which, CLANGS), None)
    if clang is None:
        raise SystemExit("no clang found: apt-get install clang-14 libclang-rt-14-dev")
    program = build_dir("fuzz", target) / "fuzz"
    sources, options = target_sources(target.removeprefix("c-"))
    mutator = REPOSITORY / "tests" / "wire" / "c" / "fuzz_mutator.c"
    flags = ("-O1", "-fsanitize=fuzzer", *SANITIZERS)
    compile_c(program, (*sources, mutator), *options, *flags, compiler=clang)
    return program


def command(target: str) -> list[str]:
    """Return the program that takes libFuzzer's options for this target."""
    if target.startswith("c-"):
        return [str(build_c_target(target))]
    if importlib.util.find_spec("atheris") is None:
        raise SystemExit("no atheris found: pip install atheris")
    return [sys.executable, __file__, target, "--libfuzzer"]


def hunt(target: str, seconds: int) -> int:
    """Hunt, then keep what is new; return libFuzzer's status."""
    found, kept = folders(target)
    program = command(target)
    options = [*hunt_options(target, seconds), str(found), str(kept)]
    status = subprocess.run([*program, *options], check=False).returncode
    before = set(kept.iterdir())
    # Code reached counts, not how often: a tenth of the files.
    merge = ["-merge=1", "-use_counters=0", f"-max_len={MAX_LEN[target]}", str(kept), str(found)]
    subprocess.run([*program, *merge], check=True, capture_output=True)
    added = set(kept.iterdir()) - before
    size = sum(path.stat().st_size for path in kept.iterdir())
    print(f"{target}: {len(added)} files added to {kept}, {size} bytes in all; status {status}")
    return status


# ---- damaged frames ------------------------------------------------------------------------------


def corrupted(frames: int, seed: int) -> int:
    """Put damaged frames through the decoders; print figures as JSON; 1 if one broke a promise."""
    from tests.wire.c_codec import CCodec, build_corrupted
    from tests.wire.corruption import corrupt_python

    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        program = build_corrupted(Path(folder))
        in_c = subprocess.run(
            [program, str(frames), str(seed)], capture_output=True, text=True, check=False
        )
        print("c:", in_c.stdout.strip() or in_c.stderr.strip(), f"{time.monotonic() - began:.0f} s")
        began = time.monotonic()
        in_python = asdict(corrupt_python(CCodec.build(Path(folder)), frames, seed))
        print("python:", json.dumps(in_python), f"{time.monotonic() - began:.0f} s")
    return int(in_c.returncode != 0 or json.loads(in_c.stdout) != in_python)


def main() -> int:
    """Run one hunt."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=[*MAX_LEN, "corrupted"])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--frames", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--libfuzzer", action="store_true", help=argparse.SUPPRESS)
    arguments, options = parser.parse_known_args()
    if arguments.libfuzzer:
        fuzz_python(arguments.target, options)
        return 0
    if options:
        parser.error(f"unknown: {' '.join(options)}")
    if arguments.target == "corrupted":
        return corrupted(arguments.frames, arguments.seed)
    return hunt(arguments.target, arguments.seconds)


if __name__ == "__main__":
    sys.exit(main())
