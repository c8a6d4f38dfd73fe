"""Intervals over items, and over seeds and items: by hand, by law, and by simulated coverage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ablate.analysis.crossed import Spread, chance, item_draws, percentile, spread

# Differences of two seeds (columns) on three items (rows), all of one weight.
BY_HAND = np.array([[1.0, 2.0], [2.0, 3.0], [6.0, 4.0]])
T_1, T_2 = 12.706204736432095, 4.302652729911275  # t(0.975), from any table


def spread_of(differences: NDArray[np.float64]) -> Spread:
    n_items = len(differences)
    without = (differences.sum(axis=0) - differences) / (n_items - 1)
    return spread(differences.mean(axis=0), without, np.full(n_items, 1 / n_items))


def test_the_three_variances_by_hand() -> None:
    found = spread_of(BY_HAND)
    assert found.over_seeds == pytest.approx(0)  # both seeds have the mean 3
    # The items' means are 1.5, 2.5 and 5, with a variance of 3.25, and there are three.
    assert found.over_items == pytest.approx(3.25 / 3)
    # What is left: -+0.5, -+0.5, +-1 in either seed: a variance of 0.75 each, of the mean of three 0.25.
    assert found.rest == pytest.approx((0.25 + 0.25) / 2)
    assert found.effective_items == pytest.approx(3)


def test_the_half_widths_by_hand() -> None:
    found = spread_of(BY_HAND + np.array([0.0, 1.0]))  # the seeds' means are 3 and 4: a variance of 0.5
    assert found.half_width("seeds") == pytest.approx(T_1 * math.sqrt(0.5 / 2))
    assert found.half_width("items") == pytest.approx(T_2 * math.sqrt(3.25 / 3))
    both = math.sqrt(T_1**2 * 0.25 + T_2**2 * (3.25 / 3 - 0.25))
    assert found.half_width("both") == pytest.approx(both)


def test_p_is_the_level_at_which_the_interval_touches_zero() -> None:
    found = spread_of(BY_HAND + np.array([0.0, 1.0]))
    width = found.half_width("both")
    assert width is not None
    assert found.upper_p("both", width) == pytest.approx(0.025)
    assert found.upper_p("both", -width) == pytest.approx(0.975)
    assert found.upper_p("both", 0.0) == pytest.approx(0.5)


def test_equal_items_have_no_variance_and_change_no_interval() -> None:
    found = spread_of(np.array([[0.1, 0.3, 0.2]] * 4))
    assert (found.over_items, found.rest, found.half_width("items")) == (0.0, 0.0, None)
    assert found.half_width("both") == found.half_width("seeds")
    assert found.shares == {"seeds": 1.0, "items": 0.0, "rest": 0.0}


def test_one_seed_says_nothing_of_other_seeds() -> None:
    found = spread_of(BY_HAND[:, :1])
    assert found.half_width("items") is not None
    assert (found.half_width("both"), found.upper_p("both", 1.0), found.shares) == (None, None, None)


def test_items_of_little_weight_count_for_little() -> None:
    exposure = np.array([0.5, 0.5, 0.0, 0.0])
    assert spread(np.array([0.1]), np.zeros((4, 1)), exposure).effective_items == pytest.approx(2)


@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=3, max_size=8))
@settings(deadline=None, max_examples=50)
def test_an_interval_over_both_is_no_narrower_than_either(rows: list[list[float]]) -> None:
    found = spread_of(np.array(rows))
    both, seeds = found.half_width("both"), found.half_width("seeds")
    if both is None or seeds is None:
        return
    assert both >= seeds - 1e-12
    assert both >= (found.half_width("items") or 0.0) - 1e-12
    assert sum((found.shares or {"all": 1.0}).values()) == pytest.approx(1)


def test_the_shares_are_those_that_made_the_differences() -> None:
    rng = np.random.default_rng(0)
    differences = rng.standard_normal((1, 400)) + 2 * rng.standard_normal((400, 1))
    shares = spread_of(differences + rng.standard_normal((400, 400))).shares
    assert shares is not None
    assert [shares["seeds"], shares["items"], shares["rest"]] == pytest.approx(
        [1 / 6, 4 / 6, 1 / 6], abs=0.05
    )


def test_what_is_better_half_of_the_time_by_hand() -> None:
    ours = np.array([[0.9, 0.8], [0.5, 0.1], [0.2, np.nan]])
    theirs = np.array([[0.1, 0.1], [0.5, 0.4], [0.1, 0.1]])
    found = chance(ours, theirs)
    assert found is not None
    assert (found.value, found.n_items) == ((1 + 1 + 0.5 + 0) / 4, 2)  # the third item has no score
    assert chance(np.full((2, 2), np.nan), theirs[:2]) is None


def test_better_always_is_as_sure_as_there_are_seeds() -> None:
    found = chance(np.ones((50, 4)), np.zeros((50, 4)))
    assert found is not None
    # Clopper and Pearson for 4 of 4: 0.025^(1/4).
    assert (found.value, found.ci_low, found.ci_high) == (1.0, pytest.approx(0.025**0.25), 1.0)
    assert chance(np.ones((50, 1)), np.zeros((50, 1))).ci_low is None  # type: ignore[union-attr]


def test_better_never_is_as_sure_and_two_seeds_are_enough_for_an_interval() -> None:
    found = chance(np.zeros((50, 2)), np.ones((50, 2)))
    assert found is not None
    assert (found.value, found.ci_low, found.ci_high) == (0.0, 0.0, pytest.approx(1 - 0.025**0.5))


def test_draws_without_a_score_are_left_out_and_too_few_give_no_interval() -> None:
    assert item_draws(5, draws=7).sum(axis=1).tolist() == [5.0] * 7
    drawn = np.tile(np.linspace(0, 1, 101)[:, None], (1, 2))
    assert percentile(drawn, "items") == pytest.approx((0.025, 0.975))
    drawn[60:] = np.nan
    assert percentile(drawn, "items") == pytest.approx((0.6 * 0.025, 0.59 * 0.975), abs=0.01)
    drawn[40:] = np.nan
    assert percentile(drawn, "items") is None
    assert percentile(np.ones((9, 1)), "both") is None


@pytest.mark.parametrize(
    ("n_seeds", "n_items", "of_seeds", "of_items", "of_rest"),
    [(3, 30, 1.0, 5.0, 5.0), (5, 30, 1.0, 0.1, 1.0), (5, 12, 0.1, 2.0, 1.0), (10, 60, 0.5, 3.0, 3.0)],
)
def test_intervals_over_both_cover_the_truth(
    n_seeds: int, n_items: int, of_seeds: float, of_items: float, of_rest: float
) -> None:
    """And those over seeds alone do not, where items differ."""
    rng = np.random.default_rng(0)
    hits = {"both": 0, "seeds": 0}
    n_studies = 600
    for _ in range(n_studies):
        differences = (
            of_seeds * rng.standard_normal((1, n_seeds))
            + of_items * rng.standard_normal((n_items, 1))
            + of_rest * rng.standard_normal((n_items, n_seeds))
        )
        found = spread_of(differences)
        hits["both"] += abs(differences.mean()) < (found.half_width("both") or 0)
        hits["seeds"] += abs(differences.mean()) < (found.half_width("seeds") or 0)
    assert hits["both"] / n_studies > 0.93
    if of_items > of_seeds * math.sqrt(n_items / n_seeds):
        assert hits["seeds"] / n_studies < 0.9
