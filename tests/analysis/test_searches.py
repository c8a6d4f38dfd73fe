"""What a search has found, on scores that can be checked by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from ablate.analysis.intervals import Difference
from ablate.analysis.searches import (
    Luck,
    Search,
    Tried,
    best,
    front,
    hypervolumes,
    read_search,
    remark,
    table_of_luck,
    tally,
    terminal,
)
from ablate.record.rundir import State
from ablate.record.searches import SearchFolder, Trial
from ablate.record.store import Store
from ablate.subject.interface import Card
from ablate.subject.metrics import Metric
from tests.analysis.programs import add_condition, losses
from tests.schedule.test_search import plan

CARD = Card("mine", declared=(Metric("score", unit="%"), Metric("size", "min", unit="MB")))


def one(*values: float | None) -> Search:
    """A search by one score; None was pruned."""
    tried = tuple(
        Tried(Trial(number, f"lr={number}" if number else "baseline", {}), "scored", (value,))
        if value is not None
        else Tried(Trial(number, f"lr={number}", {}), "pruned")
        for number, value in enumerate(values)
    )
    return Search("s", plan(), CARD, tried)


def two(*values: tuple[float, float]) -> Search:
    """A search for a high score and a small size."""
    tried = tuple(
        Tried(Trial(number, f"lr={number}" if number else "baseline", {}), "scored", pair)
        for number, pair in enumerate(values)
    )
    objectives = {"score": "max", "size": "min"}
    return Search("s", replace(plan(), objectives=objectives), CARD, tried)


def numbers(tried: list[Tried]) -> list[int]:
    return [each.number for each in tried]


def test_the_best_are_those_of_the_highest_score_beside_the_baseline() -> None:
    assert numbers(best(one(0.9, 0.3, None, 0.8, 0.5, 0.8), 3)) == [3, 5, 4]


def test_less_is_better_where_it_is_to_be_minimised() -> None:
    search = one(0.9, 0.3, 0.8, 0.5)
    search = replace(search, plan=replace(search.plan, objectives={"score": "min"}))
    assert numbers(best(search, 2)) == [1, 3]


def test_a_repeated_condition_counts_once() -> None:
    search = one(0.1, 0.9, 0.5)
    again = Tried(Trial(3, "lr=1", {}, same_as=1), "scored", (0.9,))
    search = replace(search, tried=(*search.tried, again))
    assert numbers(best(search, 3)) == [1, 2]
    assert tally(search) == "4 trials: 3 scored, 1 the same as others"


def test_a_gain_is_the_difference_from_the_baseline() -> None:
    search = one(0.5, 0.75)
    assert search.gain(search.tried[1]) == 0.25


def test_without_a_scored_baseline_there_are_no_gains() -> None:
    search = one(None, 0.75)
    assert search.baseline is None
    assert search.gain(search.tried[1]) is None


#   size
#    4 |            3
#    3 |   0
#    2 |      1
#    1 |   2
#      +---------------- score   .2 .4 .8
FOUR = ((0.2, 3.0), (0.4, 2.0), (0.2, 1.0), (0.8, 4.0))


def test_the_front_has_what_none_beats_in_both() -> None:
    assert numbers(front(two(*FOUR))) == [3, 1, 2]


def test_the_best_of_two_objectives_are_spread_over_the_front() -> None:
    assert numbers(best(two(*FOUR), 2)) == [3, 2]
    assert numbers(best(two(*FOUR), 9)) == [3, 1, 2]


def test_the_hypervolume_is_a_share_of_the_whole_area() -> None:
    """From the worst (.2, 4) to the best (.8, 1) it is .6 x 3 = 1.8; trial 1 beats (.4 - .2) x (4 - 2)."""
    assert hypervolumes(two(*FOUR)) == pytest.approx([0.0, 0.4 / 1.8, 0.4 / 1.8, 0.4 / 1.8])
    assert hypervolumes(two((0.2, 4.0), (0.8, 1.0))) == pytest.approx([0.0, 1.0])


def test_a_search_of_equal_scores_has_no_area() -> None:
    assert hypervolumes(two((0.2, 4.0), (0.2, 4.0))) == [0.0, 0.0]


def test_a_search_in_words() -> None:
    text = terminal(one(0.5, 0.75, None), 3, None)
    assert text.splitlines() == [
        "search s: 3 trials: 2 scored, 1 pruned",
        "  sampler tpe (search seed 0); 1 seed a trial, scored on 20 % of the training data, held out by the "
        "subject",
        "",
        "condition  trial  score  from baseline",
        "──────────────────────────────────────",
        "baseline       0  50.00",
        "lr=1           1  75.00         +25.00",
    ]


def test_a_trial_is_what_its_runs_are(tmp_path: Path) -> None:
    store = Store(tmp_path)
    states = {
        "scored": losses(0.5),
        "failed": [State.FAILED],
        "pruned": [State.PRUNED],
        "under way": [State.PENDING],
    }
    trials = []
    for number, (state, found) in enumerate(states.items()):
        (run,) = add_condition(store, state, {"lr": 0.1 * (number + 1)}, found)
        trials.append(Trial(number, state, {}, runs=(run.run_id,)))
    trials.append(Trial(4, "failed", {}, refused="the settings do not go together"))
    trials.append(Trial(5, "under way", {}, runs=(trials[0].runs[0], "0" * 16)))
    folder = SearchFolder.of(store, "s")
    with folder.claim():
        folder.write_plan(replace(plan(), objectives={"loss": "min"}))
        for trial in trials:
            folder.append(trial)
    search = read_search(store, "s")
    assert search is not None
    assert [each.state for each in search.tried] == [trial.name for trial in trials]
    assert [each.values for each in search.tried] == [(0.5,), *[None] * 5]
    assert read_search(store, "none") is None


def test_luck_is_what_a_condition_gains_less_when_it_is_trained_anew() -> None:
    anew = Difference(0.10, 0.02, 3, 0.05, 0.15, 0.01)
    text = table_of_luck(one(0.5, 0.75), [Luck("lr=1", "score", 1, 0.25, anew)], None)
    assert text.splitlines() == [
        "           from baseline",
        "condition  in the search    anew          95 % CI    luck",
        "─────────────────────────────────────────────────────────",
        "lr=1              +25.00  +10.00  [+5.00, +15.00]  +15.00",
    ]


def test_a_search_without_scores_says_so() -> None:
    assert "no trial has a score yet" in terminal(one(None), 3, None)


@pytest.mark.parametrize("width", [60, 80])
def test_a_search_fits_its_terminal(width: int) -> None:
    text = terminal(two(*FOUR), 3, width)
    assert max(map(len, text.splitlines())) <= width


def test_a_damaged_record_of_a_search_is_told_and_hides_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert remark(store, "s") is None
    folder = SearchFolder.of(store, "s")
    folder.path.mkdir(parents=True)
    folder.write_plan(plan())
    assert "chosen for their scores" in str(remark(store, "s"))
    folder.plan_file.write_text("{}")
    assert "The record of the search cannot be read" in str(remark(store, "s"))
