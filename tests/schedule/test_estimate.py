"""How long a plan will take."""

import json
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from ablate.design.runs import Run
from ablate.mtl.config import RunConfig
from ablate.mtl.definition import subject
from ablate.record.rundir import State
from ablate.record.store import Store
from ablate.schedule.estimate import (
    Calibration,
    Evidence,
    Finished,
    Forecast,
    Known,
    Overheads,
    Speed,
    add_calibration,
    calibration_file,
    makespan,
    predict,
    read_calibration,
    read_evidence,
)
from ablate.subject.interface import Dataset, Size
from ablate.subject.settings import Settings
from tests.fabricate import add_runs, make_result, run_of

DATA = Dataset("tiny", "d" * 32, Path("data"))
SIZE = Size(train_items=40, test_items=20)
NOTHING = Evidence()


def run(seed: int = 0, **settings: object) -> Run:
    """Of 5 epochs with batches of 4 clips."""
    values = {"optim__epochs": 5, "optim__batch_size": 4, **settings}
    config = RunConfig(seed=seed).override({name.replace("__", "."): v for name, v in values.items()})
    return run_of(config, DATA, "a")


def runs(n: int) -> list[Run]:
    return [run(seed) for seed in range(n)]


COST = subject.cost(run().config)


# ---------------------------------------------------------------------------------------------- makespan


@pytest.mark.parametrize(
    ("run_s", "workers", "wall_s"),
    [
        ([2, 2, 2, 2], 1, 8),
        ([2, 2, 2, 2], 2, 4),
        ([2, 2, 2], 2, 4),  # the last one trains alone
        ([2, 2], 8, 2),
        ([1, 1, 3], 2, 4),  # in the order of planning, which puts the long one last
        ([], 2, 0),
    ],
)
def test_runs_go_to_the_worker_that_is_free_first(run_s: list[float], workers: int, wall_s: float) -> None:
    assert makespan(run_s, workers) == wall_s


def test_only_a_workers_first_run_takes_longer() -> None:
    assert makespan([2, 2, 2, 2], workers=2, first_s=1) == 5


# ----------------------------------------------------------------------------------------- calibrations

# A run is 5 epochs x 10 steps x 0.1 s + 20 clips x 0.05 s = 6 s.
SPEED = Speed(step_s=0.1, evaluation_s=0.05)
CALIBRATED = Calibration(speeds={COST: {1: SPEED}})


def seconds(
    todo: Sequence[Run],
    workers: int,
    calibration: Calibration = CALIBRATED,
    *,
    size: Size = SIZE,
    finished: Evidence = NOTHING,
) -> float | None:
    return predict(todo, [workers], Known(subject, size, calibration, finished)).by_workers.get(workers)


def test_a_run_takes_its_steps_and_its_evaluation() -> None:
    assert seconds(runs(4), workers=1) == pytest.approx(24)


def test_what_is_around_the_training_is_counted() -> None:
    around = Overheads(start_s=7, close_s=3, first_run_s=2, run_s=0.5, generate_s=6, prepare_s=1)
    calibration = Calibration(around, CALIBRATED.speeds)
    assert seconds(runs(4), 1, calibration) == pytest.approx(7 + 2 + 4 * 6.5 + 3)
    unprepared = Size(40, 20, to_generate=4, to_prepare=8)
    assert seconds(runs(4), 2, calibration, size=unprepared) == pytest.approx(
        7 + (4 * 6 + 8 * 1) / 2 + 2 + 2 * 6.5 + 3  # both workers' cores make the data
    )


def test_workers_slow_each_other_down_as_measured() -> None:
    speeds = {1: SPEED, 2: Speed(0.15, 0.1)}  # a run takes 7.5 + 2 s beside another one
    calibration = Calibration(speeds={COST: speeds})
    forecast = predict(runs(4), [1, 2], Known(subject, SIZE, calibration, NOTHING))
    assert forecast.by_workers == pytest.approx({1: 24, 2: 19})
    assert forecast.best_workers == 2


def test_of_numbers_of_workers_that_were_not_measured_the_next_larger_one_counts() -> None:
    calibration = Calibration(speeds={COST: {1: SPEED, 4: Speed(0.2, 0), 8: Speed(0.3, 0)}})
    assert calibration.speed(COST, 3) == Speed(0.2, 0)
    assert calibration.speed(COST, 16) == Speed(0.3, 0)


def test_of_equally_fast_numbers_of_workers_the_fewest_are_suggested() -> None:
    assert Forecast({4: 10.0, 2: 10.0, 1: 12.0}).best_workers == 2


@pytest.mark.parametrize(
    "other", [{"model__width": 0.5}, {"optim__batch_size": 8}, {"tasks": "scene"}, {"kernels": "plain"}]
)
def test_time_is_unknown_for_another_cost(other: dict[str, object]) -> None:
    assert seconds([run(), run(1, **other)], workers=1) is None


def test_what_costs_the_same_is_known() -> None:
    same = [run(seed=7), run(grl__position="S1"), run(labels__shuffle="both"), run(loss__alpha=1.0)]
    assert seconds(same, workers=1) == pytest.approx(24)


