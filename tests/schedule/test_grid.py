"""What is left to do, and how long it will take."""

from pathlib import Path

import pytest

from ablate.config import RunConfig, override
from ablate.design.runs import Dataset, Run
from ablate.rundir import State, Status
from ablate.schedule.grid import estimate_seconds, reconcile
from ablate.store import Store
from tests.fabricate import make_result

DATA = Dataset("tiny", "d" * 32, Path("data"))
STATES = dict(enumerate(State))


def run(seed: int, **settings: object) -> Run:
    return Run(
        override(RunConfig(seed=seed), {k.replace("__", "."): v for k, v in settings.items()}), DATA, "a", {}
    )


def test_what_is_not_finished_is_trained_and_failures_only_on_request() -> None:
    runs = [run(seed) for seed in STATES]
    ids = {planned.run_id: state for planned, state in zip(runs, STATES.values(), strict=True)}
    plan = reconcile(runs, lambda run_id: Status(ids[run_id]))
    assert [ids[todo.run_id] for todo in plan.to_train(retry=False)] == ["pending", "running", "interrupted"]
    assert [ids[todo.run_id] for todo in plan.to_train(retry=True)] == [
        "pending",
        "running",
        "failed",
        "interrupted",
    ]
    assert plan.summary() == "1 pending, 1 running, 1 finished, 1 failed, 1 interrupted"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with one finished run of 10 epochs in 20 s."""
    store = Store(tmp_path)
    done = run(0, optim__epochs=10)
    store.add_to_study("s", [done], "")
    folder = store.folder(done.run_id)
    folder.begin()
    folder.write_result({**make_result(done), "duration_s": 20.0})
    folder.end(State.FINISHED)
    return store


def test_time_is_estimated_from_finished_runs_of_the_same_size(store: Store) -> None:
    todo = [run(seed, optim__epochs=5) for seed in range(1, 5)]
    assert estimate_seconds(todo, store.finished_runs(), slots=1) == 40.0  # 4 runs x 5 epochs x 2 s
    assert estimate_seconds(todo, store.finished_runs(), slots=2) == 20.0
    assert estimate_seconds(todo, store.finished_runs(), slots=8) == 10.0  # no sooner than one run


def test_a_damaged_run_tells_nothing_of_time(store: Store) -> None:
    (folder,) = store.finished_runs()
    (folder.path / "result.json").write_text("{")
    assert estimate_seconds([run(1)], store.finished_runs(), slots=1) is None


def test_time_is_unknown_for_another_size(store: Store) -> None:
    assert estimate_seconds([run(1, model__width=0.5)], store.finished_runs(), slots=1) is None
    assert estimate_seconds([], store.finished_runs(), slots=1) == 0.0
