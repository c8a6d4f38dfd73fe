"""A store whose MLflow database is there, and empty."""

import shutil
from pathlib import Path

import pytest

from ablate.record.store import Store
from ablate.tracking import Tracker


@pytest.fixture(autouse=True)
def no_server_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Store:
    store = Store(tmp_path / "store")
    store.require_writable()
    shutil.copy(empty_database, store.database)
    return store


@pytest.fixture
def tracker(store: Store) -> Tracker:
    return Tracker(store, "study")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """MLflow 3.17 configures SQLAlchemy 2.1 in a way that the latter is going to drop."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            noload = "ignore:The .{2}noload.{2} loader strategy:DeprecationWarning"
            item.add_marker(pytest.mark.filterwarnings(noload))
