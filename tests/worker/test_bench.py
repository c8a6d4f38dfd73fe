"""One run in a worker's hands: how it ends, and what is recorded."""

import itertools
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import ablate.worker.bench
from ablate.ground.failures import Failure, FailureKind
from ablate.launch.base import Event, Kind, Task
from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import open_prepared
from ablate.mtl.definition import subject
from ablate.mtl.scoring import WEIGHTS
from ablate.mtl.training.graphs import is_out_of_memory
from ablate.mtl.training.loop import Training
from ablate.record.rundir import RunFolder, State
from ablate.subject.interface import Dataset
from ablate.worker.bench import Bench, Stops, train_task
from tests.fabricate import run_of

SMALL = {"model.width": 1 / 32, "optim.epochs": 2, "optim.batch_size": 2, "optim.lr": 0.01}


@pytest.fixture
def folder(tmp_path: Path, tiny_data: Path) -> RunFolder:
    """A planned run of two epochs."""
    return plan(tmp_path, tiny_data, SMALL)


def plan(tmp_path: Path, tiny_data: Path, settings: dict[str, Any]) -> RunFolder:
    data = open_prepared(tiny_data)
    run = run_of(RunConfig().override(settings), Dataset("tiny", data.digest, data.path))
    folder = RunFolder(tmp_path / "runs" / run.run_id)
    folder.create(run)
    return folder


def train(folder: RunFolder) -> list[Event]:
    events: list[Event] = []
    train_task(Task(folder.path, folder.run().dataset.path), "cpu", events.append, subject=subject)
    return events


def raising(error: Exception) -> Any:
    def compute(_training: Training) -> None:
        raise error

    return compute


def test_a_run_is_trained_and_recorded(folder: RunFolder) -> None:
    assert [event.kind for event in train(folder)] == [Kind.STARTED, Kind.EPOCH, Kind.EPOCH, Kind.FINISHED]
    assert folder.status().state is State.FINISHED
    assert [row["epoch"] for row in folder.history()] == [1, 2]


def test_a_finished_run_is_not_trained_again(folder: RunFolder) -> None:
    train(folder)
    assert [event.kind for event in train(folder)] == [Kind.FINISHED]
    assert folder.status().attempt == 1


def test_a_failure_is_recorded_with_its_cause_and_traceback(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Training, "compute", raising(ValueError("no such layer")))
    line = raising.__code__.co_firstlineno + 2  # of the function that it makes
    failure = Failure(FailureKind.ERROR, "ValueError: no such layer", f"test_bench.py:{line} in compute")
    assert train(folder)[-1] == Event(
        Kind.FAILED, folder.run_id, cause="ValueError: no such layer", failure=failure
    )
    assert folder.status().failure == failure
    assert folder.status().state is State.FAILED
    assert folder.log_tail(3)[1:] == ["    raise error", "ValueError: no such layer"]


def test_a_diverging_loss_fails_the_run(tmp_path: Path, tiny_data: Path) -> None:
    folder = plan(tmp_path, tiny_data, {**SMALL, "loss.alpha": 1e38})
    event = train(folder)[-1]
    assert event.kind is Kind.FAILED
    assert event.cause is not None
    assert event.cause.startswith("NotConverged: the loss or a weight is no longer finite in epoch ")
    assert not (folder.path / WEIGHTS).exists()


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError()]
)
def test_a_run_without_memory_can_go_on_later(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Training, "compute", raising(error))
        assert train(folder)[-1].kind is Kind.NO_MEMORY
    assert folder.status().state is State.INTERRUPTED
    assert folder.status().cause is not None
    assert type(error).__name__ in folder.status().cause
    assert train(folder)[-1].kind is Kind.FINISHED


def test_memory_that_torch_cannot_get_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


