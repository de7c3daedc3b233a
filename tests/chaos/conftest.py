"""How long the randomised tests run, and with which seed: `pytest tests/chaos --chaos-seconds 600 --chaos-seed 7`."""

import random

import pytest

from tests.acceptance.conftest import account, shop

__all__ = ["account", "shop"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos-seconds", type=float, default=6.0, help="how long a randomised test goes on")
    parser.addoption("--chaos-seed", type=int, default=None, help="the seed that a failed run has printed")


@pytest.fixture
def chaos_seconds(request: pytest.FixtureRequest) -> float:
    return float(request.config.getoption("--chaos-seconds"))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run; a failing test shows it."""
    given = request.config.getoption("--chaos-seed")
    seed = random.randrange(10**6) if given is None else int(given)
    print(f"--chaos-seed {seed}")
    return seed
