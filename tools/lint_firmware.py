"""Run clang-tidy, cppcheck and GCC's analyzer over the firmware; fail on any finding."""

import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
FIRMWARE = REPOSITORY / "firmware"
BIN = Path(sys.executable).parent
ARM_GCC = "arm-none-eabi-gcc"
# What compiles for the host. The other ports hold registers of cores the host does not have.
HOST_FOLDERS = ("engine", "app", "drivers", "ports/native", "ports/simulated", "ports/arduino")
INCLUDES = [f"-I{FIRMWARE / folder}" for folder in HOST_FOLDERS]
# Linted as it is compiled for one of its boards.
NRF52840 = "ports/nrf52840"
NRF52840_BOARD = "xiao_nrf52840_sense"
# Registers have fixed addresses; the vector table and assembly call functions by name.
REGISTER_CHECKS = (
    "-performance-no-int-to-ptr",
    "-clang-analyzer-core.FixedAddressDereference",
    "-misc-use-internal-linkage",
)
# The application is compiled with a model's tables; those of the demo stand for any.
INCLUDES.append(f"-I{REPOSITORY / 'models' / 'sim_biceps'}")


Command = list[str | Path]


def nrf52840_commands() -> list[tuple[str, Command]]:
    """Return what looks at the nRF52840's image: clang-tidy at its port, the analyzer at all."""
    path = FIRMWARE / "platform" / "boards" / f"{NRF52840_BOARD}.json"
    build = json.loads(path.read_text(encoding="utf-8"))["build"]
    folders = ("engine", "app", "drivers", NRF52840)
    flags = [
        *("-std=c11", "-ffreestanding", "-Wall", "-Wextra", "-Wconversion", "-Wshadow"),
        *(f"-D{define}" for define in build["defines"]),
        f'-DMW_BOARD_NAME="{NRF52840_BOARD}"',
        *(f"-I{FIRMWARE / folder}" for folder in folders),
        INCLUDES[-1],
    ]
    listed = subprocess.run(
        [ARM_GCC, "-xc", "-E", "-v", "/dev/null"], capture_output=True, text=True, check=True
    ).stderr
    system = re.findall(r"^ (/\S+)$", listed, re.MULTILINE)
    port = sorted((FIRMWARE / NRF52840).glob("*.c"))
    tidy: Command = [
        *(BIN / "clang-tidy", "--quiet", "--warnings-as-errors=*"),
        f"--checks={','.join(REGISTER_CHECKS)}",
        *port,
        *("--", "--target=thumbv7em-none-eabihf", "-mfpu=fpv4-sp-d16"),
        *(f"-idirafter{folder}" for folder in system),
        *flags,
    ]
    analyze: Command = [
        *(ARM_GCC, *build["cpu_flags"], "-O2", "-fanalyzer", "-Werror"),
        *flags,
        *("-S", "-o", "/dev/null"),
    ]
    sources = [path for folder in folders for path in sorted((FIRMWARE / folder).glob("*.c"))]
    return [
        (f"clang-tidy {NRF52840}", tidy),
        *((f"gcc -fanalyzer {path.relative_to(FIRMWARE)}", [*analyze, path]) for path in sources),
    ]


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
    tidy: Command = [BIN / "clang-tidy", "--quiet", "--warnings-as-errors=*"]
    flags: Command = [
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
    cppcheck: Command = [
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
    if shutil.which(ARM_GCC) is None:
        print(f"{ARM_GCC} not found: install gcc-arm-none-eabi", file=sys.stderr)
        return 1
    commands += nrf52840_commands()
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
