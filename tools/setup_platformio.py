"""Prepare PlatformIO to build without its package registry.

PlatformIO fetches one package for every build, `tool-scons`. Here it is a folder of three small
files that starts PyPI's `scons` (pinned by the `firmware` extra) in its place. The folder lies in
the PlatformIO core directory of this clone, `build/platformio`, so a PlatformIO set up the ordinary
way in the user's home is neither used nor touched.

    python tools/setup_platformio.py          # prints the core directory
    export PLATFORMIO_CORE_DIR=$(python tools/setup_platformio.py)
"""

import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CORE_DIR = REPOSITORY / "build" / "platformio"
# PlatformIO 6.2 asks for ~4.40801.0 or newer 4.x: version 4.41101.0 stands for SCons 4.11.1.
VERSION = "4.41101.0"

SCONS_PY = '''\
"""Start the SCons of the Python environment that runs PlatformIO."""

import sys

try:
    import SCons.Script
except ImportError:
    sys.exit("PlatformIO needs scons in its own Python environment: pip install scons==4.11.1")

SCons.Script.main()
'''


def tool_scons_files() -> dict[str, str]:
    """Return name and content of each file of the stand-in package."""
    package = {
        "name": "tool-scons",
        "version": VERSION,
        "description": "SCons from the Python environment",
    }
    spec = {
        "owner": "platformio",
        "id": None,
        "name": "tool-scons",
        "requirements": None,
        "uri": None,
    }
    piopm = {"type": "tool", "name": "tool-scons", "version": VERSION, "spec": spec}
    return {
        "package.json": json.dumps(package, indent=2) + "\n",
        ".piopm": json.dumps(piopm) + "\n",
        "scons.py": SCONS_PY,
    }


def prepare(core_dir: Path) -> None:
    """Write the package under `core_dir`; files already right are left alone."""
    folder = core_dir / "packages" / "tool-scons"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tool_scons_files().items():
        file = folder / name
        if not file.is_file() or file.read_text() != content:
            file.write_text(content)
    # No usage report and no look for updates: both would wait for a network that may not be there.
    settings = {"settings": {"enable_telemetry": False, "check_platformio_interval": 9999}}
    state = core_dir / "appstate.json"
    if not state.is_file():
        state.write_text(json.dumps(settings) + "\n")


def main() -> int:
    """Prepare the core directory of this clone and print its path."""
    prepare(CORE_DIR)
    print(CORE_DIR)
    return 0


if __name__ == "__main__":
    sys.exit(main())
