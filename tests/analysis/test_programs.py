"""Studies of a program with a loss and an accuracy of no unit, in numbers that a reader can check by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from ablate.analysis import published, tables
from ablate.analysis.claims import judge
from ablate.analysis.compare import Comparison, compare
from ablate.analysis.published import published_table
from ablate.analysis.query import load_runs
from ablate.design.claims import Claim, StudyDetails
from ablate.record.rundir import State
from ablate.record.store import Store
from ablate.subject.metrics import Metric
from ablate.subject.scores import Matrix
from tests.analysis.programs import PROGRAM, add_condition, losses


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def compared(store: Store, **how: object) -> Comparison:
    return compare(load_runs(store, "s"), "s", **how)  # type: ignore[arg-type]


def test_a_loss_and_an_accuracy_side_by_side(store: Store) -> None:
    add_condition(store, "baseline", {}, losses(1.0, 1.2, 1.4))
    add_condition(store, "lr=0.01", {"lr": 0.01}, losses(0.5, 0.72, 0.94))  # less by 0.50, 0.48, 0.46
    comparison = compared(store)
    assert comparison.metrics == ("loss", "accuracy")
    lines = tables.terminal(comparison).splitlines()
    assert lines[0] == "study s: scores"
    assert lines[2].split() == ["loss", "accuracy"]
    assert lines[5].split() == ["baseline", "3", "1.200", "±", "0.200", "0.8800", "±", "0.0200"]
    # T_2 x 0.02 / sqrt(3) = 0.0497. The accuracy rises by a tenth of what the loss falls.
    assert lines[6].split() == [
        *("lr=0.01", "3", "0.720", "±", "0.220", "-0.480▼*", "[-0.530,", "-0.430]"),
        *("0.9280", "±", "0.0220", "+0.0480▲*", "[+0.0430,", "+0.0530]"),
    ]
    assert "| lr=0.01 | 3 | 0.720 ± 0.220 | -0.480▼\\* [-0.530, -0.430] |" in tables.markdown(comparison)
    assert r"$-0.480^{\downarrow*}\;[-0.530, -0.430]$" in tables.latex(comparison)


def test_units_stand_in_the_titles_where_they_differ(store: Store) -> None:
    card = replace(PROGRAM, declared=(Metric("loss", "min", "dB"), Metric("accuracy", unit="%")))
    add_condition(store, "baseline", {}, losses(1.0, 1.2), card=card)
    comparison = compared(store)
    lines = tables.terminal(comparison).splitlines()
    assert lines[2].split() == ["loss", "(dB)", "accuracy", "(%)"]
    assert lines[5].split()[2:] == ["1.100", "±", "0.141", "89.00", "±", "1.41"]
    assert tables.markdown(comparison).startswith("| condition | n | loss (dB) | accuracy (%) |\n")


def test_shares_of_a_matrix_are_in_per_cent_beside_numbers_without_a_unit(store: Store) -> None:
    matrix = Matrix(["a", "b"], [[6, 4], [1, 9]])
    add_condition(store, "baseline", {}, losses(1.0), matrices={"confusion": matrix})
    text = tables.terminal(compared(store, metrics=["loss", "confusion/a+b", "confusion_recall/b"]))
    assert [line.split() for line in text.splitlines() if line.startswith("baseline")] == [
        ["baseline", "1", "1.000", "25.00", "90.00"]
    ]
    assert "a with b (%)" in text


def test_a_score_that_a_run_stores_is_what_its_subject_says_it_is(store: Store) -> None:
    """A name such as a matrix would give, of a metric that the program printed itself."""
    matrix = Matrix(["a", "b"], [[6, 4], [1, 9]])
    scores = [{"loss": 1.0, "confusion/a/b": 12.0}]
    add_condition(store, "baseline", {}, scores, matrices={"confusion": matrix})
    text = tables.terminal(compared(store, metrics=["confusion/a/b"]))
    assert "12.00" in text
    assert "%" not in text


def test_published_numbers_without_a_unit_stand_as_they_are(store: Store) -> None:
    add_condition(store, "baseline", {}, losses(1.0, 1.2))
    details = StudyDetails(published={"baseline": {"loss": 1.05}})
    table = published_table(load_runs(store, "s"), "s", details, metrics=["loss"])
    lines = published.terminal(table).splitlines()
    assert lines[0] == "study s: scores"
    assert lines[5].split() == ["baseline", "2", "1.050", "1.100", "±", "0.141", "+0.050"]
    assert "percentage points" not in published.notes(table)[0]


# Claims on a metric of which less is better.

CLAIM = Claim("C", "a smaller step is better", "loss", ("lr=0.01",), ("baseline",))
# Differences of better minus worse: -0.10, -0.12, -0.14; the interval is -0.170 to -0.070.
WORSE, BETTER = (0.60, 0.72, 0.84), (0.5, 0.6, 0.7)


@pytest.mark.parametrize(
    ("better", "worse", "margin", "verdict", "end"),
    [
        (BETTER, WORSE, 0.0, "supported", "the 95 % CI lies below 0."),
        (BETTER, WORSE, 0.07, "supported", "the 95 % CI lies below -0.07."),
        (BETTER, WORSE, 0.08, "inconclusive", "it is not clear of -0.08; at these differences, about"),
        (BETTER, WORSE, 0.18, "refuted", "baseline lies above -0.18 (one-sided p = 0.018)."),
        (WORSE, BETTER, 0.0, "refuted", "baseline lies above 0 (one-sided p = 0.005)."),
    ],
)
def test_less_is_better(
    store: Store,
    better: tuple[float, ...],
    worse: tuple[float, ...],
    margin: float,
    verdict: str,
    end: str,
) -> None:
    add_condition(store, "baseline", {}, losses(*worse))
    add_condition(store, "lr=0.01", {"lr": 0.01}, losses(*better))
    (found,) = judge(load_runs(store, "s"), StudyDetails(claims=(replace(CLAIM, margin=margin),)))
    assert found.verdict == verdict
    sign = "-" if better is BETTER else "+"
    assert found.sentence.startswith(f"Loss of lr=0.01 minus that of baseline {sign}0.1200 [")
    assert f" (n = 3): {end}" in found.sentence
    assert "points" not in found.sentence


def test_the_unit_of_a_metric_stands_in_the_sentence(store: Store) -> None:
    card = replace(PROGRAM, declared=(Metric("loss", "min", "nats"),))
    add_condition(store, "baseline", {}, losses(*WORSE), card=card)
    add_condition(store, "lr=0.01", {"lr": 0.01}, losses(*BETTER), card=card)
    (found,) = judge(load_runs(store, "s"), StudyDetails(claims=(CLAIM,)))
    assert "baseline -0.1200 [-0.1697, -0.0703] nats (n = 3)" in found.sentence


def test_a_margin_of_an_error_rate_is_in_points(store: Store) -> None:
    card = replace(PROGRAM, declared=(Metric("loss", "min", "%"),))
    add_condition(store, "baseline", {}, losses(*WORSE), card=card)
    add_condition(store, "lr=0.01", {"lr": 0.01}, losses(*BETTER), card=card)
    (found,) = judge(load_runs(store, "s"), StudyDetails(claims=(replace(CLAIM, margin=0.05),)))
    assert found.sentence.endswith("-12.00 [-16.97, -7.03] points (n = 3): the 95 % CI lies below -5.")


# What makes one doubt that a change took effect.


def test_a_varied_setting_that_some_trainings_never_read_is_named(store: Store) -> None:
    add_condition(store, "baseline", {}, losses(1.0))
    add_condition(store, "dropout=0.5", {"dropout": 0.5}, losses(0.9), unread=["dropout", "lr"])
    add_condition(store, "dropout=0.9", {"dropout": 0.9}, losses(0.8), unread=["dropout"])
    assert compared(store).suspects == (
        "The training never read dropout in dropout=0.5; dropout=0.9: it cannot have had an effect there.",
    )  # lr is the same in all, and need not be read


def test_conditions_with_equal_numbers_are_named_together(store: Store) -> None:
    add_condition(store, "baseline", {}, losses(1.0, 1.1))
    add_condition(store, "dropout=0.5", {"dropout": 0.5}, losses(1.0, 1.1))
    add_condition(store, "lr=0.01", {"lr": 0.01}, losses(0.5, 0.6))
    add_condition(store, "lr=0.01 dropout=0.5", {"lr": 0.01, "dropout": 0.5}, losses(0.5, 0.6))
    comparison = compared(store)
    assert comparison.suspects == (
        "Every metric of every seed is the same in baseline; dropout=0.5: did the change take effect?",
        "Every metric of every seed is the same in lr=0.01; lr=0.01 dropout=0.5: did the change take effect?",
    )
    assert tables.notes(comparison)[-2:] == list(comparison.suspects)


def test_many_conditions_with_equal_numbers_are_counted(store: Store) -> None:
    for place in range(10):
        add_condition(store, f"lr={place}", {"lr": float(place)}, losses(1.0))
    (sentence,) = compared(store).suspects
    assert "lr=6; lr=7 and 2 more: did" in sentence


def test_nothing_is_suspect_where_everything_was_read_and_some_seed_differs(store: Store) -> None:
    add_condition(store, "baseline", {}, losses(1.0, 1.1))
    add_condition(store, "dropout=0.5", {"dropout": 0.5}, [*losses(1.0), *losses(1.2)])
    # One metric that differs is enough; and what has no seed in common cannot be equal.
    add_condition(store, "lr=0.01", {"lr": 0.01}, [{"loss": 1.0, "accuracy": 0.5}, State.FAILED])
    add_condition(store, "lr=0.001", {"lr": 0.001}, [State.FAILED, *losses(1.0)])
    comparison = compared(store)
    assert comparison.suspects == ()
    assert "take effect" not in tables.terminal(comparison)
