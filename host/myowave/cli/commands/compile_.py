"""`myowave compile`: a causal `.tflite` to a plan and C tables."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from myowave.cli.output import JsonFile, console, write_json

ORDER = 50

HELP = """Compile a causal int8 network to C tables for the streaming engine.

MODEL is a `.tflite` file or a model directory. Writes `model_data.h`, `model_data.c` and
`plan.json`, and shows the plan: what the engine does for one sample. A network that cannot stream
is refused by operator and tensor name, and nothing is written. With the model card (`model.json`)
beside the file, the tables also hold what a device tells about its network.

Example: `myowave compile models/sim_biceps/model.tflite -o build/tables`
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("compile", help=HELP)(compile_command)


def compile_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=".tflite file or directory.")],
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the C tables.")
    ],
    state_limit: Annotated[
        int | None,
        typer.Option(
            metavar="BYTES",
            min=1,
            help="Refuse a network that needs more state (RAM) than this.",
        ),
    ] = None,
    tables_in_ram: Annotated[
        bool, typer.Option("--tables-in-ram", help="Weights and tables are copied to RAM at start.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Compile and print the plan."""
    from myowave.compiler import compile_tflite
    from myowave.compiler.emit import plan_json
    from myowave.compiler.files import read_model
    from myowave.compiler.plan import describe

    tflite, card = read_model(model)
    plan = compile_tflite(
        tflite,
        output,
        card,
        name=str(model),
        state_limit_bytes=state_limit,
        tables_in_ram=tables_in_ram,
    )
    table = Table("step", "tensor", "inputs", "shape", "MACs", "state", box=None)
    for kind, name, reads, shape, macs, state in describe(plan):
        # A tensor may be called anything, brackets too.
        cells = (kind, name, reads, shape, str(macs or ""), str(state or ""))
        table.add_row(*map(escape, cells))
    console.print(table)
    console.print(
        f"{plan.n_inputs} inputs, {plan.n_outputs} outputs, receptive field "
        f"{plan.receptive_field} samples"
        + (f" of a window of {plan.window}" if plan.window != plan.receptive_field else "")
        + f"; {plan.macs} MACs a sample, {plan.state_bytes} bytes of state",
        soft_wrap=True,
    )
    written = escape(f"written: {output / 'model_data.h'}, model_data.c, plan.json")
    console.print(written, soft_wrap=True)
    if card is None:
        console.print("no model card beside it: the tables hold the network only")
    if json_file is not None:
        write_json(json_file, plan_json(plan))