def test_a_run_that_another_host_took_over_is_left_to_it(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when this process was frozen: it records nothing more and says that the run is elsewhere."""
    monkeypatch.setattr(ablate.worker.bench, "LOOK_AT_LEASE_S", 0.0)
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        if event.kind is Kind.EPOCH:
            claim = folder.path / "lock.2"
            claim.write_text('{"host": "other", "kernel": "another", "pid": 1}')
            os.utime(claim, (time.time(), time.time()))

    train_task(Task(folder.path, folder.run().dataset.path), "cpu", emit, subject=subject)
    assert [event.kind for event in events] == [Kind.STARTED, Kind.EPOCH, Kind.BUSY]
    assert folder.status().state is State.RUNNING  # as the other one is training it
    assert len(folder.history()) == 1
    assert folder.result() is None


def plans(tmp_path: Path, tiny_data: Path, *settings: dict[str, Any]) -> list[RunFolder]:
    return [plan(tmp_path, tiny_data, {**SMALL, **changed}) for changed in settings]


DIFFERENT: list[dict[str, Any]] = [
    {"seed": 1},
    {"tasks": "scene"},
    {"optim.epochs": 3, "labels.shuffle": "event"},
]


@pytest.mark.usefixtures("one_thread")
def test_runs_on_one_bench_end_with_the_numbers_that_they_have_alone(tmp_path: Path, tiny_data: Path) -> None:
    alone = plans(tmp_path / "alone", tiny_data, *DIFFERENT)
    for folder in alone:
        train(folder)
    together = plans(tmp_path / "together", tiny_data, *DIFFERENT)
    events = train_together(together, width=2)
    assert [event.kind for event in events if event.ends] == [Kind.FINISHED] * 3
    assert most_at_once(events) == 2
    for one, other in zip(alone, together, strict=True):
        assert (one.path / WEIGHTS).read_bytes() == (other.path / WEIGHTS).read_bytes()
        assert outcome(one) == outcome(other)


def test_a_run_that_fails_leaves_the_bench_to_the_others(tmp_path: Path, tiny_data: Path) -> None:
    folders = plans(tmp_path, tiny_data, {"loss.alpha": 1e38}, {})
    ends = {event.run_id: event.kind for event in train_together(folders, width=2) if event.ends}
    assert [ends[folder.run_id] for folder in folders] == [Kind.FAILED, Kind.FINISHED]
    assert "NotConverged" in folders[0].log_file.read_text()
    assert "NotConverged" not in folders[1].log_file.read_text()


def test_what_a_bench_leaves_behind_can_be_taken_up(tmp_path: Path, tiny_data: Path) -> None:
    (folder,) = plans(tmp_path, tiny_data, {})
    with Bench(subject, "cpu", lambda _event: None) as bench:
        bench.put(Task(folder.path, folder.run().dataset.path))
        bench.train_epoch()
        assert folder.status().state is State.RUNNING
    assert folder.status().state is State.INTERRUPTED
    assert train(folder)[-1].kind is Kind.FINISHED


def test_a_pruned_run_saves_where_it_is_and_the_others_go_on(tmp_path: Path, tiny_data: Path) -> None:
    folders = plans(tmp_path, tiny_data, {"seed": 1}, {"seed": 2})
    hopeless, other = folders
    pruned: dict[str, str] = {}
    events: list[Event] = []
    with Bench(subject, "cpu", events.append, Stops(pruned=pruned), width=2) as bench:
        for folder in folders:
            bench.put(Task(folder.path, folder.run().dataset.path))
        bench.train_epoch()
        pruned[hopeless.run_id] = "below the median"
        while not bench.is_idle:
            bench.train_epoch()
    ends = {event.run_id: event for event in events if event.ends}
    assert ends[hopeless.run_id] == Event(Kind.PRUNED, hopeless.run_id, cause="below the median")
    assert ends[other.run_id].kind is Kind.FINISHED
    assert (hopeless.status().state, hopeless.status().cause) == (State.PRUNED, "below the median")
    assert hopeless.result() is None
    assert [event.epoch for event in train(hopeless) if event.kind is Kind.EPOCH] == [2]
    assert hopeless.status().state is State.FINISHED


def train_together(folders: list[RunFolder], width: int) -> list[Event]:
    events: list[Event] = []
    with Bench(subject, "cpu", events.append, width=width) as bench:
        for folder in folders:
            bench.put(Task(folder.path, folder.run().dataset.path))
        while not bench.is_idle:
            bench.train_epoch()
    return events


def most_at_once(events: list[Event]) -> int:
    """How many runs were under way at the same time, at most."""
    changes = [(event.kind is Kind.STARTED) - event.ends for event in events]
    return max(itertools.accumulate(changes))


def outcome(folder: RunFolder) -> dict[str, Any]:
    """The result without what time measured."""
    result = folder.result()
    assert result is not None
    return {name: value for name, value in result.items() if name != "duration_s"}
