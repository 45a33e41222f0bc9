"""Extra script of the *_tflm environments: the model's tables, tflite-micro and its backend."""

import os
import subprocess
import sys
from pathlib import Path

from SCons.Script import Import

Import("env")
env = env  # noqa: F821, PLW0127 - Import defines it

project = Path(env.subst("$PROJECT_DIR"))
inference = project / "firmware" / "inference"
tables = Path(env.subst("$BUILD_DIR")) / "tflm_tables"


def fail(message):
    """Stop the build with one line that says what, where and what was expected."""
    sys.stderr.write(f"myowave: error: {message}\n")
    env.Exit(1)


model = Path(os.environ.get("MYOWAVE_MODEL") or env.GetProjectOption("custom_model"))
if not (model if model.is_absolute() else project / model).joinpath("model.tflite").is_file():
    fail(f"{model}/model.tflite: not found, expected a model directory")
made = subprocess.run(
    [sys.executable, "-m", "myowave.tflm_tables", model, "-o", tables],
    cwd=project,
    env={**os.environ, "PYTHONPATH": str(project / "host")},
    check=False,
)
if made.returncode != 0:
    fail("the tables for tflite-micro could not be made: run pio from the clone's .venv")

env.Append(
    CPPPATH=[str(inference), str(tables)],
    CPPDEFINES=[
        "MW_INFERENCE_TFLM",
        # As tflite-micro wants it of its users: tensors without what only TensorFlow Lite has.
        "TF_LITE_STATIC_MEMORY",
        ("MW_TFLM_HOP", env.GetProjectOption("custom_tflm_hop") + "u"),
        ("MW_SAMPLE_QUEUE_SIZE", env.GetProjectOption("custom_sample_queue") + "u"),
    ],
)
env.BuildSources("$BUILD_DIR/inference", str(inference), src_filter="+<*.cc>")
env.BuildSources("$BUILD_DIR/tflm_tables_objects", str(tables), src_filter="+<*.cc>")

# Boards of a registry platform get tflite-micro as a library; for the others it is a source tree.
if not env.GetProjectOption("lib_deps", []):
    tree = Path(os.environ.get("TFLM_DIR", ""))
    if not (tree / "tensorflow" / "lite" / "micro").is_dir():
        fail(
            "TFLM_DIR: expected the path of a tflite-micro source tree, as its "
            "tensorflow/lite/micro/tools/project_generation/create_tflm_tree.py writes one"
        )
    third_party = ("flatbuffers/include", "gemmlowp", "kissfft", "ruy")
    env.Append(
        CPPPATH=[str(tree), *(str(tree / "third_party" / name) for name in third_party)],
        CXXFLAGS=["-std=c++17", "-fno-rtti", "-fno-exceptions", "-fno-threadsafe-statics"],
        LIBS=["stdc++", "m"],
    )
    env.BuildSources(
        "$BUILD_DIR/tflite-micro",
        str(tree),
        src_filter="+<**/*.cc> +<**/*.cpp> +<**/*.c> -<examples/> -<**/*_test.cc>",
    )
