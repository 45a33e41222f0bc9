"""External programs: where they are, or what to install."""

import shutil

from myowave.errors import ToolError


def require_tool(name: str, package: str) -> str:
    """Return the path of a program; raise ToolError that names its Debian package."""
    found = shutil.which(name)
    if found is None:
        raise ToolError(f"{name} is not on PATH: install it (Debian: apt install {package})")
    return found
