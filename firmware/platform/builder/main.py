"""Build script PlatformIO runs: compiler, flags and sources of one board (SCons reads it)."""

import os
import shutil
import sys
from pathlib import Path

from SCons.Script import AlwaysBuild, Default, DefaultEnvironment

env = DefaultEnvironment()
board = env.BoardConfig()
# SCons reads this file without its folder on the path.
sys.path.insert(0, str(Path(env.PioPlatform().get_dir()) / "builder"))
from uf2 import uf2  # noqa: E402

project = Path(env.subst("$PROJECT_DIR"))
port = board.get("build.port")
prefix = board.get("build.toolchain")
native = prefix == ""


def fail(message):
    """Stop the build with one line that says what, where and what was expected."""
    sys.stderr.write(f"myowave: error: {message}\n")
    env.Exit(1)


if shutil.which(f"{prefix}gcc") is None:
    fail(
        f"{prefix}gcc is not on PATH, needed for board {env['BOARD']}: install it "
        + ("(Debian: apt install gcc)" if native else "(Debian: apt install gcc-arm-none-eabi)")
    )

# The model is an environment variable for scripts and an option in platformio.ini for people.
model = Path(os.environ.get("MYOWAVE_MODEL") or env.GetProjectOption("custom_model"))
if not model.is_absolute():
    model = project / model
for name in ("model_data.c", "model_data.h"):
    if not (model / name).is_file():
        fail(
            f"{model / name}: not found; MYOWAVE_MODEL (or custom_model in platformio.ini) names a "
            "model directory made by 'myowave train' or 'myowave compile'"
        )

env.Replace(
    AR=f"{prefix}ar" if native else f"{prefix}gcc-ar",
    AS=f"{prefix}as",
    CC=f"{prefix}gcc",
    CXX=f"{prefix}g++",
    LINK=f"{prefix}gcc",
    OBJCOPY=f"{prefix}objcopy",
    RANLIB=f"{prefix}ranlib" if native else f"{prefix}gcc-ranlib",
    SIZETOOL=f"{prefix}size",
    SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
    SIZEPRINTCMD="$SIZETOOL -B -d $SOURCES",
    # What is stored in flash, and what occupies RAM, by section name of `size -A`.
    SIZEPROGREGEXP=r"^(?:\.vectors|\.text|\.rodata|\.ARM\.exidx|\.data)\s+(\d+)",
    SIZEDATAREGEXP=r"^(?:\.data|\.bss|\.noinit|\.stack)\s+(\d+)",
    ARFLAGS=["rc"],
    PROGSUFFIX=".elf",
)

warnings = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Werror"]
common = [*board.get("build.cpu_flags"), "-O2", "-g3"]
env.Append(
    ASFLAGS=["-x", "assembler-with-cpp", *common],
    CFLAGS=["-std=c11", *warnings],
    CCFLAGS=[*common, "-ffunction-sections", "-fdata-sections", "-fno-common"],
    CPPDEFINES=[
        ("MW_BOARD_NAME", env.StringifyMacro(env["BOARD"])),
        *(tuple(d.split("=", 1)) if "=" in d else d for d in board.get("build.defines")),
    ],
    LINKFLAGS=common,
)
if native:
    env.Append(CPPDEFINES=[("_GNU_SOURCE", 1)], LINKFLAGS=["-Wl,--gc-sections"])
    if os.environ.get("MYOWAVE_SANITIZE"):
        sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        env.Append(CCFLAGS=sanitizers, LINKFLAGS=sanitizers)
else:
    memory = board.get("build.memory")
    env.Append(
        # Each object's calls and stack frames beside it, for tools/sizes.py.
        CCFLAGS=["-ffreestanding", "-fcallgraph-info=su"],
        LINKFLAGS=[
            "-nostartfiles",
            "--specs=nano.specs",
            "-Wl,--gc-sections",
            "-Wl,--fatal-warnings",
            "-Wl,-Map,${BUILD_DIR}/${PROGNAME}.map",
            *(f"-Wl,--defsym=mw_{name}={value}" for name, value in memory.items()),
        ],
    )
    env.Replace(LDSCRIPT_PATH=str(project / "firmware" / "ports" / port / "link.ld"))

firmware = project / "firmware"
env.Append(CPPPATH=[*(str(firmware / d) for d in ("app", "drivers", "engine")), str(model)])
# Their own files only: engine/example/ is a program by itself.
for folder in ("app", "drivers", "engine", f"ports/{port}"):
    env.BuildSources(f"$BUILD_DIR/firmware/{folder}", str(firmware / folder), src_filter="+<*.c>")
env.BuildSources("$BUILD_DIR/model", str(model), src_filter="+<model_data.c>")
# There is no `src` folder in the usual sense: all sources are named above.
env.Replace(SRC_FILTER=["-<*>"])

program = env.BuildProgram()
outputs = [program]


def write_uf2(target, source, env):
    """Convert the flat image for the bootloader."""
    origin = int(str(board.get("build.memory.flash_origin")), 0)
    family = int(str(board.get("build.uf2_family")), 0)
    Path(str(target[0])).write_bytes(uf2(Path(str(source[0])).read_bytes(), origin, family))


if board.get("build.uf2_family", ""):
    flat = env.Command(
        "$BUILD_DIR/${PROGNAME}.bin",
        program,
        env.VerboseAction("$OBJCOPY -O binary $SOURCE $TARGET", "Building $TARGET"),
    )
    outputs += env.Command(
        "$BUILD_DIR/${PROGNAME}.uf2", flat, env.VerboseAction(write_uf2, "Building $TARGET")
    )
size = env.Alias("size", program, env.VerboseAction("$SIZEPRINTCMD", "Size of $SOURCE"))
AlwaysBuild(size)
Default(*outputs, size)
