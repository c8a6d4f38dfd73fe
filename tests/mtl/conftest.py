"""Fixtures that several folders of the built-in subject's tests share."""

from pathlib import Path

import pytest

from ablate.record.store import Store
from tests.mtl.trained import empty_store, train


@pytest.fixture(scope="session")
def trained_store(tmp_path_factory: pytest.TempPathFactory, empty_database: Path, tiny_data: Path) -> Store:
    """One finished run on the tiny data. Nobody may change it."""
    return train(empty_store(tmp_path_factory.mktemp("trained") / "store", empty_database), tiny_data)
