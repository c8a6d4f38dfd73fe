"""From a plan and scores to findings, look by look."""

import numpy as np
import pytest

from ablate.analysis.deciding import (
    make_plan,
    next_look,
    open_claims,
    open_conditions,
    rule_of,
    scores_of,
    seeds_spent,
    take_look,
    with_levels,
)
from ablate.design.claims import Claim
from ablate.record.decision import Finding, Plan
from tests.analysis.test_claims import record

IDS = {"base": "b", "one": "o", "two": "t", "idle": "i"}
C1 = Claim("C1", "one is better", "score", ("one",), ("base",))
C2 = Claim("C2", "two is better", "score", ("two",), ("base",), interest=0.5)


def plan(*claims: Claim, looks: tuple[int, ...] = (5,), method: str = "group sequential") -> Plan:
    return with_levels(make_plan("s", "d", claims, IDS, method, looks, 0.05))  # type: ignore[arg-type]


def scores(**by_condition: list[float]) -> dict[tuple[str, str], dict[int, float]]:
    return {(IDS[name], "score"): dict(enumerate(values)) for name, values in by_condition.items()}


def looked(
    plan: Plan, n: int, scores: dict[tuple[str, str], dict[int, float]], sign: int = 1, **before: Finding
) -> dict[str, Finding]:
    return take_look(plan, rule_of(plan), n, scores, {"score": sign}, before)


def test_a_plan_names_the_conditions_of_claims_only() -> None:
    assert plan(C1, C2).conditions == {"b": "base", "o": "one", "t": "two"}
    assert plan(C1).conditions == {"b": "base", "o": "one"}
    assert plan(C1).most_runs == 10


def test_metrics_of_one_condition_are_compared_with_each_other() -> None:
    claim = Claim("C3", "hits over misses", "hits", ("one",), than=("misses",))
    (found,) = plan(claim).claims[0].comparisons
    assert (found.better, found.worse, found.metric, found.than) == ("o", "o", "hits", "misses")


def test_a_condition_without_runs_has_no_scores() -> None:
    records = [record("b", seed, value, metric="score") for seed, value in enumerate((0.5, None, 0.7))]
    assert scores_of(plan(C1), records) == {("b", "score"): {0: 0.5, 2: 0.7}, ("o", "score"): {}}


ZERO = [0.0] * 5
RISING = [1.0, 2.0, 3.0, 4.0, 5.0]  # p = 0.0132, as in test_sequential


def test_a_look_uses_its_seeds_only() -> None:
    shown = looked(plan(C1), 5, scores(base=[*ZERO, 99.0], one=[*RISING, 0.0]))["C1"]
    assert (shown.verdict, shown.n, shown.level) == ("supported", 5, 0.05)
    assert shown.p == pytest.approx(0.01324, abs=1e-5)
    # t(0.975, 4) = 2.776, times 1.581 / sqrt(5)
    (interval,) = shown.intervals
    assert (interval.mean, interval.low, interval.high) == pytest.approx((3, 1.037, 4.963), abs=1e-3)


def test_where_less_is_better_a_fall_supports_and_is_shown_as_one() -> None:
    shown = looked(plan(C1), 5, scores(base=RISING, one=ZERO), sign=-1)["C1"]
    assert shown.verdict == "supported"
    (interval,) = shown.intervals
    assert (interval.mean, interval.low, interval.high) == pytest.approx((-3, -4.963, -1.037), abs=1e-3)


def test_a_claim_that_lacks_a_seed_waits_and_the_others_are_tested_as_one_of_two() -> None:
    known = scores(base=ZERO, one=RISING, two=RISING)
    del known["t", "score"][3]
    shown = looked(plan(C1, C2), 5, known)
    assert shown["C2"] == Finding(verdict="undecided", n=5, waits_for={"t": [3]})
    assert (shown["C1"].verdict, shown["C1"].level) == ("supported", 0.025)
    assert open_claims(plan(C1, C2), shown) == []
    assert seeds_spent(plan(C1, C2), shown) == {"b": 5, "o": 5, "t": 5}


def test_what_has_ended_is_looked_at_no_more_and_trains_nothing() -> None:
    both = plan(C1, C2)
    ended = Finding(verdict="supported", n=5)
    assert [claim.id for claim in open_claims(both, {"C1": ended})] == ["C2"]
    assert open_conditions(both, {"C1": ended}) == ["b", "t"]
    shown = looked(both, 5, scores(base=ZERO, one=ZERO, two=RISING), C1=ended)
    assert list(shown) == ["C2"]
    assert shown["C2"].level == 0.05  # the last one that is left
    refuted = Finding(verdict="refuted", n=5)
    assert looked(both, 5, scores(base=ZERO, one=ZERO, two=RISING), C1=refuted)["C2"].level == 0.05
    small = Finding(verdict="too small to matter", n=5)
    assert looked(both, 5, scores(base=ZERO, one=RISING, two=ZERO), C2=small)["C1"].level == 0.025


def test_seeds_that_all_agree_are_marked() -> None:
    assert looked(plan(C1), 5, scores(base=ZERO, one=[1.0] * 5))["C1"].is_constant


def test_looks_follow_the_plan_or_keep_the_workers_busy() -> None:
    fixed = plan(C1, looks=(5, 10, 20))
    assert [next_look(fixed, n, at_once=7) for n in (0, 5, 10, 20)] == [5, 10, 20, None]
    free = plan(C1, looks=tuple(range(3, 21)), method="anytime-valid")
    assert [next_look(free, n, at_once=4) for n in (0, 3, 7, 19, 20)] == [3, 7, 11, 20, None]
    assert next_look(free, 3, at_once=4, taken=[3, 5, 9]) == 5


def test_claims_without_an_effect_are_decided_as_seldom_as_was_asked() -> None:
    """Two claims that share a condition, 1000 studies; 5 % and three standard errors."""
    rng = np.random.default_rng(1)
    both = plan(C1, C2, looks=(3, 6))
    wrong = 0
    for _ in range(1000):
        base, one, two = rng.standard_normal((3, 6)).tolist()
        found: dict[str, Finding] = {}
        for n in (3, 6):
            found |= looked(both, n, scores(base=base, one=one, two=two), **found)
        wrong += any(each.verdict in ("supported", "refuted") for each in found.values())
    assert 0.02 < wrong / 1000 < 0.05 + 3 * 0.007
