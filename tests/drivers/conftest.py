"""The probe, compiled once."""

import shutil

import pytest

from tests.drivers.probe import Probe


@pytest.fixture(scope="session")
def probe(tmp_path_factory) -> Probe:
    """Drivers over register models."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler 'cc' on PATH")
    return Probe(tmp_path_factory.mktemp("probe"))
