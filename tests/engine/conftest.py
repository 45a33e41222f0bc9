"""Builds of this folder's tests: hundreds of networks, each needed once."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from myowave import cortex, engine


@pytest.fixture(scope="session", autouse=True)
def throwaway_builds() -> Iterator[None]:
    """Build where nothing stays, instead of under `build/`, which would grow by 70 MB a run."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:

        def build_dir(*parts: str) -> Path:
            folder = Path(name, *parts)
            folder.mkdir(parents=True, exist_ok=True)
            return folder

        for module in (cortex, engine):
            patch.setattr(module, "build_dir", build_dir)
        yield
