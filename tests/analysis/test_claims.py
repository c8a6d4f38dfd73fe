"""Claims judged on runs whose scores a reader can check by hand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ablate.analysis.claims import Verdict, judge
from ablate.analysis.intervals import power
from ablate.analysis.query import RunRecord
from ablate.design.claims import Claim, StudyDetails
from ablate.record.rundir import State
from ablate.subject.interface import Card
from ablate.subject.metrics import Metric
from ablate.subject.scores import Matrix

CLAIM = Claim("C", "a is better", "m", ("a",), ("b",))
CARD = Card("toy", declared=(Metric("m", unit="%"), Metric("error", "min", "%"), Metric("loss", "min")))
T_2 = 4.302652729911275  # t(0.975) with 2 degrees of freedom

Scores = Mapping[str, Sequence[float | State | None]]


def record(name: str, seed: int, score: float | State | None, metric: str = "m") -> RunRecord:
    """A run with one score, or in a state in which it has none."""
    finished = not isinstance(score, State)
    return RunRecord(
        run_id=f"{name}{seed}",
        condition_id=name,
        name=name,
        condition={},
        seed=seed,
        state=State.FINISHED if isinstance(score, float | None) else score,
        cause=None,
        dataset_name="toy",
        dataset_digest="d",
        config={"seed": seed},
        metrics={metric: score} if finished else {},
        duration_s=None,
        has_log=False,
        mlflow_run_id=None,
        subject=CARD,
    )


def judged(scores: Scores, claim: Claim = CLAIM) -> Verdict:
    """The verdict where condition -> its scores by seed."""
    records = [record(name, seed, value) for name, row in scores.items() for seed, value in enumerate(row)]
    (verdict,) = judge(records, StudyDetails(claims=(claim,)))
    return verdict


def test_an_interval_above_zero_supports() -> None:
    # Differences 0.10, 0.12, 0.14: mean 0.12, SD 0.02, half-width T_2 x 0.02 / sqrt(3) = 0.0497.
    verdict = judged({"a": [0.60, 0.72, 0.84], "b": [0.5, 0.6, 0.7]})
    (contrast,) = verdict.comparisons
    assert (verdict.verdict, verdict.seeds_needed) == ("supported", None)
    assert contrast.difference is not None
    assert contrast.difference.ci_low == pytest.approx(0.12 - T_2 * 0.02 / math.sqrt(3))
    assert verdict.sentence == (
        "M of a minus that of b +12.00 [+7.03, +16.97] points (n = 3): the 95 % CI lies above 0."
    )


def test_an_interval_below_zero_refutes() -> None:
    verdict = judged({"a": [0.5, 0.6, 0.7], "b": [0.60, 0.72, 0.84]})
    assert verdict.verdict == "refuted"
    assert verdict.sentence.endswith("b lies below 0 (one-sided p = 0.005).")


def test_an_interval_around_zero_is_inconclusive_and_says_what_would_decide() -> None:
    # Differences 0.00, 0.02, 0.04: half a spread from zero each side; mean = SD, an effect of 1.
    verdict = judged({"a": [0.50, 0.62, 0.74], "b": [0.5, 0.6, 0.7]})
    assert (verdict.verdict, verdict.seeds_needed) == ("inconclusive", 10)
    assert power(1.0, 10, 0.025) >= 0.8 > power(1.0, 9, 0.025)
    assert verdict.sentence.endswith(
        "it is not clear of 0; at these differences, about 10 seeds would support it."
    )


def test_where_the_difference_points_the_other_way_more_seeds_would_refute() -> None:
    verdict = judged({"a": [0.5, 0.6, 0.7], "b": [0.50, 0.62, 0.74]})
    assert (verdict.verdict, verdict.seeds_needed) == ("inconclusive", 10)
    assert "would refute it" in verdict.sentence


def test_no_difference_at_all_is_not_decided_by_any_number_of_seeds() -> None:
    verdict = judged({"a": [0.5, 0.6, 0.7], "b": [0.6, 0.6, 0.6]})
    assert (verdict.verdict, verdict.seeds_needed) == ("inconclusive", None)
    assert "not even 1,000 seeds" in verdict.sentence


def test_a_claim_needs_all_its_comparisons() -> None:
    claim = replace(CLAIM, worse=("b", "c"))
    scores: dict[str, list[float]] = {"a": [0.60, 0.72, 0.84], "b": [0.5, 0.6, 0.7]}
    assert judged({**scores, "c": [0.4, 0.5, 0.6]}, claim).verdict == "supported"
    verdict = judged({**scores, "c": [0.60, 0.70, 0.82]}, claim)
    assert verdict.verdict == "inconclusive"
    assert [contrast.outcome for contrast in verdict.comparisons] == ["for", "open"]
    assert ": c is not clear of 0" in verdict.sentence


def test_one_comparison_the_other_way_refutes_a_claim_of_several() -> None:
    claim = replace(CLAIM, worse=("b", "c"))
    verdict = judged({"a": [0.5, 0.6, 0.7], "b": [0.4, 0.48, 0.6], "c": [0.70, 0.81, 0.92]}, claim)
    assert verdict.verdict == "refuted"
    assert verdict.sentence.endswith("c lies below 0 (one-sided p < 0.001, adjusted for 2 comparisons).")


def test_refuting_by_one_of_several_asks_for_more() -> None:
    # Differences -0.04, -0.06, -0.09: one-sided p is 0.0256 / 2 = 0.0128, above 0.025 / 3.
    scores = {"a": [0.5, 0.6, 0.7], "b": [0.54, 0.66, 0.79]}
    assert judged(scores).verdict == "refuted"
    claim = replace(CLAIM, worse=("b", "c", "d"))
    assert judged({**scores, "c": scores["a"], "d": scores["a"]}, claim).verdict == "inconclusive"


def test_the_margin_is_what_the_interval_must_clear() -> None:
    scores = {"a": [0.60, 0.72, 0.84], "b": [0.5, 0.6, 0.7]}  # the interval is 0.07 to 0.17
    assert judged(scores, replace(CLAIM, margin=0.07)).verdict == "supported"
    assert judged(scores, replace(CLAIM, margin=0.08)).verdict == "inconclusive"
    assert judged(scores, replace(CLAIM, margin=0.18)).verdict == "refuted"


def test_where_less_is_better_the_bound_is_below_zero_in_the_metrics_own_unit() -> None:
    # Differences of -3.0, -3.2, -3.4: mean -3.2, SD 0.2, half-width T_2 x 0.2 / sqrt(3) = 0.50.
    scores = {"a": (1.0, 1.0, 1.0), "b": (4.0, 4.2, 4.4)}
    records = [
        record(name, seed, loss, "loss") for name, row in scores.items() for seed, loss in enumerate(row)
    ]
    claim = replace(CLAIM, metric="loss", margin=2)
    (verdict,) = judge(records, StudyDetails(claims=(claim,)))
    assert verdict.sentence == (
        "Loss of a minus that of b -3.200 [-3.697, -2.703] (n = 3): the 95 % CI lies below -2."
    )


def test_failed_and_pending_seeds_are_left_out_and_named() -> None:
    scores: Scores = {"a": [0.60, 0.72, 0.84, State.PENDING], "b": [0.5, 0.6, 0.7, 0.9, State.FAILED]}
    verdict = judged(scores)
    (contrast,) = verdict.comparisons
    assert (contrast.seeds, contrast.missing) == ((0, 1, 2), (3, 4))
    assert "(n = 3 of 5)" in verdict.sentence
    assert [(name, [m.seed for m in missing]) for name, missing in verdict.missing] == [
        ("a", [3]),
        ("b", [4]),
    ]


def test_every_difference_names_the_runs_behind_it() -> None:
    (contrast,) = judged({"a": [0.6, State.FAILED, 0.8], "b": [0.5, 0.6, 0.7]}).comparisons
    assert contrast.better_runs == ("a0", "a2")
    assert contrast.worse_runs == ("b0", "b2")


@pytest.mark.parametrize(
    "scores",
    [
        {},
        {"a": [0.5, 0.6]},
        {"a": [State.FAILED], "b": [0.5]},
        {"a": [None, None], "b": [0.5, 0.6]},
        {"a": [0.5, State.FAILED], "b": [State.FAILED, 0.6]},
    ],
)
def test_nothing_to_compare_is_no_data(scores: Scores) -> None:
    verdict = judged(scores)
    assert (verdict.verdict, verdict.seeds_needed) == ("no data", None)
    assert verdict.sentence == "No seed has m of both a and b."


def test_data_for_some_comparisons_cannot_support() -> None:
    verdict = judged({"a": [0.60, 0.72, 0.84], "b": [0.5, 0.6, 0.7]}, replace(CLAIM, worse=("b", "c")))
    assert verdict.verdict == "inconclusive"
    assert verdict.sentence.endswith(": no data yet for c.")


def test_one_seed_decides_nothing() -> None:
    verdict = judged({"a": [0.9], "b": [0.1]})
    assert (verdict.verdict, verdict.seeds_needed) == ("inconclusive", None)
    assert "one seed shows no spread" in verdict.sentence


def test_without_spread_six_seeds_decide_by_their_signs() -> None:
    # 1 / 2^5 = 0.031 is above 0.025, 1 / 2^6 = 0.016 below.
    five = judged({"a": [1.0] * 5, "b": [0.25] * 5})
    assert (five.verdict, five.seeds_needed) == ("inconclusive", 6)
    assert judged({"a": [1.0] * 6, "b": [0.25] * 6}).verdict == "supported"
    assert judged({"a": [0.25] * 6, "b": [1.0] * 6}).verdict == "refuted"
    assert judged({"a": [1.0] * 6, "b": [1.0] * 6}).verdict == "inconclusive"


def test_a_condition_can_be_compared_with_itself_in_another_metric() -> None:
    def confused(seed: int, pairs: tuple[int, int]) -> RunRecord:
        """Of ten clips each of x, y and z, so many of x are taken for y, and so many of y for z."""
        xy, yz = pairs
        matrix = Matrix(["x", "y", "z"], [[10 - xy, xy, 0], [0, 10 - yz, yz], [0, 0, 10]])
        return replace(record("a", seed, None), matrices={"scene_confusion": matrix.to_json()})

    claim = Claim(
        "C7", "", "scene_confusion/x+y", ("a",), than=("scene_confusion/y+z", "scene_confusion/x+z")
    )
    records = [confused(seed, pairs) for seed, pairs in enumerate([(5, 1), (6, 2), (6, 1)])]
    (verdict,) = judge(records, StudyDetails(claims=(claim,)))
    assert verdict.verdict == "supported"
    # (0.5 - 0.1) / 2, (0.6 - 0.2) / 2 and (0.6 - 0.1) / 2
    difference = verdict.comparisons[0].difference
    assert difference is not None
    assert difference.mean == pytest.approx((0.2 + 0.2 + 0.25) / 3)
    assert verdict.sentence.startswith("Scene confusion x with y of a minus that of y with z +21.67 [")


def test_namesakes_are_compared_within_their_data_set() -> None:
    here = [
        record(name, seed, 0.5 + 0.1 * (name == "a") + 0.01 * seed * seed) for name in "ab" for seed in (0, 1)
    ]
    there = [
        replace(run, condition_id=f"{run.name} there", dataset_name="other", dataset_digest="e")
        for run in here
    ]
    (verdict,) = judge([*here, *there], StudyDetails(claims=(CLAIM,)))
    assert [(contrast.better, contrast.worse) for contrast in verdict.comparisons] == [
        ("a [data=toy]", "b [data=toy]"),
        ("a [data=other]", "b [data=other]"),
    ]


@pytest.mark.parametrize("n_worse", [1, 3])
@pytest.mark.parametrize("n_seeds", [3, 5, 10])
def test_without_any_effect_few_claims_are_decided(n_worse: int, n_seeds: int) -> None:
    """At most 5 % plus three standard errors of the simulation; comparisons share their better side."""
    rng = np.random.default_rng(n_seeds)
    studies = 1500
    worse = tuple("bcd"[:n_worse])
    claim = replace(CLAIM, worse=worse)
    verdicts = [
        judged(dict(zip(("a", *worse), scores, strict=True)), claim).verdict
        for scores in (0.4 + 0.02 * rng.standard_normal((studies, 1 + n_worse, n_seeds))).tolist()
    ]
    error = 3 * math.sqrt(0.05 * 0.95 / studies)
    assert np.mean([verdict != "inconclusive" for verdict in verdicts]) <= 0.05 + error
    assert np.mean([verdict == "supported" for verdict in verdicts]) <= 0.025 + error


def test_one_comparison_without_effect_keeps_a_claim_from_being_supported() -> None:
    """The worst case of a claim of three: two true by far, one without any effect."""
    rng = np.random.default_rng(7)
    studies = 1500
    claim = replace(CLAIM, worse=("b", "c", "d"))
    scores = 0.4 + 0.02 * rng.standard_normal((studies, 4, 5))
    scores[:, 2:] -= 0.3
    verdicts = [judged(dict(zip("abcd", study, strict=True)), claim).verdict for study in scores.tolist()]
    assert np.mean([verdict == "supported" for verdict in verdicts]) <= 0.025 + 3 * math.sqrt(0.025 / studies)


def test_the_seeds_needed_do_decide() -> None:
    """Studies of as many seeds as an effect of one standard deviation asks for: 80 % find it."""
    rng = np.random.default_rng(11)
    studies = 1000
    differences = 0.02 + 0.02 * rng.standard_normal((studies, 10))
    found = [judged({"a": study, "b": [0.0] * 10}).verdict == "supported" for study in differences.tolist()]
    assert np.mean(found) == pytest.approx(power(1.0, 10, 0.025), abs=3 * math.sqrt(0.8 * 0.2 / studies))


def test_a_store_without_finished_runs_is_judged_too(tmp_path: Path) -> None:
    from ablate.analysis.query import load_runs
    from ablate.record.store import Store
    from tests.fabricate import add_runs, make_run

    store = Store(tmp_path)
    add_runs(store, "s", [make_run("a"), make_run("b", 0, {"grl.position": "S1"})])
    (verdict,) = judge(load_runs(store, "s"), StudyDetails(claims=(CLAIM,)))
    assert verdict.verdict == "no data"
