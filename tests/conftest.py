"""Fixtures every test folder may use."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def curls_dir() -> Path:
    """Folder of the real biceps-curl recordings, which never enter the repository."""
    shared = Path(os.environ.get("MYOWAVE_SHARED", REPOSITORY.parent / "shared"))
    folder = shared / "data" / "curls"
    if not (folder / "quality.csv").is_file():
        pytest.skip(f"real recordings not here: {folder.parent.name}/{folder.name} is absent")
    return folder
