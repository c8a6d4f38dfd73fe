"""What is left to do."""

from pathlib import Path

from ablate.design.runs import Run
from ablate.ground.failures import FailureKind
from ablate.mtl.config import RunConfig
from ablate.record.rundir import State, Status
from ablate.schedule.grid import reconcile, tally
from ablate.subject.interface import Dataset
from tests.fabricate import run_of

DATA = Dataset("tiny", "d" * 32, Path("data"))
STATES = dict(enumerate(State))


def run(seed: int, **settings: object) -> Run:
    config = RunConfig(seed=seed).override({k.replace("__", "."): v for k, v in settings.items()})
    return run_of(config, DATA, "a")


def test_what_is_not_finished_is_trained_and_failures_only_on_request() -> None:
    runs = [run(seed) for seed in STATES]
    ids = {planned.run_id: state for planned, state in zip(runs, STATES.values(), strict=True)}
    plan = reconcile(runs, lambda run_id: Status(ids[run_id]))
    assert [ids[todo.run_id] for todo in plan.to_train()] == [
        "pending",
        "running",
        "interrupted",
        "pruned",
    ]
    assert [ids[todo.run_id] for todo in plan.to_train(retry=tuple(FailureKind))] == [
        "pending",
        "running",
        "failed",
        "interrupted",
        "pruned",
    ]
    assert (
        tally(plan.counts())
        == "1 pending, 1 running, 1 finished, 1 failed, 1 interrupted, 1 pruned, 1 damaged"
    )
