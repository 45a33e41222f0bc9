"""Extra script PlatformIO runs before an Arduino build: include folders, the model, the name."""

import os
import sys
from pathlib import Path

from SCons.Script import Import

Import("env")
env = env  # noqa: F821, PLW0127 - Import defines it

project = Path(env.subst("$PROJECT_DIR"))
firmware = project / "firmware"

# As in firmware/platform/builder/main.py: a variable for scripts, an option for people.
model = Path(os.environ.get("MYOWAVE_MODEL") or env.GetProjectOption("custom_model"))
if not model.is_absolute():
    model = project / model
for name in ("model_data.c", "model_data.h"):
    if not (model / name).is_file():
        sys.stderr.write(
            f"myowave: error: {model / name}: not found; MYOWAVE_MODEL (or custom_model in "
            "platformio.ini) names a model directory made by 'myowave train' or 'myowave compile'\n"
        )
        env.Exit(1)

folders = ("app", "drivers", "engine", "ports/arduino")
env.Append(
    CPPPATH=[*(str(firmware / folder) for folder in folders), str(model)],
    CPPDEFINES=[("MW_BOARD_NAME", env.StringifyMacro(env["PIOENV"]))],
)
env.BuildSources("$BUILD_DIR/model", str(model), src_filter="+<model_data.c>")
