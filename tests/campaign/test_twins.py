"""Runs that differ only in how they are scored are trained once."""

import shutil
from pathlib import Path

import pytest

from ablate.launch.base import Event, Kind, Task
from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import open_prepared
from ablate.mtl.definition import subject
from ablate.mtl.scoring import WEIGHTS
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from ablate.schedule.twins import to_be_trained, weights_for
from ablate.subject.interface import Dataset
from ablate.worker.bench import train_task
from tests.command import SMALL, output_of
from tests.fabricate import fabricate_run, make_run, run_of

SETTINGS = {"model.width": 1 / 32, "optim.epochs": 2, "optim.batch_size": 2}
TRAINED = [Kind.STARTED, Kind.EPOCH, Kind.EPOCH, Kind.FINISHED]
SCORED = [Kind.STARTED, Kind.FINISHED]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def plan(store: Store, tiny_data: Path, threshold: float, seed: int = 0) -> RunFolder:
    data = open_prepared(tiny_data)
    config = RunConfig(seed=seed).override({**SETTINGS, "scoring.threshold": threshold})
    run = run_of(config, Dataset("tiny", data.digest, data.path), "a")
    store.folder(run.run_id).create(run)
    return store.folder(run.run_id)


def train(folder: RunFolder, weights_of: RunFolder | None = None) -> list[Kind]:
    events: list[Event] = []
    source = None if weights_of is None else weights_of.path
    train_task(Task(folder.path, folder.run().dataset.path, source), "cpu", events.append, subject=subject)
    return [event.kind for event in events]


def test_only_the_scoring_leaves_the_training_what_it_is() -> None:
    run = make_run()
    assert make_run(settings={"scoring.threshold": 0.3}).training_id == run.training_id
    for other in [
        make_run(seed=1),
        make_run(settings={"grl.position": "S1"}),
        make_run(settings={"optim.lr": 0.1}),
    ]:
        assert other.training_id != run.training_id


def test_a_run_scored_with_the_weights_of_another_is_as_if_trained(
    store: Store, tiny_data: Path, tmp_path: Path
) -> None:
    first, second = (plan(store, tiny_data, threshold) for threshold in (0.5, 0.1))
    assert train(first) == TRAINED
    assert train(second, first) == SCORED
    alone = plan(Store(tmp_path / "other"), tiny_data, 0.1)
    assert train(alone) == TRAINED
    expected, result = alone.result(), second.result()
    assert expected is not None
    assert result is not None
    for name in ("run_id", "metrics", "matrices", "tables", "files", "facts"):
        assert result[name] == expected[name]
    assert result["tables"] != (first.result() or {})["tables"]
    assert (second.path / WEIGHTS).read_bytes() == (alone.path / WEIGHTS).read_bytes()
    assert [row["loss"] for row in second.history()] == [row["loss"] for row in alone.history()]
    assert second.status().state is State.FINISHED


def test_weights_that_were_changed_or_are_anothers_are_not_used(store: Store, tiny_data: Path) -> None:
    first, second = (plan(store, tiny_data, threshold) for threshold in (0.5, 0.1))
    train(first)
    assert train(plan(store, tiny_data, 0.1, seed=1), first) == TRAINED
    content = bytearray((first.path / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (first.path / WEIGHTS).write_bytes(content)
    assert train(second, first) == TRAINED


def test_one_of_each_training_is_trained(store: Store) -> None:
    """Three thresholds x two seeds; seed 1 has been trained."""
    runs = [
        make_run(seed=seed, settings={"scoring.threshold": threshold})
        for threshold in (0.3, 0.5, 0.7)
        for seed in (0, 1)
    ]
    folder = fabricate_run(store, runs[3])
    weights = weights_for(runs, store)
    assert weights == {runs[3].training_id: folder.path}
    assert to_be_trained(runs, weights) == [runs[0]]
    (folder.path / WEIGHTS).unlink()
    assert weights_for(runs, store) == {}


def test_a_grid_over_thresholds_trains_each_seed_once(
    store: Store, tiny_data: Path, empty_database: Path
) -> None:
    store.root.mkdir()
    shutil.copy(empty_database, store.database)

    def grid(thresholds: str, *options: str) -> str:
        words = ["grid", "--data", tiny_data, "--levels", f"scoring.threshold={thresholds}", *SMALL]
        return output_of(*words, "--seeds", 1, "--study", "s", "--workers", 2, *options, store=store.root)

    def told() -> list[str]:
        """``training`` or ``scoring``, by each run's log, in the order of planning."""
        return [folder.log_file.read_text().split(" INFO ")[1].split()[0] for folder in store.study_runs("s")]

    assert "2 of them only scored" in grid("0.3,0.5,0.7", "--dry-run")
    grid("0.3,0.5,0.7")
    assert told() == ["training", "scoring", "scoring"]
    assert "1 of them only scored" in grid("0.3,0.5,0.7,0.9")
    assert told() == ["training", "scoring", "scoring", "scoring"]
    assert {folder.status().state for folder in store.study_runs("s")} == {State.FINISHED}
