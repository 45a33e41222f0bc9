"""Find the one board there is, and say for each port that cannot be used what to do."""

from collections.abc import Sequence
from pathlib import Path

from myowave.errors import LinkError
from myowave.upload.survey import PortReport, holder

VIRTUAL_HINT = "a virtual board's port is no USB port: name the PATH given to 'virtual --link'"


def only_board(reports: Sequence[PortReport]) -> str:
    """Return the port of the one board that answers.

    Parameters
    ----------
    reports : sequence of PortReport
        Of every serial port there is.

    Raises
    ------
    LinkError
        If none or several answer.
    """
    answering = [report.port.device for report in reports if report.state == "answers"]
    if len(answering) > 1:
        raise LinkError(
            f"{len(answering)} boards answer, at {', '.join(answering)}: name the port of one"
        )
    if not answering:
        raise LinkError(
            f"no board answers at any of {len(reports)} serial ports: plug one in, or name its "
            f"port; {VIRTUAL_HINT}"
        )
    return answering[0]


def require_free(url: str) -> None:
    """Refuse a port that another program reads, also one that has not locked it.

    Two readers would each get half of what the board sends.

    Raises
    ------
    LinkError
        The message names the program.
    """
    user = holder(Path(url)) if Path(url).exists() else ""
    if user:
        raise LinkError(f"{url}: in use by {user}; end that one first")