def test_nothing_to_train_takes_no_time() -> None:
    assert seconds([], workers=2, calibration=Calibration(Overheads(start_s=9))) == 0


def test_a_store_keeps_what_was_measured_of_each_cost_and_number_of_workers(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert read_calibration(store, subject) == Calibration()
    add_calibration(store, subject, Calibration(Overheads(start_s=1), {COST: {1: SPEED}}))
    add_calibration(
        store, subject, Calibration(Overheads(start_s=2), {COST: {2: SPEED}, "other": {1: SPEED}})
    )
    known = read_calibration(store, subject)
    assert known.overheads == Overheads(start_s=2)
    assert known.speeds == {COST: {1: SPEED, 2: SPEED}, "other": {1: SPEED}}


def test_another_host_or_torch_is_another_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    add_calibration(store, subject, CALIBRATED)
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    assert read_calibration(store, subject) == Calibration()
    add_calibration(store, subject, Calibration())
    monkeypatch.undo()
    assert read_calibration(store, subject).speeds == CALIBRATED.speeds
    assert len(json.loads(calibration_file(store).read_text())) == 2


@pytest.mark.parametrize("damage", ["{", "[]", '{"overheads": 3}'])
def test_a_damaged_calibration_is_none(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    calibration_file(store).write_text(damage)
    assert read_calibration(store, subject) == Calibration()
    add_calibration(store, subject, CALIBRATED)
    assert read_calibration(store, subject).speeds == CALIBRATED.speeds


# ---------------------------------------------------------------------------------------- finished runs


def test_finished_runs_tell_better_than_a_calibration() -> None:
    finished = Evidence([Finished(DATA.digest, COST, epoch_s, at_once=2.0) for epoch_s in (1.9, 2.0, 9.0)])
    assert seconds(runs(2), 2, finished=finished) == 10.0  # 5 epochs x 2 s, the median


def test_a_calibration_tells_better_than_runs_beside_another_number_of_runs() -> None:
    finished = Evidence([Finished(DATA.digest, COST, 2.0, at_once=1.0)])
    known = Calibration(speeds={COST: {2: SPEED}})
    assert seconds(runs(2), 2, known, finished=finished) == pytest.approx(6)
    assert seconds(runs(2), 2, Calibration(), finished=finished) == 10.0


def test_runs_on_other_data_tell_nothing() -> None:
    finished = Evidence([Finished("e" * 32, COST, 2.0, at_once=1.0)])
    assert seconds(runs(1), 1, Calibration(), finished=finished) is None


def finish(store: Store, done: Run, monkeypatch: pytest.MonkeyPatch, start: float, end: float) -> None:
    add_runs(store, "s", [done])
    folder = store.folder(done.run_id)
    monkeypatch.setattr("time.time", lambda: start)
    folder.begin()
    folder.write_result({**make_result(done), "duration_s": end - start})
    monkeypatch.setattr("time.time", lambda: end)
    folder.end(State.FINISHED)


def test_run_folders_tell_how_many_trained_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 to 10 s beside 0 to 20 s, half of which it had to itself."""
    store = Store(tmp_path)
    finish(store, run(0), monkeypatch, 0, 10)
    finish(store, run(1), monkeypatch, 0, 20)
    found = sorted(read_evidence(store, subject).runs, key=lambda known: known.epoch_s)
    assert [(known.epoch_s, known.at_once) for known in found] == [(2.0, 2.0), (4.0, 1.5)]
    assert found[0].cost == COST


def test_damaged_runs_and_those_of_other_hosts_tell_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    for seed in range(3):
        finish(store, run(seed), monkeypatch, 0, 10)
    (store.folder(run(0).run_id).path / "result.json").write_text("{")
    state = store.folder(run(1).run_id).path / "state.json"
    state.write_text(state.read_text().replace(socket.gethostname(), "elsewhere"))
    assert len(read_evidence(store, subject).runs) == 1


def test_runs_of_folds_train_less_and_are_scored_on_training_data() -> None:
    """Of 40 items, four folds leave 30 to train on and 10 to be scored on."""
    folds = Settings(subject.profile().override({"validation.folds": 4, "validation.fold": 1}).flat())
    whole = Settings(subject.profile().flat())
    assert subject.steps(folds, SIZE) == pytest.approx(0.75 * subject.steps(whole, SIZE))
    assert (subject.scored_items(folds, SIZE), subject.scored_items(whole, SIZE)) == (10, 20)


def test_finished_runs_of_fewer_steps_are_told_from() -> None:
    """An epoch of 2 s over 10 steps tells of one over 7.5, whose data are held out."""
    finished = Evidence([Finished(DATA.digest, COST, 2.0, at_once=1.0, epoch_steps=10.0)])
    assert finished.seconds_per_epoch(DATA.digest, COST, 7.5) == pytest.approx(1.5)
    assert finished.seconds_per_epoch(DATA.digest, COST) == 2.0
