"""Folds in a plan: each seed of each condition once for each, and no condition of its own."""

from collections import Counter
from pathlib import Path

import pytest

from ablate.design.folds import in_folds, without_fold
from ablate.design.runs import Run
from ablate.design.study import plan_study
from ablate.ground.errors import ConfigError
from ablate.mtl.data.folds import WantedFolds
from ablate.mtl.definition import subject
from ablate.subject.interface import Dataset

DATA = Dataset("toy", "d" * 32, Path("toy"))
BASE = in_folds(subject.profile(), subject, 3)


def runs(seeds: int = 2) -> list[Run]:
    return plan_study("s", subject, BASE, ["shuffle"], {"shuffle": ["none", "scene"]}, seeds=seeds).runs(DATA)


def test_each_seed_of_a_condition_has_each_fold_once() -> None:
    counts = Counter((run.name, run.seed, run.fold) for run in runs())
    assert counts == {
        (name, seed, fold): 1
        for name in ("baseline", "shuffle=scene")
        for seed in (0, 1)
        for fold in (1, 2, 3)
    }
    assert len({run.run_id for run in runs()}) == 12


def test_seeds_and_folds_are_no_conditions() -> None:
    assert len({run.condition_id for run in runs()}) == 2
    whole = plan_study("s", subject, subject.profile(), ["shuffle"], {"shuffle": ["none"]}, seeds=1).runs(
        DATA
    )
    assert {run.condition_id for run in whole}.isdisjoint(run.condition_id for run in runs())
    assert [(run.fold, run.n_folds) for run in whole] == [(None, 0)]


def test_every_beginning_of_a_plan_is_balanced() -> None:
    titles = [run.title for run in runs()]
    assert titles[:4] == [
        "baseline seed=0 fold=1",
        "shuffle=scene seed=0 fold=1",
        "baseline seed=0 fold=2",
        "shuffle=scene seed=0 fold=2",
    ]
    assert [run.seed for run in runs()] == sorted(run.seed for run in runs())


def test_a_run_tells_all_folds_of_its_seed() -> None:
    found = runs()
    own = [run.run_id for run in found if (run.name, run.seed) == ("baseline", 1)]
    one = next(run for run in found if run.run_id == own[2])
    assert [run.run_id for run in one.in_folds()] == own
    assert without_fold(subject, subject.configure(one.config)) == BASE.override({"seed": 1})


def test_folds_count_for_how_large_a_study_may_be() -> None:
    with pytest.raises(
        ConfigError, match=r"2 conditions x 20,000 seeds x 3 folds are more than the 100,000 runs"
    ):
        runs(seeds=20_000)


def test_the_data_are_asked_for_a_recording_for_every_fold() -> None:
    study = plan_study("s", subject, BASE, ["shuffle"], {}, seeds=1)
    assert WantedFolds(3) in study.expected
