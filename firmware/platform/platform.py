"""The local PlatformIO platform: no downloaded package, the compilers come from PATH."""

from platformio.public import PlatformBase


class MyowavePlatform(PlatformBase):
    """Boards are `boards/*.json`; everything else is in `builder/main.py`."""

    def is_embedded(self):
        """Tell PlatformIO to report flash and RAM, also for the `native` board."""
        return True
