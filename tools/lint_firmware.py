"""Run clang-tidy and cppcheck over the firmware as the host compiles it; fail on any finding."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
FIRMWARE = REPOSITORY / "firmware"
BIN = Path(sys.executable).parent
# What compiles for the host. The other ports hold registers of cores the host does not have.
HOST_FOLDERS = ("engine", "app", "drivers", "ports/native")
INCLUDES = [f"-I{FIRMWARE / folder}" for folder in HOST_FOLDERS]
# The application is compiled with a model's tables; those of the demo stand for any.
INCLUDES.append(f"-I{REPOSITORY / 'models' / 'sim_biceps'}")


def main() -> int:
    """Lint every host source; print the findings; return 1 if there was one."""
    sources = sorted(
        str(source.relative_to(REPOSITORY))
        for folder in HOST_FOLDERS
        for source in (FIRMWARE / folder).glob("**/*.c")
    )
    if not sources:
        print(f"{FIRMWARE}: no C sources found", file=sys.stderr)
        return 1
    tidy: list[str | Path] = [
        BIN / "clang-tidy",
        "--quiet",
        "--warnings-as-errors=*",
        *sources,
        "--",
        "-std=c11",
        "-D_GNU_SOURCE",
        '-DMW_BOARD_NAME="native"',
        '-DMW_BOARD_NAME="native"',
        "-Wall",
        "-Wextra",
        "-Wconversion",
        "-Wshadow",
        *INCLUDES,
    ]
    cppcheck: list[str | Path] = [
        BIN / "cppcheck",
        "--quiet",
        "--error-exitcode=1",
        "--std=c11",
        "--enable=warning,performance,portability",
        "--inline-suppr",
        "--suppress=missingIncludeSystem",
        "--check-level=exhaustive",
        *INCLUDES,
        *sources,
    ]
    failed = False
    for name, command in (("clang-tidy", tidy), ("cppcheck", cppcheck)):
        result = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            failed = True
            print(f"{name} found:\n{result.stdout}{result.stderr}", file=sys.stderr)
        else:
            print(f"{name}: {len(sources)} files clean")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
