"""Looks at a study whose seeds grow: which are counted, and what they would have decided."""

from dataclasses import replace
from pathlib import Path

import pytest

from ablate.analysis.claims import judge
from ablate.analysis.compare import compare
from ablate.analysis.looked import Looked, count_look, remark, seeds_of_comparison, seeds_of_verdicts
from ablate.design.claims import Claim, StudyDetails
from ablate.record.decision import decision_file
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.analysis.test_claims import record

CLAIM = Claim("C", "a is better", "m", ("a",), ("b",))
DETAILS = StudyDetails(claims=(CLAIM, Claim("none", "c is better", "m", ("c",), ("b",))))
# Differences of 0.10, 0.12, 0.14, 0.16: more than any level for these looks asks for.
SCORES = {"a": [0.60, 0.72, 0.84, 0.96], "b": [0.5, 0.6, 0.7, 0.8]}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.study_folder("s").mkdir(parents=True)
    return store


def looked(store: Store, n: int) -> object:
    """What is said of a look at the claims over the first n seeds."""
    records = [record(name, seed, row[seed]) for name, row in SCORES.items() for seed in range(n)]
    return remark(store, "s", records, DETAILS, seeds_of_verdicts(judge(records, DETAILS)))


def test_verdicts_are_over_the_seeds_of_their_comparisons() -> None:
    records = [record(name, seed, row[seed]) for name, row in SCORES.items() for seed in range(3)]
    assert seeds_of_verdicts(judge(records, DETAILS)) == {"a": 3, "b": 3, "c": 0}


def test_a_condition_in_several_comparisons_is_shown_over_the_most_seeds() -> None:
    scores = {"a": 3, "b": 2, "c": 3, "d": 1}  # finished seeds
    records = [record(name, seed, 0.5 + seed) for name, n in scores.items() for seed in range(n)]
    details = StudyDetails(claims=(Claim("C", "a is better", "m", ("a",), ("b", "c", "d")),))
    shown = seeds_of_verdicts(judge(records, details))
    assert shown == {"a": 3, "b": 2, "c": 3, "d": 1}


def test_a_table_shows_its_baseline_over_the_seeds_of_the_others() -> None:
    records = [record(name, seed, row[seed]) for name, row in SCORES.items() for seed in range(3)]
    comparison = compare([*records, record("c", 0, State.FAILED)], "s", "b")
    assert seeds_of_comparison(comparison) == {"a": 3, "b": 3, "c": 0}


def test_the_first_look_and_the_same_again_are_not_spoken_of(store: Store) -> None:
    assert looked(store, 2) is None
    assert looked(store, 2) is None


def test_a_look_at_more_seeds_errs_more_often(store: Store) -> None:
    looked(store, 2)
    found = looked(store, 4)
    assert isinstance(found, Looked)
    assert found.seeds == (2, 4)
    assert 0.05 < found.error < 0.10  # each of two looks errs in 5 %
    assert found.rulings == {"C": "supported", "none": "undecided"}
    assert "Looked at with 2, then 4 seeds: a difference without any effect has had p < 0.05" in found.note


def test_a_look_decides_by_the_margin_of_the_claim(store: Store) -> None:
    far = replace(DETAILS, claims=(CLAIM, replace(CLAIM, id="by far", margin=0.5)))
    records = [record(name, seed, row[seed]) for name, row in SCORES.items() for seed in range(4)]
    remark(store, "s", records, far, {"a": 3})
    found = remark(store, "s", records, far, {"a": 4})
    assert isinstance(found, Looked)
    assert found.rulings == {"C": "supported", "by far": "refuted"}


def test_one_seed_and_a_condition_that_is_gone_are_no_looks(store: Store) -> None:
    records = [record("a", 0, 0.5)]
    assert count_look(store, "s", records, {"a": 1}) == ()
    assert count_look(store, "s", records, {"gone": 2}) == ()
    assert count_look(store, "s", records, {"a": 2}) == (2,)
    assert count_look(store, "s", records, {"a": 4}) == (2, 4)


def test_the_condition_that_was_looked_at_most_often_counts(store: Store) -> None:
    records = [record("a", 0, 0.5), record("b", 0, 0.5)]
    count_look(store, "s", records, {"a": 2})
    assert count_look(store, "s", records, {"a": 3, "b": 9}) == (2, 3)


def test_a_damaged_decision_does_not_stop_a_look(store: Store) -> None:
    decision_file(store, "s").write_text("{")
    looked(store, 2)
    assert isinstance(looked(store, 4), Looked)
