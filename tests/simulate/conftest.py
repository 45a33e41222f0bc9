"""One simulated trial for the tests that only look at it."""

import pytest

from myowave.simulate import Simulation, simulate_truth


@pytest.fixture(scope="package")
def trial() -> Simulation:
    """A minute of both muscles of the first person of seed 5."""
    return simulate_truth(60.0, 5, muscles=2)
