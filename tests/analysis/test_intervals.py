import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.analysis.intervals import (
    INTERVALS,
    Difference,
    bca_interval,
    effect_size,
    holm,
    interval_method,
    paired_difference,
    percentile_interval,
    power,
    probability_of_improvement,
    seeds_needed,
    sign_flip_p,
    stratified_interval,
    summarise,
    t_interval,
    upper_p,
)

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
    assert (difference.sd, difference.ci_low, difference.p, difference.direction) == (0.0, None, 0.5, 0)


def test_without_spread_six_seeds_decide_by_their_signs() -> None:
    constant = {
        n: paired_difference(dict.fromkeys(range(n), 1.0), dict.fromkeys(range(n), 0.25)) for n in (5, 6)
    }
    for n, difference in constant.items():
        assert difference is not None
        assert difference.p == 2 / 2**n
        assert difference.direction == (n == 6)


def test_an_interval_decides_the_direction_where_there_is_one_and_else_p() -> None:
    """Of a bootstrap, the interval need not agree with p, which is the t test's."""
    assert Difference(0.5, 0.1, 3, 0.3, 0.7, p=0.2).direction == 1
    assert Difference(-0.5, 0.1, 3, -0.7, -0.3, p=0.2).direction == -1
    assert Difference(0.5, 0.1, 3, -0.1, 1.1, p=0.01).direction == 0
    assert Difference(-0.5, 0.0, 6, None, None, p=0.03).direction == -1


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


def test_the_permutation_test_by_hand() -> None:
    # Of the eight patterns of signs of 1, 2 and 4, sums of 5 or more: 7, 5, and the same below zero.
    assert sign_flip_p([1, 2, 4]) == 2 / 8
    assert sign_flip_p([-1, 2, 4]) == 4 / 8
    assert sign_flip_p([1]) is None
    assert sign_flip_p([0, 0, 0]) == 1.0


