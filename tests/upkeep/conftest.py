"""Stores with a study, as users have them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.design.runs import Run
from ablate.record.rundir import State
from ablate.record.store import Store
from ablate.subject.interface import Dataset
from ablate.upkeep.findings import Finding, Level
from ablate.upkeep.inventory import Inventory
from tests.fabricate import add_runs, fabricate_run, make_run

Find = Callable[..., list[Finding]]


@pytest.fixture(autouse=True)
def away_from_other_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("ABLATE_STORE", raising=False)


@pytest.fixture
def dataset(tiny_data: Path) -> Dataset:
    """Data that are there and whole."""
    from ablate.mtl.data.prepared import open_prepared

    prepared = open_prepared(tiny_data)
    return Dataset(prepared.name, prepared.digest, prepared.path)


@pytest.fixture
def runs(dataset: Dataset) -> list[Run]:
    return [make_run("baseline", seed, dataset=dataset) for seed in range(3)]


@pytest.fixture
def store(tmp_path: Path, runs: list[Run]) -> Store:
    """Study ``first`` of three runs: finished, failed and not begun."""
    store = Store(tmp_path / "mlruns")
    fabricate_run(store, runs[0])
    fabricate_run(store, runs[1], state=State.FAILED, cause="out of memory")
    add_runs(store, "first", runs)
    return store


@pytest.fixture
def find(store: Store) -> Find:
    """What a check finds in the store that is no better than a level, the default being a warning."""

    def found(check: Callable[[Inventory], object], at_least: Level = Level.WARNING) -> list[Finding]:
        levels = list(Level)
        findings: list[Finding] = list(check(Inventory(store)))  # type: ignore[call-overload]
        return [finding for finding in findings if levels.index(finding.level) >= levels.index(at_least)]

    return found


def contents(folder: Path) -> dict[str, float]:
    """Everything below a folder and when it was last written."""
    return {str(path.relative_to(folder)): path.lstat().st_mtime for path in sorted(folder.rglob("*"))}
