"""Run clang-tidy and cppcheck over the firmware as the host compiles it; fail on any finding."""

import platform
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
FIRMWARE = REPOSITORY / "firmware"
BIN = Path(sys.executable).parent
# What compiles for the host. The other ports hold registers of cores the host does not have.
HOST_FOLDERS = ("engine", "app", "drivers", "ports/native", "ports/simulated", "ports/arduino")
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
    tidy: list[str | Path] = [BIN / "clang-tidy", "--quiet", "--warnings-as-errors=*"]
    flags: list[str | Path] = [
        "--",
        "-std=c11",
        "-D_GNU_SOURCE",
        '-DMW_BOARD_NAME="native"',
        "-Wall",
        "-Wextra",
        "-Wconversion",
        "-Wshadow",
        *INCLUDES,
    ]
    # The one C++ file, against the tests' stand-in of its API; enums come from C.
    cpp_flags: list[str | Path] = [
        "--checks=-performance-enum-size",
        FIRMWARE / "ports" / "arduino" / "arduino_io.cpp",
        "--",
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Wconversion",
        "-Wshadow",
        f"-I{REPOSITORY / 'tests' / 'arduino' / 'stand_in' / 'core'}",
        *INCLUDES,
    ]
    # The engine once more for each form of its kernels that this host can compile.
    engine = str(FIRMWARE / "engine" / "mw_engine.c")
    forms = ["-DMW_KERNELS_PORTABLE"]
    if platform.machine() in ("x86_64", "AMD64"):
        forms.append("-mavx2")
    cppcheck: list[str | Path] = [
        BIN / "cppcheck",
        "--quiet",
        "--error-exitcode=1",
        "--std=c11",
        "--enable=warning,performance,portability",
        "--inline-suppr",
        "--suppress=missingIncludeSystem",
        "--check-level=exhaustive",
        # It reads every branch of the preprocessor, and knows no variables bound to registers.
        "-U__ARM_ARCH_6M__",
        *INCLUDES,
        *sources,
    ]
    failed = False
    commands = [("clang-tidy", [*tidy, *sources, *flags]), ("cppcheck", cppcheck)]
    commands.append(("clang-tidy arduino_io.cpp", [*tidy, *cpp_flags]))
    commands += [(f"clang-tidy {form}", [*tidy, engine, *flags, form]) for form in forms]
    for name, command in commands:
        result = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            failed = True
            print(f"{name} found:\n{result.stdout}{result.stderr}", file=sys.stderr)
        else:
            print(f"{name}: clean")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
