"""How numbers are written: fractions in per cent, others in their own unit to four significant digits."""

import math

import pytest

from ablate.analysis.units import Scale, all_fractions, heading, title_unit
from ablate.subject.metrics import Metric, Metrics, brief_value, decimals

F = Metric("f", unit="%")
LOSS = Metric("loss", "min")
SNR = Metric("snr", unit="dB")
METRICS = Metrics([F, LOSS, SNR])


@pytest.mark.parametrize(
    ("value", "shown"), [(0.4463, "44.63"), (0.0, "0.00"), (1.0, "100.00"), (0.123456, "12.35"), (None, "-")]
)
def test_a_fraction_is_in_per_cent_with_two_decimals(value: float | None, shown: str) -> None:
    assert Scale.of(F, [value, 0.000012]).value(value) == shown


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.0123, 0.5], ["0.0123", "0.5000"]),
        ([1.5, 0.25], ["1.500", "0.250"]),
        ([12.5, 3.0], ["12.50", "3.00"]),
        ([250.0, 3.25], ["250.0", "3.2"]),
        ([98765.4, 1.0], ["98765", "1"]),
        ([0.0], ["0.00"]),
        ([-2.0, None], ["-2.000", "-"]),
        ([1e-5, 2e-5], ["0.00001000", "0.00002000"]),
    ],
)
def test_the_largest_of_a_column_has_four_digits_and_the_others_as_many_decimals(
    values: list[float | None], shown: list[str]
) -> None:
    scale = Scale.of(LOSS, values)
    assert [scale.value(value) for value in values] == shown


def test_a_number_that_is_no_number_decides_no_decimals() -> None:
    assert decimals([math.inf, math.nan, 12.5]) == 2
    assert decimals([]) == 2
    assert decimals([1e-300]) == 12  # and no more


@pytest.mark.parametrize(
    ("metric", "values", "difference", "shown"),
    [
        (F, [0.5], 0.0455, "+4.55"),
        (F, [0.5], -0.1, "-10.00"),
        (F, [0.5], -0.00001, "+0.00"),
        (LOSS, [1.5], -0.25, "-0.250"),
        (LOSS, [1.5], -0.0001, "+0.000"),
        (SNR, [12.5], 3.0, "+3.00"),
    ],
)
def test_a_difference_has_its_sign_and_nothing_is_plus_zero(
    metric: Metric, values: list[float], difference: float, shown: str
) -> None:
    assert Scale.of(metric, values).difference(difference) == shown


def test_the_unit_stands_in_the_heading_or_in_the_titles() -> None:
    assert heading(METRICS, ["f"]) == "scores in %"
    assert title_unit(METRICS, ["f"], "f") == ""
    mixed = ["f", "loss", "snr"]
    assert not all_fractions(METRICS, mixed)
    assert heading(METRICS, mixed) == "scores"
    assert [title_unit(METRICS, mixed, name) for name in mixed] == [" (%)", "", " (dB)"]
    assert [Scale.of(metric, [1.0]).suffix for metric in (F, LOSS, SNR)] == [" (%)", "", " (dB)"]


def test_what_nobody_declared_has_no_unit_unless_it_is_known_for_a_fraction() -> None:
    metrics = Metrics([F, Metric("share/*", "min", "points")], fractions=("m/a/b", "share/x", "f"))
    assert metrics.of("other") == Metric("other")
    assert metrics.of("m/a/b") == Metric("m/a/b", unit="%")
    assert metrics.of("share/x") == Metric("share/*", "min", "points")
    assert metrics.of("f") is F


@pytest.mark.parametrize(
    ("metric", "value", "shown"), [(F, 0.812, "81.2 %"), (LOSS, 0.12345, "0.1235"), (SNR, 4.2, "4.2 dB")]
)
def test_a_line_of_progress_is_brief(metric: Metric, value: float, shown: str) -> None:
    assert brief_value(metric, value) == shown


def test_a_variant_of_a_metric_has_its_unit() -> None:
    metrics = Metrics([F, Metric("psds1", unit="%"), Metric("error/*", "min", "points")])
    assert metrics.of("psds1.median_0.5s").unit == "%"
    assert metrics.of("error.tuned/car").best == "min"
    assert metrics.of("other.tuned").unit == ""
