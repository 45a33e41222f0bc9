"""The scripts of `tools/` import one another as they do when run: by their own names."""

import sys

from tests.conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tools"))
