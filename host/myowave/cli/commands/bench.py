"""`myowave bench`: instructions, RAM and flash of the compiled engine on an emulated core."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from myowave.cli.output import JsonFile, console, write_json
from myowave.errors import ConfigError, ModelError

ORDER = 80

HELP = """Measure what a network costs a Cortex-M: instructions a sample, RAM, flash.

Instructions are counted by the emulator (QEMU, `-icount shift=0`) and include input scaling; they
are not cycles. Sizes come from the compiled objects. `--core native` times the engine on this
machine instead, on one core and over many samples a call.

MODEL_DIR is a model directory or a `.tflite` file; `--reference R` (or S, M) measures a reference
network with fixed random weights in its place.

Example: `myowave bench --reference R --core cortex-m4 --json bench.json`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("bench", help=HELP)(bench_command)


def bench_command(
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL_DIR]", help="Model directory or .tflite file.")
    ] = None,
    *,
    core: Annotated[
        str,
        typer.Option(help="cortex-m0plus, -m3, -m4, -m7 or -m55; native: speed on this machine."),
    ] = "cortex-m4",
    reference: Annotated[
        str | None, typer.Option(metavar="R|S|M", help="Reference network in place of a model.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure and print."""
    from myowave.compiler import load_plan
    from myowave.compiler.files import read_model
    from myowave.compiler.reference import reference_network
    from myowave.cortex import measure
    from myowave.engine import measure_native

    if (model is None) == (reference is None):
        raise ConfigError("name either a model directory or --reference R, S or M")
    if reference is not None:
        tflite, card, name = reference_network(reference), None, f"reference {reference}"
    else:
        assert model is not None
        (tflite, card), name = read_model(model), str(model)
    try:
        load_plan(tflite)
    except ModelError as error:
        raise type(error)(f"{name}: {error}") from error
    if core == "native":
        speed = measure_native(tflite)
        ns_per_sample = 1e9 / speed.samples_per_second
        console.print(f"{name} on this machine, one core")
        console.print(f"  ns a sample            {ns_per_sample:>10.0f}")
        console.print(f"  samples a second       {speed.samples_per_second:>10.0f}")
        console.print(f"  times real time        {speed.times_real_time:>10.0f}  (1 kHz)")
        console.print(f"  MACs a sample          {speed.macs_per_sample:>10}")
        if json_file is not None:
            # The counts of an emulated core have no meaning here; their keys stay.
            none = dict.fromkeys(("instructions_per_sample", "ram_bytes", "flash_bytes"))
            figures = {"ns_per_sample": ns_per_sample, **asdict(speed)}
            write_json(json_file, {"model": name, "core": core, **none, **figures})
        return
    cost = measure(tflite, core, card=card)
    per_mac = cost.instructions_per_sample / max(cost.macs_per_sample, 1)
    console.print(f"{name} on {core} (emulated)")
    console.print(f"  instructions a sample  {cost.instructions_per_sample:>10.0f}")
    console.print(f"  MACs a sample          {cost.macs_per_sample:>10}")
    console.print(f"  instructions a MAC     {per_mac:>10.2f}")
    console.print(f"  RAM bytes              {cost.ram_bytes:>10}  (stack {cost.stack_bytes})")
    console.print(
        f"  flash bytes            {cost.flash_bytes:>10}  "
        f"(code {cost.code_bytes}, model {cost.model_bytes})"
    )
    if json_file is not None:
        write_json(json_file, {"model": name, **asdict(cost)})
