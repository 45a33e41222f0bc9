"""Collect the commands and turn every deliberate error into one line and exit code 2."""

import importlib
import pkgutil
import sys
from importlib import metadata
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from myowave.cli import commands
from myowave.errors import MyowaveError


class _PlainFlags:
    """Help without a value's type after options that take no value."""

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False) and param.metavar is None:
                param.metavar = ""
        return params


class _Command(_PlainFlags, TyperCommand):
    """A command whose flags show as such."""


class _Group(_PlainFlags, TyperGroup):
    """The root, whose flags show as such."""


def build_app() -> typer.Typer:
    """Return the application with every command of `commands/`, in the order of a user's path.

    Each module in `commands/` defines `ORDER` (position in `--help`) and `register(app)`.
    """
    app = typer.Typer(
        name="myowave",
        cls=_Group,
        help="A live estimate of muscle activity from a 6-axis IMU. Not a medical device.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )

    @app.callback()
    def root(
        version: bool = typer.Option(
            False, "--version", is_eager=True, callback=_print_version, help="Show the version."
        ),
    ) -> None:
        del version

    modules = [
        importlib.import_module(f"{commands.__name__}.{info.name}")
        for info in pkgutil.iter_modules(commands.__path__)
    ]
    for module in sorted(modules, key=lambda module: int(module.ORDER)):
        module.register(app)
    for command in app.registered_commands:
        command.cls = _Command
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"myowave {metadata.version('myowave')}")
        raise typer.Exit


def main(argv: list[str] | None = None) -> int:
    """Run one command; return 0, or 2 with a one-line error, or 130 after Ctrl-C."""
    try:
        result = build_app()(args=argv, prog_name="myowave", standalone_mode=False)
    except MyowaveError as error:
        return _fail(str(error))
    except (typer.Abort, KeyboardInterrupt):
        # 128 + SIGINT, as shells report it.
        print("myowave: interrupted", file=sys.stderr)
        return 130
    except typer.TyperException as error:
        # The message of a wrong argument already names it and what was expected.
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        if not message.strip():
            return 2  # no command named: the help has been shown
        context = getattr(error, "ctx", None)
        hint = f" (see '{context.command_path} --help')" if context is not None else ""
        return _fail(message + hint)
    except MemoryError:
        return _fail("out of memory: the recordings or the network are too large for this machine")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")
    return result if isinstance(result, int) else 0


def _fail(message: str) -> int:
    one_line = " ".join(message.split())
    print(f"myowave: error: {one_line}", file=sys.stderr)
    return 2
