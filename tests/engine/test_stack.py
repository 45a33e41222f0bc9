"""How deep the engine's calls go, from the compiler's own report: no recursion, a small bound."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from myowave.compiler.reference import reference_network
from myowave.cortex import CFLAGS, CORES, _board, measure
from myowave.paths import firmware_dir
from tests.engine.test_cortex import needs_emulator

pytestmark = needs_emulator
# What the report cannot know: the registers a kernel written in assembly saves.
ASSEMBLY_BYTES = 112
# memcpy, memset and the 64-bit product of ARMv6-M; none takes more.
LIBRARY_BYTES = 32
STEP_BYTES_MAX = 384
LIBRARY = {
    *("memcpy", "memset", "memmove", "__aeabi_lmul"),
    *("__aeabi_memcpy", "__aeabi_memset", "__aeabi_memcpy4", "__aeabi_memset4"),
}


@dataclass(frozen=True)
class CallGraph:
    """Frames in bytes by function, and who calls whom."""

    frames: dict[str, int]
    calls: dict[str, set[str]]

    def depth(self, function: str, above: tuple[str, ...] = ()) -> int:
        """Return the most stack a call takes; fails on a cycle."""
        assert function not in above, f"recursion: {' > '.join([*above, function])}"
        deepest = (self.depth(callee, (*above, function)) for callee in self.calls[function])
        return self.frames[function] + max(deepest, default=0)


def read_call_graph(text: str) -> CallGraph:
    """Read GCC's -fcallgraph-info=su report."""
    frames: dict[str, int] = {}
    calls: dict[str, set[str]] = {}
    for title, label in re.findall(r'^node: \{ title: "([^"]+)" label: "([^"]+)"', text, re.M):
        name = title.rsplit(":", 1)[-1]
        size = re.search(r"(\d+) bytes \((.*?)\)", label)
        calls.setdefault(name, set())
        if size is None:
            assert name in LIBRARY, f"{name} is called and has no known frame"
            frames[name] = LIBRARY_BYTES
        else:
            assert size[2] == "static", f"the frame of {name} is {size[2]}"
            frames[name] = int(size[1])
    for caller, callee in re.findall(r'sourcename: "([^"]+)" targetname: "([^"]+)"', text):
        calls[caller.rsplit(":", 1)[-1]].add(callee.rsplit(":", 1)[-1])
    return CallGraph(frames, calls)


def reported(core: str, folder: Path, source: Path) -> CallGraph:
    compiler = shutil.which("arm-none-eabi-gcc")
    assert compiler is not None
    command = [
        compiler,
        *_board(core)["cpu_flags"],
        *CFLAGS,
        "-fcallgraph-info=su",
        "-c",
        str(source),
    ]
    subprocess.run([*command, "-o", "object.o"], cwd=folder, check=True)
    return read_call_graph((folder / "object.ci").read_text())


@pytest.mark.parametrize("core", CORES)
def test_depth_of_a_step(core: str, tmp_path: Path) -> None:
    graph = reported(core, tmp_path, firmware_dir() / "engine" / "mw_engine.c")
    public = [name for name in graph.frames if re.match(r"mw_(engine_\w+|scale_input)$", name)]
    assert {"mw_engine_init", "mw_engine_reset", "mw_engine_step", "mw_engine_step_block"} <= set(
        public
    )
    for function in public:
        assert graph.depth(function) + ASSEMBLY_BYTES <= STEP_BYTES_MAX, function
    # What `bench` and `fit` report is a bound on it.
    figures = measure(reference_network("S"), core, samples=64)
    assert max(map(graph.depth, public)) <= figures.stack_bytes + LIBRARY_BYTES


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("unsigned f(unsigned n) { return n < 2 ? n : f(n - 1) + f(n / 2); }", "recursion: f > f"),
        ("void g(char *); void f(unsigned n) { char a[n]; g(a); }", "frame of f is dynamic"),
        ("void f(void (*g)(void)) { g(); g(); }", "__indirect_call is called"),
    ],
    ids=["recursion", "variable array", "unknown function"],
)
def test_what_has_no_bound_is_found(code: str, reason: str, tmp_path: Path) -> None:
    source = tmp_path / "object.c"
    source.write_text(code)
    with pytest.raises(AssertionError, match=reason):
        reported("cortex-m4", tmp_path, source).depth("f")
