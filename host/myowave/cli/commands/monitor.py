"""`myowave monitor`: watch a board live."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from myowave.cli.board_options import CalibrationFile, LslFlag, ModelDirs
from myowave.errors import ConfigError, ModelError, MyowaveError, ToolError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from myowave.live.history import History
    from myowave.live.recorded_emg import RecordedEmg
    from myowave.live.session import Session
    from myowave.live.settings import MonitorSettings, Theme

    View = Callable[[Session, History, threading.Event, MonitorSettings], None]

ORDER = 110
TOKEN_VARIABLE = "MYOWAVE_MONITOR_TOKEN"

HELP = f"""Watch a board live: in the browser, in the terminal (`--tui`), or as lines (`--plain`).

Shows the predicted envelope of each muscle and whether it is active, the health of board and line,
and which model runs; records with markers and notes (keys: the page and the terminal list them).
Starts the board, and goes on when it was unplugged and is back. Without PORT it lists the ports and
who answers there, and takes the only board. The page is for this computer; `--address` opens it to
others, who need the token (`--token`, or ${TOKEN_VARIABLE}). Ends on Ctrl-C or after `--seconds`.

`--plain` prints `key=value` words, one line a second: time state rate_hz samples lost crc_errors
gaps overruns cpu_percent longest_step_us, MUSCLE.mean MUSCLE.peak (%) MUSCLE.active, recording
recording_s.

Example: `myowave monitor /dev/ttyACM0 --record session.mwlog`
"""

_PAGE = "Page in the browser"
_VIEW = "View"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("monitor", help=HELP)(monitor_command)


def monitor_command(
    port: Annotated[
        str | None, typer.Argument(metavar="PORT", help="Serial port, path or URL.")
    ] = None,
    *,
    tui: Annotated[bool, typer.Option("--tui", help="In the terminal.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="One line a second.")] = False,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Record into a log from the first sample on."),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Show the raw IMU channels too.")] = False,
    seconds: Annotated[
        float | None, typer.Option(metavar="N", min=0.0, help="End after N seconds.")
    ] = None,
    calibration: CalibrationFile = None,
    model: ModelDirs = None,
    lsl: LslFlag = False,
    window: Annotated[
        float, typer.Option(metavar="S", help="Seconds in view, 2 to 60.", rich_help_panel=_VIEW)
    ] = 10.0,
    threshold: Annotated[
        float,
        typer.Option(metavar="P", help="A muscle is active from P % on.", rich_help_panel=_VIEW),
    ] = 20.0,
    hysteresis: Annotated[
        float,
        typer.Option(metavar="P", help="And until P % below that.", rich_help_panel=_VIEW),
    ] = 5.0,
    theme: Annotated[
        str, typer.Option(metavar="NAME", help="auto, light or dark.", rich_help_panel=_VIEW)
    ] = "auto",
    emg: Annotated[
        Path | None,
        typer.Option(
            metavar="REC",
            help="Recording whose sEMG to show beside. [default: the one `virtual` plays]",
            rich_help_panel=_PAGE,
        ),
    ] = None,
    address: Annotated[
        str, typer.Option(metavar="HOST", help="Where to serve it.", rich_help_panel=_PAGE)
    ] = "127.0.0.1",
    http_port: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, max=65535, help="0: any that is free.", rich_help_panel=_PAGE
        ),
    ] = 0,
    token: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            envvar=TOKEN_VARIABLE,
            help="Secret for other addresses.",
            rich_help_panel=_PAGE,
        ),
    ] = "",
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print its address.", rich_help_panel=_PAGE)
    ] = False,
) -> None:
    """Follow the board and show it until Ctrl-C."""
    from myowave.calibration import load_calibration
    from myowave.live.background import RecordFromStart, followed
    from myowave.live.history import History
    from myowave.live.ports import require_free
    from myowave.live.session import Session
    from myowave.live.settings import MonitorSettings
    from myowave.signals import stop_requested

    if tui and plain:
        raise ConfigError("--tui and --plain: expected one of them")
    if emg is not None and (tui or plain):
        raise ConfigError("--emg: only the page shows recorded sEMG, not --tui or --plain")
    settings = MonitorSettings(
        window_s=window,
        threshold_on=threshold / 100.0,
        threshold_off=(threshold - hysteresis) / 100.0,
        theme=_theme(theme),
        record_dir=Path() if record is None else record.parent,
        show_raw=raw,
    )
    show = _terminal() if tui else _lines() if plain else None
    port = _find_port() if port is None else port
    require_free(port)
    model_dirs = model or ()
    session = Session(
        port,
        raw=raw or lsl or record is not None,
        seconds=seconds,
        calibration=None if calibration is None else load_calibration(calibration),
        model_dirs=model_dirs,
    )
    history = History()
    session.add(history)
    if lsl:
        from myowave.live.lsl import LslOutlets

        session.add(LslOutlets(port, model_dirs))
    if record is not None:
        session.add(RecordFromStart(session, record))
    with stop_requested() as stop, followed(session, stop):
        if show is not None:
            show(session, history, stop, settings)
        else:
            from myowave.live.server import serve

            serve(
                session,
                history,
                stop=stop,
                settings=settings,
                address=address,
                port=http_port,
                token=token,
                recorded_emg=_recorded_emg(session, emg),
                open_browser=not no_browser,
                on_url=lambda url: typer.echo(f"{url} shows {port}; Ctrl-C ends it"),
            )


def _theme(name: str) -> "Theme":
    from myowave.live.settings import THEMES

    if name not in THEMES:
        raise ConfigError(f"--theme {name}: expected one of {', '.join(THEMES)}")
    return cast("Theme", name)


def _find_port() -> str:
    """List the ports and who answers there; return that of the only board."""
    from myowave.live.ports import only_board
    from myowave.upload.find import ports
    from myowave.upload.survey import survey

    reports = []
    for found in ports():
        reports.append(survey(found))
        # Not to standard output, which --plain fills.
        typer.echo(str(reports[-1]), err=True)
    port = only_board(reports)
    typer.echo(f"myowave monitor {port}", err=True)
    return port


def _terminal() -> "View":
    # It draws on standard error.
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        raise ConfigError("--tui: this is no terminal; --plain prints lines")
    try:
        from myowave.live.terminal import run_tui
    except ModuleNotFoundError as error:
        raise ToolError(
            f"--tui needs {error.name}: pip install '.[live]' in the clone, or use --plain"
        ) from None
    return run_tui


def _lines() -> "View":
    from myowave.live.plain import run_plain

    return run_plain


def _recorded_emg(session: "Session", named: Path | None) -> "RecordedEmg | None":
    """Return the sEMG of the recording named, or else of the one a virtual board plays."""
    from myowave.live.recorded_emg import RecordedEmg, recording_beside
    from myowave.recording import load

    path = named or recording_beside(session.url)
    if named is None and not path.exists():
        return None
    status = session.status()
    try:
        if status.card is None:
            raise ModelError(
                f"{path}: sEMG is shown as a fraction of the model's reference, and no model card "
                "of this board's model was found; name its directory with --model"
            )
        return RecordedEmg(load(path), status.card)
    except MyowaveError as error:
        if named is not None:
            raise
        # Nobody asked for it: the board is shown without.
        typer.echo(f"without recorded sEMG: {error}", err=True)
        return None
