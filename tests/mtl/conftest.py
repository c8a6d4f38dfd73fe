"""Fixtures that several folders of the built-in subject's tests share."""

import shutil
from pathlib import Path

import pytest

from ablate.record.store import Store
from tests.mtl.trained import train


@pytest.fixture(scope="session")
def trained_store(tmp_path_factory: pytest.TempPathFactory, empty_database: Path, tiny_data: Path) -> Store:
    """One finished run on the tiny data. Nobody may change it."""
    root = tmp_path_factory.mktemp("trained") / "store"
    root.mkdir()
    shutil.copy(empty_database, root / "mlflow.db")
    return train(root, tiny_data)
