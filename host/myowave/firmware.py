"""Boards and firmware images: the board table, and builds through PlatformIO, kept by content."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from myowave.errors import ConfigError, ModelError, ToolError
from myowave.paths import MODEL_VARIABLE, REPOSITORY, build_dir, firmware_dir


@dataclass(frozen=True)
class Board:
    """One row of `firmware/platform/boards`.

    Attributes
    ----------
    name, title : str
        PlatformIO's name and a name for people.
    port : str
        Folder in `firmware/ports`.
    toolchain : str
        Prefix of the compiler's commands, "" for the host's.
    qemu : tuple of str
        QEMU's arguments for the machine; empty when it is not emulated.
    """

    name: str
    title: str
    port: str
    toolchain: str
    qemu: tuple[str, ...]

    @property
    def is_virtual(self) -> bool:
        """Whether the board runs on this computer."""
        return bool(self.qemu) or self.toolchain == ""


def boards() -> dict[str, Board]:
    """Return every board there is, by name."""
    table = {}
    for path in sorted((firmware_dir() / "platform" / "boards").glob("*.json")):
        entry = json.loads(path.read_text(encoding="utf-8"))
        build = entry["build"]
        qemu = build.get("qemu")
        table[path.stem] = Board(
            name=path.stem,
            title=entry["name"],
            port=build["port"],
            toolchain=build["toolchain"],
            qemu=("-machine", qemu["machine"], *qemu["args"]) if qemu else (),
        )
    return table


def board_by_name(name: str) -> Board:
    """Return one board; raise ConfigError that lists the known names.

    PlatformIO's names have underscores; the cores' own names, as in "cortex-m4", are understood.
    """
    table = boards()
    try:
        return table[name.replace("-", "_")]
    except KeyError:
        raise ConfigError(f"unknown board '{name}', expected one of {', '.join(table)}") from None


def default_model() -> Path:
    """Return the model directory built in when none is named: `MYOWAVE_MODEL` or the demo's."""
    return Path(os.environ.get(MODEL_VARIABLE) or REPOSITORY / "models" / "sim_biceps")


def build_firmware(board: Board, model: Path, *, sanitize: bool = False) -> Path:
    """Build the firmware of `board` with the model in `model`, or return the image built before.

    The C tables are made anew from `model.tflite` and the card: those in the model directory may be
    of an older engine or another network, and are for people and plain `pio run`.

    Parameters
    ----------
    board : Board
    model : Path
        Model directory.
    sanitize : bool
        With address and undefined behaviour sanitizers; board `native` only.

    Returns
    -------
    Path
        The ELF file, under `build/firmware`; its name holds a digest of all it is made of.

    Raises
    ------
    ModelError
        If the model directory lacks the `.tflite` or the card, or they do not fit each other.
    UnsupportedModelError
        If the engine cannot stream the network.
    ToolError
        If PlatformIO or the compiler is missing, or the build fails.
    """
    tables = model_tables(model)
    folder = build_dir("firmware")
    image = folder / f"{board.name}-{_digest(board, tables, sanitize)}.elf"
    if image.is_file():
        return image
    compiler = f"{board.toolchain}gcc"
    if shutil.which(compiler) is None:
        package = "gcc" if board.toolchain == "" else "gcc-arm-none-eabi"
        raise ToolError(
            f"{compiler} not found, needed to build for {board.name}: install {package}"
        )
    # Not at the top: Windows has none, and people log there too.
    import fcntl

    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.is_file():
            _run_platformio(board, tables, sanitize, image)
    return image


def model_tables(model: Path, *, tables_in_ram: bool = False) -> dict[str, str]:
    """Return the C tables of a model directory, by file name; with weights in RAM if asked for."""
    from myowave.compiler import load_plan
    from myowave.compiler.emit import emit
    from myowave.model_card import TFLITE_FILE, load_model_dir

    card, tflite = load_model_dir(model)
    try:
        header, source = emit(load_plan(tflite), card.to_json(), tables_in_ram=tables_in_ram)
    except ModelError as error:
        raise type(error)(f"{model / TFLITE_FILE}: {error}") from error
    return {"model_data.h": header, "model_data.c": source}


def _digest(board: Board, tables: Mapping[str, str], sanitize: bool) -> str:
    """Return a digest of every file and setting that goes into the image."""
    digest = hashlib.sha256(f"{board.name} {sanitize}".encode())
    folders = ("app", "drivers", "engine", f"ports/{board.port}", "platform")
    sources = sorted(
        path
        for folder in folders
        for path in (firmware_dir() / folder).rglob("*")
        if path.suffix in (".c", ".h", ".ld", ".json", ".py")
    )
    parts = [(path.name, path.read_bytes()) for path in (REPOSITORY / "platformio.ini", *sources)]
    parts += [(name, text.encode()) for name, text in tables.items()]
    for name, content in parts:
        digest.update(f"\n{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _run_platformio(board: Board, tables: Mapping[str, str], sanitize: bool, image: Path) -> None:
    work = image.parent / ("pio-sanitize" if sanitize else "pio")
    settings = {"MYOWAVE_SANITIZE": "1" if sanitize else ""}
    run_platformio(board.name, tables, work, settings=settings)
    unfinished = image.with_suffix(".part")
    shutil.copyfile(work / board.name / "program.elf", unfinished)
    unfinished.chmod(0o755)
    unfinished.replace(image)


def run_platformio(
    environment: str,
    tables: Mapping[str, str],
    work: Path,
    *arguments: str,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Have PlatformIO build an environment, or do what else `arguments` say.

    Parameters
    ----------
    environment : str
        As in `platformio.ini`.
    tables : mapping
        The model's C tables, by file name.
    work : Path
        Build folder; `work / environment` holds what was built.
    *arguments : str
        For `pio run`, such as "-t", "upload".
    settings : mapping
        Further environment variables.

    Raises
    ------
    ToolError
        If PlatformIO fails; the whole of its output is in the log the message names.
    """
    for module in ("platformio", "SCons"):
        if importlib.util.find_spec(module) is None:
            raise ToolError(f"building needs {module}: pip install '.[firmware]' in the clone")
    setup = REPOSITORY / "tools" / "setup_platformio.py"
    subprocess.run([sys.executable, str(setup)], check=True, stdout=subprocess.DEVNULL)
    model = work.parent / "model"
    model.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        (model / name).write_text(text, encoding="utf-8")
    variables = {
        **os.environ,
        MODEL_VARIABLE: str(model),
        "PLATFORMIO_BUILD_DIR": str(work),
        **settings,
    }
    command = [sys.executable, "-m", "platformio", "run", "-d", str(REPOSITORY)]
    result = subprocess.run(
        [*command, "-e", environment, *arguments],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        output = (result.stdout + result.stderr).splitlines()
        log = work.parent / f"{environment}.log"
        log.write_text("\n".join(output) + "\n", encoding="utf-8")
        raise ToolError(f"building for {environment} failed: {_reason(output)} (all of it: {log})")


def _reason(output: list[str]) -> str:
    """Return the line of a build's output that says what went wrong."""
    if any(line.startswith("HTTPClientError") for line in output):
        return "no network to fetch the board's platform from, needed once"
    # The linker says what overflowed in a line of its own, without the word "error".
    for sign in (" overflowed by ", "error", "*** "):
        for line in output:
            if sign in line.lower():
                return line.strip()
    return output[-1].strip() if output else "no output"
