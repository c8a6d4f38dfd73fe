"""The spread of a baseline, in numbers that a reader can check by hand."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from ablate.analysis.intervals import power
from ablate.analysis.noise import Noise, in_a_line, least_effect, noise_of, pooled_sd, terminal
from ablate.subject.metrics import Metric, Metrics

F = Metric("f", unit="%", label="F score")
LOSS = Metric("loss", "min", unit="dB")
UNITS = Metrics([F, LOSS])
FIVE = [0.41, 0.42, 0.43, 0.44, 0.45]  # mean 0.43, SD 0.0158


def noise(metric: Metric, scores: list[float], differences: list[list[float]] | None = None) -> Noise:
    found = noise_of(metric, metric.name, scores, differences or [])
    assert found is not None
    return found


def test_the_spread_has_its_interval_and_its_range() -> None:
    found = noise(F, FIVE)
    assert (found.n, found.lowest, found.highest) == (5, 0.41, 0.45)
    assert (found.mean, found.sd) == pytest.approx((0.43, 0.01581), abs=1e-5)
    # (n - 1) SD^2 / variance is chi-squared of 4 degrees: 0.484 to 11.143.
    assert found.sd_low == pytest.approx(found.sd * math.sqrt(4 / chi2.ppf(0.975, 4)))
    assert found.sd_high == pytest.approx(found.sd * math.sqrt(4 / chi2.ppf(0.025, 4)))


@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 20, 1000])
def test_the_least_effect_is_found_in_four_of_five_studies(seeds: int) -> None:
    assert power(least_effect(seeds), seeds, 0.025) == pytest.approx(0.8, abs=1e-4)


@settings(max_examples=20)
@given(st.integers(2, 200))
def test_more_seeds_tell_smaller_differences_apart(seeds: int) -> None:
    assert least_effect(seeds + 1) < least_effect(seeds)


def test_a_difference_spreads_by_sqrt_2_unless_the_study_knows_better() -> None:
    assert noise(F, FIVE).sd_of_difference == pytest.approx(math.sqrt(2) * 0.01581, abs=1e-5)
    known = noise(F, FIVE, [[0.0, 0.002, 0.004], [0.1, 0.102]])
    assert known.is_paired
    # Two degrees of variance 0.002^2, one of 0.002^2 / 2.
    assert known.sd_of_difference == pytest.approx(math.sqrt((2 * 4e-6 + 2e-6) / 3))
    assert pooled_sd([[0.1], [0.2]]) is None


def test_one_seed_and_seeds_that_agree_have_no_noise() -> None:
    assert noise_of(F, "f", [0.4]) is None
    assert noise_of(F, "f", [0.4, 0.4, 0.4]) is None


def test_seeds_are_counted_for_a_point_or_a_standard_deviation() -> None:
    assert noise(F, FIVE).unit_step == 0.01
    assert noise(LOSS, [1.0, 2.0, 3.0]).unit_step == 1.0
    # An effect of 1 / sqrt(2): the classical 16 or so of a t test, and two for the t distribution.
    assert noise(LOSS, [1.0, 2.0, 3.0]).seeds_of_a_step == 18
    assert noise(F, [0.0, 1.0]).seeds_of_a_step is None


def test_fractions_are_in_points_and_others_in_their_unit() -> None:
    text = terminal([noise(F, FIVE), noise(LOSS, [1.0, 2.0, 3.0])], "base", UNITS)
    f, loss = (line.split() for line in text.splitlines()[2:4])
    assert f[:6] == ["F", "score", "5", "43.00", "(%)", "1.58"]
    assert loss[:5] == ["loss", "3", "2.000", "(dB)", "1.000"]
    assert "seeds for 1 point or 1 SD" in text
    assert "sqrt(2)" in text
    paired = terminal([noise(F, FIVE, [[0.0, 0.1]])], "base", UNITS)
    assert "this study's own, paired by seed" in paired
    assert "seeds for 1 point\n" in paired


def test_a_plan_has_it_in_a_line() -> None:
    assert in_a_line(noise(F, FIVE), UNITS, 3) == (
        "F score SD 1.58 points over 5 seeds; 3 seeds tell apart 7.30 points or less, with a chance of 80 %"
    )
    assert in_a_line(noise(LOSS, [1.0, 2.0]), UNITS, 1) == "loss SD 0.7071 dB over 2 seeds"


def test_a_narrow_table_keeps_every_number() -> None:
    assert max(map(len, terminal([noise(F, FIVE)], "base", UNITS, 60).splitlines())) <= 60
