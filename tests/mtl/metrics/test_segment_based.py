import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.mtl.metrics.error_rate import ErrorRate, class_error_rates, error_rate
from ablate.mtl.metrics.events import Events, Reference
from ablate.mtl.metrics.scores import f_score, macro_f, micro_f
from ablate.mtl.metrics.segment_based import active_segments, segment_counts
from tests.mtl.metrics.error_rate import LABELS, as_event_list, column, recordings

CAR, DISHES = 0, 1

# Four segments of a second:     0      1      2      3
# annotated                     car    car  dishes   -
# detected                      car   dishes dishes  car
TRUTH = Reference(Events.of([(0.2, 1.9, CAR), (2.0, 3.0, DISHES)]), 4.0)
DETECTED = Events.of([(0.5, 0.6, CAR), (1.0, 2.7, DISHES), (3.9, 4.0, CAR)])


def test_a_class_is_active_in_every_segment_that_an_event_reaches_into() -> None:
    active = active_segments(Events.of([(0.9, 2.1, CAR), (3.0, 4.0, DISHES)]), 4, 2)
    assert active[:, CAR].tolist() == [True, True, True, False]
    assert active[:, DISHES].tolist() == [False, False, False, True]


def test_segments_are_counted_for_each_class() -> None:
    errors = segment_counts([DETECTED], [TRUTH], n_classes=2)
    assert errors.counts.true_positives.tolist() == [[1, 1]]
    assert errors.counts.false_positives.tolist() == [[1, 1]]
    assert errors.counts.false_negatives.tolist() == [[1, 0]]


def test_a_class_in_place_of_another_in_the_same_segment_is_a_substitution() -> None:
    errors = segment_counts([DETECTED], [TRUTH], n_classes=2)
    assert errors.substitutions.tolist() == [1]
    # In segment 1 dishes stands for the car, in segment 3 a car is inserted, and 3 are active.
    assert error_rate(errors) == ErrorRate(total=2 / 3, substitutions=1 / 3, deletions=0, insertions=1 / 3)
    assert class_error_rates(errors.counts.total()) == [2 / 2, 1 / 1]


def test_what_lies_past_the_end_of_a_recording_is_cut_off() -> None:
    detected = [Events.of([(0.0, 9.0, CAR)])]
    errors = segment_counts(detected, [Reference(Events.of([]), 1.5)], n_classes=1)
    assert errors.counts.false_positives.tolist() == [[2]]


def test_an_error_rate_without_annotated_events_is_undefined() -> None:
    errors = segment_counts([DETECTED], [Reference(Events.of([]), 4.0)], n_classes=2)
    assert error_rate(errors) is None
    assert class_error_rates(errors.counts.total()) == [None, None]


def test_a_segment_must_have_a_length() -> None:
    with pytest.raises(ValueError, match="got 0"):
        segment_counts([DETECTED], [TRUTH], 2, segment_s=0)


@given(recordings(), st.sampled_from((1.0, 0.1, 0.37)))
@settings(max_examples=60, deadline=None)
def test_segment_based_scores_equal_sed_evals(
    sed_eval: Any, drawn: tuple[list[Events], list[Reference]], segment_s: float
) -> None:
    detected, references = drawn
    theirs = sed_eval.sound_event.SegmentBasedMetrics(list(LABELS), time_resolution=segment_s)
    theirs.empty_system_output_handling = "zero_score"
    for events, reference in zip(detected, references, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs.evaluate(
                as_event_list(reference.events), as_event_list(events), float(reference.duration_s)
            )
    errors = segment_counts(detected, references, len(LABELS), segment_s)
    compare(theirs, errors)


def compare(theirs: Any, errors: Any) -> None:
    """F and error rates, over all classes and of each. Where nothing occurs sed_eval divides by 2e-16."""
    total = errors.counts.total()
    expected = [theirs.class_wise_f_measure(label)["f_measure"] for label in LABELS]
    np.testing.assert_allclose(column(f_score(total)), expected, rtol=0, atol=1e-9)
    overall = theirs.overall_f_measure()["f_measure"]
    np.testing.assert_allclose(column([micro_f(total)]), [overall], rtol=0, atol=1e-9)
    occurs = (total.true_positives + total.false_negatives) > 0
    if not occurs.any():
        assert error_rate(errors) is macro_f(total) is None
        return
    np.testing.assert_allclose(column([macro_f(total)]), [np.nanmean(expected)], rtol=0, atol=1e-9)
    rate, their_rate = error_rate(errors), theirs.overall_error_rate()
    assert rate is not None
    assert rate.total == pytest.approx(their_rate["error_rate"], abs=1e-9)
    assert rate.substitutions == pytest.approx(their_rate["substitution_rate"], abs=1e-9)
    assert rate.deletions == pytest.approx(their_rate["deletion_rate"], abs=1e-9)
    assert rate.insertions == pytest.approx(their_rate["insertion_rate"], abs=1e-9)
    rates = [theirs.class_wise_error_rate(label)["error_rate"] for label in LABELS]
    np.testing.assert_allclose(
        column(class_error_rates(total)), np.where(occurs, rates, np.nan), rtol=0, atol=1e-9
    )
