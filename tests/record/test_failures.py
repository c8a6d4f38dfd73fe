"""Failed runs in groups: what they failed of, which runs they are, and in which order they are told."""

from pathlib import Path

from ablate.ground.failures import Failure, FailureKind
from ablate.record.failures import FailedRun, grouped, members, without_marks
from ablate.record.rundir import RunFolder, State, Status

SHAPES = Failure(FailureKind.ERROR, "ValueError: shapes (3,) and (4,)", "train.py:8 in step")


def failed(
    failure: Failure | None = SHAPES,
    ended_at: float | None = 1.0,
    *,
    name: str = "lr=0.1",
    seed: int = 0,
    fold: int | None = None,
    cause: str | None = "it failed",
) -> FailedRun:
    folder = RunFolder(Path("0123456789abcdef"), name, {}, seed, fold)
    return FailedRun(folder, Status(State.FAILED, cause, ended_at=ended_at, failure=failure))


def test_runs_that_failed_of_the_same_thing_are_one_group_the_last_one_first() -> None:
    moved = Failure(FailureKind.ERROR, "ValueError: shapes (5,) and (6,)", "train.py:9 in step")
    runs = [failed(ended_at=2.0), failed(moved, 3.0), failed(ended_at=None)]
    (group,) = grouped(runs)
    assert [run.status.ended_at for run in group.runs] == [3.0, 2.0, None]
    assert (group.kind, group.where) == (FailureKind.ERROR, "train.py:9 in step")
    assert group.message == "ValueError: shapes (5,) and (6,)"
    assert not group.is_same_everywhere
    assert grouped([runs[0], runs[2]])[0].is_same_everywhere


def test_the_group_of_the_most_runs_comes_first_and_of_as_many_the_last_failure() -> None:
    memory, disk = (Failure(kind, "no") for kind in (FailureKind.MEMORY, FailureKind.MACHINE))
    runs = [failed(memory, 5.0), failed(ended_at=1.0), failed(disk, 9.0), failed(ended_at=2.0)]
    kinds = [group.kind for group in grouped(runs)]
    assert kinds == [FailureKind.ERROR, FailureKind.MACHINE, FailureKind.MEMORY]


def test_without_a_record_of_the_failure_the_cause_tells() -> None:
    (group,) = grouped([failed(None, cause="CUDA out of memory")])
    assert (group.kind, group.message, group.where) == (FailureKind.MEMORY, "CUDA out of memory", None)
    (group,) = grouped([failed(None, cause=None)])
    assert (group.kind, group.message) == (FailureKind.ERROR, "no cause is recorded")


def test_members_are_told_condition_by_condition() -> None:
    seeds = [2, 0, 1, 5]
    runs = [failed(seed=seed) for seed in seeds] + [failed(name="lr=0.2", seed=3), failed(name="")]
    assert members(runs) == {"lr=0.1": "seeds 0-2, 5", "lr=0.2": "seed 3", "0123456789abcdef": "seed 0"}


def test_of_folds_those_of_each_seed_are_told() -> None:
    runs = [failed(seed=seed, fold=fold) for seed, fold in ((1, 3), (0, 4), (0, 1), (0, 2))]
    assert members(runs) == {"lr=0.1": "seed 0 folds 1-2, 4; seed 1 fold 3"}


def test_lines_that_only_underline_are_left_out_of_a_log() -> None:
    assert without_marks(["x = f(y)", "    ~^^~", "", "x ~ y"]) == ["x = f(y)", "x ~ y"]
