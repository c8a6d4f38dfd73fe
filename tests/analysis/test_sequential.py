"""Tests in looks: levels against simulated tables, e-values against an integral, and looks by hand."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import nct, norm, skew, t

from ablate.analysis.intervals import t_interval
from ablate.analysis.sequential import (
    Question,
    Rule,
    Sample,
    chance_of_any,
    e_value,
    is_strongly_skewed,
    level_of_each_look,
    look,
    make_rule,
    shares_of,
    skewness,
)

FAST = 100_000  # simulated studies
LOOKS = (5, 10, 15, 20)
TESTS = (1, 2, 3, 4, 5, 6, 8, 10)
# Simulated apart from this code, from single differences: 10^6 studies each.
LEVELS = {
    (5, 10, 15, 20): (0.0168, 0.00799, 0.0052, 0.00384, 0.00303, 0.0025, 0.00183, 0.00146),
    (5, 10): (0.0281, 0.0136, 0.00903, 0.00675, 0.00538, 0.00444, 0.00332, 0.00265),
}


@pytest.mark.parametrize("looks", LEVELS)
def test_levels_are_those_of_another_simulation(looks: tuple[int, ...]) -> None:
    found = [level_of_each_look(looks, 0.05 / k) for k in TESTS]
    assert found == pytest.approx(LEVELS[looks], rel=0.03)


def test_one_look_has_the_level_itself() -> None:
    assert chance_of_any([7], 0.05, FAST) == pytest.approx(0.05)
    assert make_rule("group sequential", [7], 0.05, [1, 1]).levels == {1: 0.05, 2: 0.025}


def test_who_looks_after_every_seed_is_wrong_in_a_quarter_of_studies() -> None:
    assert chance_of_any(range(3, 21), 0.05, FAST) == pytest.approx(0.232, abs=0.006)
    assert chance_of_any([5, 10], 0.05, FAST) == pytest.approx(0.0865, abs=0.003)


@pytest.mark.parametrize("error", [0.2, 0.05, 0.001])
def test_the_level_has_the_chance_that_was_asked_for(error: float) -> None:
    level = level_of_each_look(LOOKS, error, FAST)
    assert error / len(LOOKS) < level < error
    assert chance_of_any(LOOKS, level, FAST) == pytest.approx(error, rel=1e-3)


def test_the_error_is_shared_among_claims_and_their_comparisons() -> None:
    assert shares_of([1]) == [1]
    assert shares_of([1, 3]) == [1, 2, 3, 6]
    assert make_rule("anytime-valid", (), 0.06, [1, 3]).levels == pytest.approx(
        {1: 0.06, 2: 0.03, 3: 0.02, 6: 0.01}
    )


@pytest.mark.parametrize(("statistic", "n"), [(0.5, 3), (3.0, 5), (-4.0, 12)])
def test_the_e_value_is_the_likelihood_of_t_averaged_over_effects(statistic: float, n: int) -> None:
    """Over effects that are normal with variance 1, relative to the likelihood without an effect."""

    def weighted(effect: float) -> float:
        return float(nct.pdf(statistic, n - 1, effect * math.sqrt(n)) * norm.pdf(effect))

    evidence = quad(weighted, -8, 8, limit=200)[0] / t.pdf(statistic, n - 1)
    assert e_value(statistic / math.sqrt(n), 1.0, n) == pytest.approx(math.log(evidence), abs=1e-4)


@given(n=st.integers(4, 50), sd=st.floats(0.01, 100), level=st.floats(0.001, 0.2))
def test_an_anytime_interval_ends_where_the_evidence_is_one_over_the_level(
    n: int, sd: float, level: float
) -> None:
    half = Rule("anytime-valid", level, 1, {1: level}).half_width(sd, n)
    if math.isfinite(half):
        assert e_value(half, sd, n) == pytest.approx(-math.log(level), rel=1e-6)
    else:
        assert e_value(1e9 * sd, sd, n) < -math.log(level)


def test_a_repeated_interval_is_a_t_interval_of_a_higher_confidence() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    half = Rule("group sequential", 0.05, 1, {1: 0.0168}).half_width(Sample.of(values).sd, 5)
    assert (3 - half, 3 + half) == pytest.approx(t_interval(values, 1 - 0.0168))


# 1 to 5: mean 3, SD 1.58, t = 3 / (1.58 / sqrt(5)) = 4.243, a two-sided p of 0.0132 with 4 degrees.
CLEAR = Sample.of([1.0, 2.0, 3.0, 4.0, 5.0])
CLEARER = Sample.of([4.0, 5.0, 4.0, 5.0, 4.0])  # t = 17.96: p < 0.0001
NOTHING = Sample.of([-2.0, -1.0, 0.0, 1.0, 2.0])
RULE = Rule("group sequential", 0.05, 2, {1: 0.0168, 2: 0.00799, 3: 0.0052, 4: 0.00384, 6: 0.0025})


def against(sample: Sample) -> Sample:
    return Sample.of([-value for value in sample.differences])


def rulings(**questions: Question) -> dict[str, str]:
    return {name: answer.ruling for name, answer in look(RULE, questions, len(questions)).items()}


def test_a_claim_is_held_against_the_level_for_the_claims_that_are_left() -> None:
    assert rulings(a=Question((CLEAR,))) == {"a": "supported"}
    assert rulings(a=Question((CLEAR,)), b=Question((NOTHING,))) == {"a": "undecided", "b": "undecided"}
    assert rulings(a=Question((CLEAR,)), b=Question((CLEARER,))) == {"a": "supported", "b": "supported"}


def test_the_answer_has_the_p_and_the_level_that_decided() -> None:
    answer = look(RULE, {"a": Question((CLEAR,))}, 1)["a"]
    assert (answer.p, answer.level) == (pytest.approx(0.01324, abs=1e-5), 0.0168)
    # Repeated intervals are always those for all claims: t(1 - 0.00799 / 2, 4) = 4.91, times 0.7071.
    assert answer.intervals == (pytest.approx((3 - 3.47, 3 + 3.47), abs=0.01),)


def test_claims_that_were_stopped_still_share_the_error() -> None:
    assert look(RULE, {"a": Question((CLEAR,))}, 2)["a"].ruling == "undecided"


def test_what_is_certainly_less_than_the_margin_is_refuted() -> None:
    assert rulings(a=Question((against(CLEAR),))) == {"a": "refuted"}
    assert rulings(a=Question((CLEAR,), margin=6.0)) == {"a": "refuted"}
    assert rulings(a=Question((CLEAR,), margin=3.0)) == {"a": "undecided"}


def test_every_comparison_supports_and_any_one_refutes() -> None:
    assert rulings(a=Question((CLEAR, CLEARER))) == {"a": "supported"}
    assert rulings(a=Question((CLEAR, NOTHING))) == {"a": "undecided"}
    assert rulings(a=Question((CLEAR, against(CLEARER)))) == {"a": "refuted"}
    # p = 0.0132 is below the level for one test, not below that for two comparisons.
    assert rulings(a=Question((CLEARER, against(CLEAR)))) == {"a": "undecided"}


def test_a_claim_below_its_interest_is_too_small_to_matter() -> None:
    # NOTHING: 0 +- 4.91 x 0.7071 = 3.47
    assert rulings(a=Question((NOTHING,), interest=3.6), b=Question((NOTHING,), interest=3.4)) == {
        "a": "too small to matter",
        "b": "undecided",
    }


def test_seeds_that_all_agree_are_judged_by_a_sign_flip_test() -> None:
    answers = look(RULE, {"a": Question((Sample.of([1.0] * 5),)), "b": Question((Sample.of([1.0] * 10),))}, 2)
    assert {name: (answer.ruling, answer.p) for name, answer in answers.items()} == {
        "a": ("undecided", 2 / 2**5),
        "b": ("supported", 2 / 2**10),
    }
    assert answers["b"].intervals == (None,)


samples = st.lists(st.integers(-9, 9).map(float), min_size=5, max_size=5).map(Sample.of)
claims = st.lists(samples, min_size=2, max_size=2)


@settings(max_examples=50)
@given(claims, claims)
def test_the_order_of_claims_does_not_matter(first: list[Sample], second: list[Sample]) -> None:
    a, b = Question(tuple(first)), Question(tuple(second))
    assert rulings(a=a, b=b) == dict(reversed(rulings(b=b, a=a).items()))


@settings(max_examples=50)
@given(samples)
def test_a_claim_and_its_opposite_get_opposite_verdicts(sample: Sample) -> None:
    other = {"supported": "refuted", "refuted": "supported", "undecided": "undecided"}
    assert rulings(a=Question((against(sample),)))["a"] == other[rulings(a=Question((sample,)))["a"]]


def test_skewness_is_that_of_scipy_and_needs_five_seeds() -> None:
    values = [1.0, 2.0, 2.0, 3.0, 6.0]
    found = skewness(Sample.of(values))
    assert found is not None
    assert found[0] == pytest.approx(skew(values, bias=False))
    assert found[1] == pytest.approx(math.sqrt(6 * 5 * 4 / (3 * 6 * 8)))
    assert skewness(Sample.of(values[:4])) is None
    assert skewness(Sample.of([1.0] * 5)) is None
    assert not is_strongly_skewed(Sample.of(values))
    assert is_strongly_skewed(Sample.of([*map(float, range(9)), 100.0]))