def test_rounding_does_not_part_equal_patterns() -> None:
    assert sign_flip_p([0.1, 0.2, 0.3, 0.3 - 0.1 - 0.2]) == 2 * 2 / 16


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=7))
def test_the_permutation_test_is_scipys(differences: list[int]) -> None:
    expected = stats.permutation_test(
        (np.array(differences),), np.sum, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p(differences) == pytest.approx(expected.pvalue, abs=1e-12)


def test_many_seeds_are_permuted_at_random_but_reproducibly() -> None:
    differences = (0.3 + np.random.default_rng(0).standard_normal(20)).tolist()
    first = sign_flip_p(differences, seed=1)
    assert first is not None
    assert first == sign_flip_p(differences, seed=1) != sign_flip_p(differences, seed=2)
    assert first == pytest.approx(float(stats.ttest_1samp(differences, 0).pvalue), abs=0.02)


def test_few_seeds_cannot_make_the_permutation_p_small() -> None:
    assert [sign_flip_p([1.0 + seed for seed in range(n)]) for n in (3, 5, 6, 10)] == [
        2 / 8,
        2 / 32,
        2 / 64,
        2 / 1024,
    ]


def test_upper_p_is_scipys_one_sided_test() -> None:
    values = [0.1, 0.3, -0.1, 0.2]
    expected = stats.ttest_1samp(values, 0, alternative="greater").pvalue
    assert upper_p(float(np.mean(values)), float(np.std(values, ddof=1)), 4) == pytest.approx(expected)
    assert (upper_p(0.0, 0.1, 4), upper_p(0.0, 0.0, 4)) == (0.5, 1.0)
    assert (upper_p(0.2, 0.0, 4), upper_p(-0.2, 0.0, 4)) == (1 / 16, 1.0)


def test_the_effect_size_is_corrected_for_few_seeds() -> None:
    # J = gamma(2) / (sqrt(2) gamma(1.5)) = 0.7979 for five seeds: 1 / (1.4142 x 0.8862).
    assert effect_size(0.04, 0.02, 5) == pytest.approx(2 * 0.79788, rel=1e-4)
    assert effect_size(0.04, 0.02, 1000) == pytest.approx(2, rel=1e-3)
    assert [effect_size(0.1, 0.1, 2), effect_size(0.1, 0.0, 9), effect_size(0.1, None, 1)] == [None] * 3


def test_the_corrected_effect_size_is_right_on_average() -> None:
    samples = 0.5 + np.random.default_rng(3).standard_normal((20_000, 5))
    effects = [effect_size(row.mean(), row.std(ddof=1), 5) or 0.0 for row in samples]
    assert np.mean(effects) == pytest.approx(0.5, abs=4 * np.std(effects) / math.sqrt(20_000))


def test_the_probability_of_improvement_by_hand() -> None:
    # 3 beats 1 and 2, 2 beats 1 and ties with 2: 3.5 of 4.
    assert probability_of_improvement([2, 3], [1, 2]) == 3.5 / 4
    difference = paired_difference({0: 2, 1: 3}, {0: 1, 1: 2})
    assert difference is not None
    assert difference.improvement == 3.5 / 4


def test_power_is_that_of_the_noncentral_t() -> None:
    # Cohen 1988, as every power calculator: d = 0.5, two-sided 5 %, 34 pairs give 0.808.
    assert power(0.5, 34, 0.025) == pytest.approx(0.808, abs=0.001)
    assert power(0.0, 10, 0.025) == pytest.approx(0.025)
    assert [power(math.inf, n, 0.025) for n in (5, 6)] == [0.0, 1.0]


def test_seeds_needed_by_the_textbook() -> None:
    assert [seeds_needed([effect]) for effect in (0.2, 0.5, 0.8, 1.0)] == [199, 34, 15, 10]
    assert seeds_needed([math.inf]) == 6


def test_finding_all_of_several_effects_takes_more_seeds() -> None:
    assert seeds_needed([0.5, 5.0]) == seeds_needed([0.5])
    several = seeds_needed([0.5, 0.5, 0.5])
    assert several is not None
    assert 3 * (1 - power(0.5, several, 0.025)) <= 0.2 < 3 * (1 - power(0.5, several - 1, 0.025))


@pytest.mark.parametrize("effects", [[], [0.0], [1.0, -0.1], [0.01]])
def test_no_number_of_seeds_finds_what_is_not_there(effects: list[float]) -> None:
    assert seeds_needed(effects) is None


@pytest.mark.parametrize("name", INTERVALS)
def test_every_interval_holds_the_mean_and_repeats(name: str) -> None:
    values = [0.41, 0.44, 0.39, 0.47, 0.42]
    found = interval_method(name, seed=3)(values)
    assert found is not None
    assert found[0] < np.mean(values) < found[1]
    assert found == interval_method(name, seed=3)(values)
    if name != "t":
        assert found != interval_method(name, seed=4)(values)
    assert interval_method(name)([0.4]) is None


def test_the_bca_interval_leans_to_the_long_tail() -> None:
    values = [0.10, 0.11, 0.12, 0.13, 0.30, 0.60]
    mean = float(np.mean(values))
    low, high = bca_interval(values) or (0.0, 0.0)
    plain_low, plain_high = percentile_interval(values) or (0.0, 0.0)
    assert high - mean > mean - low
    assert (low, high) > (plain_low, plain_high)
    assert bca_interval([0.5, 0.5, 0.5]) is None


def test_strata_are_resampled_on_their_own() -> None:
    # Two strata without spread have a certain mean; pooled, they would scatter between 0 and 1.
    assert stratified_interval([[0.0, 0.0, 0.0], [1.0, 1.0]]) == (0.5, 0.5)
    assert stratified_interval([[0.0, 1.0], [0.5]]) is None
    assert stratified_interval([]) is None


@pytest.mark.parametrize(("n", "covered"), [(5, 0.84), (10, 0.90)])
def test_bootstrap_intervals_of_few_seeds_are_too_narrow(n: int, covered: float) -> None:
    """Why t intervals decide: these are off by as much as the docstrings say."""
    studies = np.random.default_rng(n).standard_normal((1500, n)).tolist()
    found = [percentile_interval(study, resamples=500) or (0.0, 0.0) for study in studies]
    share = np.mean([low < 0 < high for low, high in found])
    assert share == pytest.approx(covered, abs=3 * math.sqrt(covered * (1 - covered) / 1500))
    assert np.mean([low < 0 < high for low, high in map(t_interval, studies)]) == pytest.approx(  # type: ignore[misc]
        0.95, abs=3 * math.sqrt(0.95 * 0.05 / 1500)
    )


@pytest.mark.parametrize("n", [3, 5, 10])
def test_coverage_survives_scores_that_are_not_normal(n: int) -> None:
    """Skewed differences, as of a score near its bound: beta(2, 8), skewness 0.83. At least 90 % covered."""
    studies = np.random.default_rng(n).beta(2, 8, (3000, n)).tolist()
    share = np.mean([low < 0.2 < high for low, high in map(t_interval, studies)])  # type: ignore[misc]
    assert 0.90 < share < 0.97
