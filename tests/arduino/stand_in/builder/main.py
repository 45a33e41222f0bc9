"""Build script of the stand-in: the host's compiler, strict warnings, sanitizers when asked for."""

import os

from SCons.Script import AlwaysBuild, Default, DefaultEnvironment

env = DefaultEnvironment()
env.Replace(
    AR="ar",
    CC="gcc",
    CXX="g++",
    LINK="g++",
    RANLIB="ranlib",
    SIZETOOL=None,
    ARFLAGS=["rc"],
    PROGSUFFIX=".elf",
)
warnings = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
env.Append(
    CFLAGS=["-std=gnu11", "-Wstrict-prototypes"],
    CXXFLAGS=["-std=gnu++17", "-fno-exceptions"],
    CCFLAGS=[*warnings, "-O2", "-g"],
    CPPDEFINES=[("_GNU_SOURCE", 1)],
)
if os.environ.get("MYOWAVE_SANITIZE"):
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    env.Append(CCFLAGS=sanitizers, LINKFLAGS=sanitizers)
program = env.BuildProgram()
AlwaysBuild(env.Alias("buildprog", program))
Default(program)
