"""A search that is killed with all its processes asks, trains and tells the same as if nothing had happened.

These are a few moments only; ``make faults`` takes more.
"""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.searches import Search, killed_again_and_again, undisturbed


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to create its 50 tables."""
    from ablate.tracking.client import Client

    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    Client.open(f"sqlite:///{file}")
    return file


@pytest.fixture
def searches(tmp_path: Path, empty_database: Path) -> Iterator[tuple[Search, Search]]:
    """Two of the same."""
    both = Search(tmp_path / "undisturbed"), Search(tmp_path / "killed")
    for search in both:
        shutil.copy(empty_database, search.store.database)
    yield both
    for search in both:
        search.end()


@pytest.mark.timeout(900)  # for a machine that is busy with other things, as every step is waited for
@pytest.mark.parametrize(("pruner", "kills"), [("none", 2), ("median", 1)])
def test_the_same_command_completes_the_search(
    searches: tuple[Search, Search], pruner: str, kills: int
) -> None:
    calm, killed = searches
    calm.pruner = killed.pruner = pruner
    expected = undisturbed(calm)
    assert not killed_again_and_again(killed, random.Random(0), kills, expected)
    assert killed.kills, "nothing was killed"
