# mypy: ignore-errors
"""A PlatformIO platform for tests: the Arduino API as a program of this computer."""

from platformio.public import PlatformBase


class Arduino_stand_inPlatform(PlatformBase):
    """The compiler comes from PATH; there is nothing to download."""
