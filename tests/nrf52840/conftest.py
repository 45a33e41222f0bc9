"""The scripts of `tools/` are imported by their own names."""

import sys

from tests.conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tools"))
