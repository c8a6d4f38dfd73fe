"""A search that is killed with all its processes asks, trains and tells the same as if nothing had happened.

These are a few moments only; ``make faults`` takes more.
"""

import itertools
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.searches import Search, killed_again_and_again, undisturbed


@pytest.fixture
def searches(tmp_path: Path) -> Iterator[tuple[Search, Search]]:
    """Two of the same, with a database that MLflow takes seconds to make."""
    from ablate.tracking.client import Client

    file = tmp_path / "mlflow.db"
    Client.open(f"sqlite:///{file}")
    both = Search(tmp_path / "undisturbed", trials=6), Search(tmp_path / "killed", trials=6)
    for search in both:
        shutil.copy(file, search.store.database)
    yield both
    for search in both:
        search.end()


@pytest.mark.timeout(900)  # for a machine that is busy with other things, as every step is waited for
def test_the_same_command_completes_the_search(searches: tuple[Search, Search]) -> None:
    calm, killed = searches
    expected = undisturbed(calm)
    for seed in itertools.count():
        assert not killed_again_and_again(killed, random.Random(seed), 1, expected)
        if killed.kills:  # else the command was faster
            break
