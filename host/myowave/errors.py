"""The errors MyoWave raises on purpose: one root, one child for each thing that can be at fault.

A message is one line that says what was found, where, and what was expected, so that the command
line can print it as it is.
"""


class MyowaveError(Exception):
    """Root of every error a caller may want to catch."""


class RecordingError(MyowaveError):
    """A recording file or its content is not usable."""


class ConfigError(MyowaveError):
    """A configuration value is missing, unknown or out of range."""


class ModelError(MyowaveError):
    """A model file or model directory is not usable."""


class UnsupportedModelError(ModelError):
    """A `.tflite` holds something the streaming compiler refuses."""


class ParityError(MyowaveError):
    """Two backends gave different integers for the same input."""


class ToolError(MyowaveError):
    """An external tool (compiler, emulator, PlatformIO) is missing or failed."""


class LinkError(MyowaveError):
    """A serial link or the device behind it is not usable."""
