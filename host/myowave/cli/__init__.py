"""The `myowave` command line: thin over the library, one file a command in `commands/`."""

from myowave.cli.app import main

__all__ = ["main"]
