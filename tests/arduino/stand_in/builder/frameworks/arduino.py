"""The framework: the core's headers and sources, and the models of the IMUs behind its pins."""

from pathlib import Path

from SCons.Script import DefaultEnvironment

env = DefaultEnvironment()
core = Path(env.PioPlatform().get_dir()) / "core"
models = Path(env.subst("$PROJECT_DIR")) / "firmware" / "ports" / "simulated"
env.Append(CPPPATH=[str(core), str(models)])
env.BuildSources("$BUILD_DIR/core", str(core), src_filter="+<*.cpp>")
env.BuildSources("$BUILD_DIR/models", str(models), src_filter="+<imu_model*.c> +<truth.c>")
