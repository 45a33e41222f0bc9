"""The scripts of `tools/` are imported by their own names, as their tests do."""

import tests.tools.conftest  # noqa: F401
