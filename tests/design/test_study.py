"""What a user types, resolved; and what is wrong with it, all at once."""

from pathlib import Path

import pytest

from ablate.design.study import parse_levels, parse_settings, plan_study
from ablate.ground.errors import ConfigError
from ablate.mtl.definition import subject
from ablate.subject.interface import Dataset

BASE = subject.profile("quick")
DATA = Dataset("tiny", "d" * 64, Path("somewhere"))


def test_runs_come_seed_by_seed() -> None:
    runs = plan_study("s", subject, BASE, ["shuffle"], {}, seeds=2).runs(DATA)
    assert [(run.name, run.seed) for run in runs] == [
        ("baseline", 0),
        ("shuffle=scene", 0),
        ("shuffle=event", 0),
        ("baseline", 1),
        ("shuffle=scene", 1),
        ("shuffle=event", 1),
    ]
    assert len({run.run_id for run in runs}) == 6


def test_seeds_can_be_named() -> None:
    assert plan_study("s", subject, BASE, ["shuffle"], {"seed": ["7", "3"]}).seeds == [7, 3]


def test_seeds_are_not_given_twice() -> None:
    with pytest.raises(ConfigError, match="contradict each other"):
        plan_study("s", subject, BASE, ["seed"], {}, seeds=2)


def test_a_study_that_is_extended_keeps_its_names() -> None:
    base = BASE.override({"grl.position": "S1"})
    study = plan_study("s", subject, base, [], {"lambda": ["1", "10"]}, reference=BASE)
    assert [condition.name for condition in study.conditions] == ["grl_pos=S1", "grl_pos=S1 lambda=10"]


def test_the_baseline_is_the_base_however_it_was_set() -> None:
    base = BASE.override({"grl.position": "S1"})
    names = [condition.name for condition in plan_study("s", subject, base, ["lambda"], {}).conditions]
    assert names == ["lambda=0.1", "baseline", "lambda=10"]


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        plan_study("s", subject, BASE, ["grl_po", "optim.lr"], {"lambda": ["-1", "x"], "shuffle": ["scen"]})
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "unknown factor 'grl_po'; did you mean 'grl_pos'?",
        "factor 'optim.lr' has no default levels; add --levels optim.lr=A,B",
        "factor 'lambda'",
        "factor 'lambda'",
        "factor 'shuffle'",
    ]
    assert "did you mean 'scene'" in caught.value.problems[-1]


def test_a_factor_under_two_names_is_refused() -> None:
    with pytest.raises(ConfigError, match="'lambda' is given twice"):
        plan_study("s", subject, BASE, ["lambda"], {"grl.strength": ["1"]})


def test_levels_given_several_times_add_up() -> None:
    assert parse_levels(["lambda=0, 1", "lambda=10", "alpha=1"]) == {
        "lambda": ["0", "1", "10"],
        "alpha": ["1"],
    }


@pytest.mark.parametrize("text", ["lambda", "lambda=", "=1", "lambda=,"])
def test_levels_without_a_name_or_value_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="write FACTOR=LEVEL"):
        parse_levels([text])


def test_the_last_setting_of_a_name_wins() -> None:
    assert parse_settings(["optim.lr=1", "optim.lr=0.5"]) == {"optim.lr": "0.5"}


@pytest.mark.parametrize("text", ["optim.lr", "optim.lr=", "=1"])
def test_settings_without_a_name_or_value_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="write NAME=VALUE"):
        parse_settings([text])


def test_more_runs_than_can_be_planned_are_refused_before_they_are_listed() -> None:
    numbers = [str(number) for number in range(1, 101)]
    names = ("alpha", "beta", "lambda")
    with pytest.raises(ConfigError, match="1,000,000 conditions x 3 seeds are more than the 100,000 runs"):
        plan_study("s", subject, BASE, [], dict.fromkeys(names, numbers))
    with pytest.raises(ConfigError, match="1,000,000,000 seeds"):
        plan_study("s", subject, BASE, ["grl_pos"], {}, seeds=10**9)
    one_at_a_time = plan_study("s", subject, BASE, [], dict.fromkeys(names, numbers), design="ofat")
    assert len(one_at_a_time.conditions) == 1 + 100 + 99  # beta = 1 is the base, and lambda is inert
