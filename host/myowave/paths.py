"""Where the parts of a clone are, for the features that need more than the installed package."""

from pathlib import Path

from myowave.errors import ToolError

REPOSITORY = Path(__file__).resolve().parents[2]
# Names the model directory to build in, for PlatformIO too (firmware/platform/builder).
MODEL_VARIABLE = "MYOWAVE_MODEL"


def firmware_dir() -> Path:
    """Return the `firmware/` folder of the clone this package runs from.

    Raises
    ------
    ToolError
        If the package was installed without its clone.
    """
    folder = REPOSITORY / "firmware"
    if not (folder / "engine").is_dir():
        raise ToolError(
            f"{folder}: no firmware sources here; this feature runs from a clone of the "
            "repository, installed with 'make setup'"
        )
    return folder


def build_dir(*parts: str) -> Path:
    """Return (and make) a folder for generated files under the clone's `build/`."""
    folder = REPOSITORY.joinpath("build", *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
