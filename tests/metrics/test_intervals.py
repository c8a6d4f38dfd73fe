import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.metrics.intervals import holm, paired_difference, summarise

T_2 = 4.302652729911275  # t(0.975) with 2 degrees of freedom, from any table

SCORES = st.lists(st.floats(0, 1), min_size=2, max_size=8)


def test_a_summary_by_hand() -> None:
    summary = summarise([0.1, 0.2, 0.3])
    assert summary.mean == pytest.approx(0.2)
    assert summary.sd == pytest.approx(0.1)
    assert summary.n == 3
    assert summary.ci_low == pytest.approx(0.2 - T_2 * 0.1 / math.sqrt(3))
    assert summary.ci_high == pytest.approx(0.2 + T_2 * 0.1 / math.sqrt(3))


def test_one_seed_has_no_spread() -> None:
    summary = summarise([0.7])
    assert (summary.mean, summary.sd, summary.n, summary.ci_low, summary.ci_high) == (
        0.7,
        None,
        1,
        None,
        None,
    )


def test_equal_values_have_no_spread_left_by_rounding() -> None:
    summary = summarise([0.1 + 0.2, 0.3])
    assert (summary.sd, summary.ci_low) == (0.0, summary.mean)


def test_no_value_has_no_summary() -> None:
    with pytest.raises(ValueError, match="at least one"):
        summarise([])


def test_differences_are_taken_within_each_seed() -> None:
    # Seed 2 is in one of them only. The differences are 0.1, 0.1 and 0.4.
    difference = paired_difference({0: 0.6, 1: 0.8, 2: 0.9, 3: 0.9}, {3: 0.5, 1: 0.7, 0: 0.5})
    assert difference is not None
    assert difference.n == 3
    assert difference.mean == pytest.approx(0.2)
    assert difference.sd == pytest.approx(math.sqrt((0.01 + 0.01 + 0.04) / 2))


def test_pairing_finds_what_the_spread_of_seeds_would_hide() -> None:
    baseline = {0: 0.2, 1: 0.5, 2: 0.8}
    difference = paired_difference({0: 0.25, 1: 0.56, 2: 0.84}, baseline)
    assert difference is not None
    assert difference.direction == 1
    assert difference.p is not None
    assert difference.p < 0.05


def test_no_common_seed_is_no_difference() -> None:
    assert paired_difference({0: 0.5}, {1: 0.5}) is None


def test_one_pair_has_a_difference_and_no_test() -> None:
    difference = paired_difference({0: 0.75}, {0: 0.5})
    assert difference is not None
    assert (difference.mean, difference.sd, difference.ci_low, difference.p) == (0.25, None, None, None)
    assert difference.direction == 0


def test_the_same_difference_in_every_seed_is_not_called_certain() -> None:
    difference = paired_difference({0: 0.5, 1: 0.4}, {0: 0.4, 1: 0.3})
    assert difference is not None
    assert difference.mean == pytest.approx(0.1)
    assert (difference.sd, difference.ci_low, difference.p, difference.direction) == (0.0, None, None, 0)


@given(SCORES)
@settings(deadline=None)
def test_the_interval_is_scipys(values: list[float]) -> None:
    summary = summarise(values)
    if summary.sd == 0:
        return
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert summary.ci_low == pytest.approx(low)
    assert summary.ci_high == pytest.approx(high)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8))
@settings(deadline=None)
def test_the_paired_test_is_scipys(pairs: list[tuple[float, float]]) -> None:
    ours, baseline = zip(*pairs, strict=True)
    difference = paired_difference(dict(enumerate(ours)), dict(enumerate(baseline)))
    assert difference is not None
    if difference.sd is None or difference.sd < 1e-9:
        return
    expected = stats.ttest_rel(ours, baseline)
    assert difference.p == pytest.approx(expected.pvalue, rel=1e-6)
    interval = expected.confidence_interval(0.95)
    assert difference.ci_low == pytest.approx(interval.low, abs=1e-9)
    assert difference.ci_high == pytest.approx(interval.high, abs=1e-9)
    assert (difference.direction != 0) == (expected.pvalue < 0.05)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    studies = 0.4 + 0.03 * rng.standard_normal((4000, 3))
    summaries = [summarise(study) for study in studies.tolist()]
    covered = np.mean([s.ci_low < 0.4 < s.ci_high for s in summaries])  # type: ignore[operator]
    assert covered == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 4000))


def test_without_an_effect_the_paired_test_errs_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    baselines, others = rng.standard_normal((2, 4000, 5))
    tests = [
        paired_difference(dict(enumerate(ours)), dict(enumerate(theirs)))
        for ours, theirs in zip(others.tolist(), baselines.tolist(), strict=True)
    ]
    wrong = np.mean([test.p < 0.05 for test in tests])  # type: ignore[union-attr, operator]
    assert wrong == pytest.approx(0.05, abs=3 * math.sqrt(0.95 * 0.05 / 4000))


def test_holm_by_hand() -> None:
    # Sorted: 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.5 x 1.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])


def test_holm_never_falls_nor_passes_one() -> None:
    assert holm([0.02, 0.021, 0.9]) == pytest.approx([0.06, 0.06, 0.9])
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_what_was_not_tested_does_not_count_as_a_test() -> None:
    assert holm([None, 0.01, None, 0.04]) == [None, pytest.approx(0.02), None, pytest.approx(0.04)]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_is_between_raw_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for raw, value in zip(p_values, adjusted, strict=True):
        assert value is not None
        assert raw <= value <= min(1.0, raw * len(p_values)) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert list(np.sort(adjusted)) == [adjusted[i] for i in order]
