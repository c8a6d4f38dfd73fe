import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate.analysis.compare import Comparison, ConditionRow, compare, group_runs
from ablate.analysis.query import load_runs
from ablate.design.runs import Run
from ablate.ground.errors import ConfigError, StudyError
from ablate.mtl.config import PROFILES
from ablate.record.rundir import State
from ablate.record.store import Store
from ablate.subject.interface import Dataset
from tests.fabricate import DATASET, add_runs, fabricate_run, make_run

T_2 = 4.302652729911275  # t(0.975) with 2 degrees of freedom
S1 = {"grl.position": "S1"}
FAKE = {"labels.shuffle": "scene"}


class Lab:
    """A store in which a test puts the scores it needs."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)

    def add(self, name: str, settings: dict[str, Any], scores: list[Any], **how: Any) -> None:
        """One run a seed: a number is its scene micro F, a state is that of a run without scores."""
        for seed, score in enumerate(scores):
            run = make_run(name, seed, settings, settings, **how)
            if isinstance(score, State):
                fabricate_run(self.store, run, state=score)
            else:
                metrics = score if isinstance(score, dict) else {"scene_micro_f": score}
                fabricate_run(self.store, run, metrics=metrics)
            self.plan(run)

    def plan(self, run: Run) -> None:
        add_runs(self.store, "s", [run])

    def compare(self, **how: Any) -> Comparison:
        return compare(load_runs(self.store, "s"), "s", **how)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "store")


def row(comparison: Comparison, name: str) -> ConditionRow:
    return next(row for row in comparison.conditions if row.name == name)


def test_means_spreads_and_paired_differences_by_hand(lab: Lab) -> None:
    lab.add("baseline", {}, [0.80, 0.84, 0.88])
    lab.add("grl_pos=S1", S1, [0.70, 0.72, 0.74])  # differences: -0.10, -0.12, -0.14
    cell = row(lab.compare(), "grl_pos=S1").metrics["scene_micro_f"]
    assert cell is not None
    assert cell.difference is not None
    assert cell.summary.mean == pytest.approx(0.72)
    assert cell.summary.sd == pytest.approx(0.02)
    assert cell.difference.mean == pytest.approx(-0.12)
    assert cell.difference.ci_low == pytest.approx(-0.12 - T_2 * 0.02 / math.sqrt(3))
    assert cell.difference.direction == -1


def test_the_baseline_comes_first_and_has_no_difference(lab: Lab) -> None:
    lab.add("grl_pos=S1", S1, [0.7])
    lab.add("baseline", {}, [0.8])
    comparison = lab.compare()
    assert [row.name for row in comparison.conditions] == ["baseline", "grl_pos=S1"]
    cell = comparison.conditions[0].metrics["scene_micro_f"]
    assert cell is not None
    assert cell.difference is None


def test_p_values_are_adjusted_over_all_conditions_and_metrics(lab: Lab) -> None:
    def both(scene: float, event: float) -> dict[str, float]:
        return {"scene_micro_f": scene, "event_micro_f": event}

    lab.add("baseline", {}, [both(0.8, 0.4), both(0.8, 0.4)])
    lab.add("grl_pos=S1", S1, [both(0.70, 0.30), both(0.71, 0.31)])
    lab.add("shuffle=scene", FAKE, [both(0.5, 0.39), both(0.6, 0.42)])
    cells = [cell for row in lab.compare().conditions[1:] for cell in row.metrics.values() if cell]
    smallest = min(cells, key=lambda cell: cell.difference.p or 1 if cell.difference else 1)
    assert smallest.difference is not None
    assert smallest.difference.p is not None
    assert len(cells) == 4
    assert smallest.p_holm == pytest.approx(4 * smallest.difference.p)


def test_missing_seeds_are_named_and_not_averaged_over(lab: Lab) -> None:
    lab.add("baseline", {}, [0.8, 0.8, 0.9])
    lab.add("grl_pos=S1", S1, [0.7, State.FAILED, State.INTERRUPTED])
    lab.plan(make_run("grl_pos=S1", 3, S1, S1))
    found = row(lab.compare(), "grl_pos=S1")
    assert found.seeds == (0,)
    assert [(missing.seed, str(missing.state)) for missing in found.missing] == [
        (1, "failed"),
        (2, "interrupted"),
        (3, "pending"),
    ]
    assert found.n_planned == 4


def test_a_seed_that_the_baseline_lacks_is_in_the_mean_and_not_in_the_difference(lab: Lab) -> None:
    lab.add("baseline", {}, [0.8, State.FAILED, 0.9])
    lab.add("grl_pos=S1", S1, [0.7, 0.1, 0.8])
    found = row(lab.compare(), "grl_pos=S1")
    cell = found.metrics["scene_micro_f"]
    assert cell is not None
    assert cell.difference is not None
    assert (cell.summary.n, cell.difference.n) == (3, 2)
    assert cell.difference.mean == pytest.approx(-0.1)
    assert found.unpaired == (1,)


def test_a_condition_without_a_finished_run_stays_in_the_table(lab: Lab) -> None:
    lab.add("baseline", {}, [0.8])
    lab.add("grl_pos=S1", S1, [State.FAILED])
    found = row(lab.compare(), "grl_pos=S1")
    assert (found.seeds, found.metrics) == ((), {"scene_micro_f": None})


def test_an_undefined_score_is_left_out_and_named(lab: Lab) -> None:
    lab.add("baseline", {}, [0.8, None, 0.6])
    cell = row(lab.compare(), "baseline").metrics["scene_micro_f"]
    assert cell is not None
    assert (cell.summary.n, cell.summary.mean, cell.undefined) == (2, pytest.approx(0.7), (1,))


def test_a_metric_without_any_value_is_not_shown_unless_asked_for(lab: Lab) -> None:
    lab.add("baseline", {}, [{"scene_micro_f": 0.8, "event_micro_f": None, "event_f/car": 0.1}])
    assert lab.compare().metrics == ("scene_micro_f",)
    assert lab.compare(metrics=["event_f/car", "event_micro_f"]).metrics == ("event_f/car", "event_micro_f")
    with pytest.raises(ConfigError, match="unknown metric 'event_f/cra'; did you mean 'event_f/car'"):
        lab.compare(metrics=["event_f/cra"])


def test_a_run_that_equals_the_baseline_in_everything_is_noticed(lab: Lab) -> None:
    lab.add("baseline", {}, [0.8, 0.7])
    lab.add("kernels=plain", {"kernels": "plain"}, [0.8, 0.7])
    lab.add("grl_pos=S1", S1, [0.8, 0.6])
    assert [row.identical for row in lab.compare().conditions] == [False, True, False]


def test_nothing_finished_is_an_error_that_says_how_far_it_is(lab: Lab) -> None:
    with pytest.raises(StudyError, match="has no runs"):
        compare([], "s")
    lab.add("baseline", {}, [State.FAILED, State.PENDING, State.PENDING])
    with pytest.raises(StudyError, match=r"no run has finished yet \(1 failed, 2 pending\)"):
        lab.compare()


def test_another_condition_can_be_the_baseline(lab: Lab) -> None:
    lab.add("single", {"tasks": "scene"}, [0.7])
    lab.add("mtl", {}, [0.8])
    assert lab.compare().baseline is None
    comparison = lab.compare(baseline="mtl")
    assert (comparison.baseline, [row.name for row in comparison.conditions]) == ("mtl", ["mtl", "single"])
    with pytest.raises(StudyError, match="no condition 'mlt'; did you mean 'mtl'"):
        lab.compare(baseline="mlt")


def test_namesakes_get_the_settings_that_differ_and_each_its_own_baseline(lab: Lab) -> None:
    narrow = {"model.width": 0.125}
    lab.add("baseline", {}, [0.9])
    lab.add("grl_pos=S1", S1, [0.8])
    lab.add("baseline", narrow, [0.6])
    lab.add("grl_pos=S1", {**narrow, **S1}, [0.4])
    lab.add("shuffle=scene", {**narrow, **FAKE}, [0.5])
    assert [(row.name, row.baseline) for row in lab.compare().conditions] == [
        ("baseline [model.width=1]", "baseline [model.width=1]"),
        ("grl_pos=S1 [model.width=1]", "baseline [model.width=1]"),
        ("baseline [model.width=0.125]", "baseline [model.width=0.125]"),
        ("grl_pos=S1 [model.width=0.125]", "baseline [model.width=0.125]"),
        ("shuffle=scene", "baseline [model.width=0.125]"),
    ]


def test_namesakes_of_two_profiles_are_told_apart_by_the_profile(lab: Lab) -> None:
    for name in PROFILES:
        lab.add("baseline", PROFILES[name], [0.5])
    assert [row.name for row in lab.compare().conditions] == [
        "baseline [profile=quick]",
        "baseline [profile=paper]",
    ]


def test_data_sets_are_never_compared_with_each_other(lab: Lab) -> None:
    other = Dataset("street", "e2" * 8, Path("data/street"))
    lab.add("baseline", {}, [0.9])
    lab.add("grl_pos=S1", S1, [0.8], dataset=other)
    found = row(lab.compare(), "grl_pos=S1")
    cell = found.metrics["scene_micro_f"]
    assert found.baseline is None
    assert cell is not None
    assert cell.difference is None


@pytest.mark.parametrize(
    ("name", "expected"), [("street", "data=street"), (DATASET.name, f"data={DATASET.name}@e2e2e2e2")]
)
def test_namesakes_on_two_data_sets_are_told_apart(lab: Lab, name: str, expected: str) -> None:
    lab.add("baseline", {}, [0.9])
    lab.add("baseline", {}, [0.8], dataset=replace(DATASET, name=name, digest="e2" * 8))
    assert group_runs(load_runs(lab.store, "s"))[1].name == f"baseline [{expected}]"
