import warnings
from itertools import permutations
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ablate.mtl.metrics.error_rate import ErrorRate, error_rate
from ablate.mtl.metrics.event_based import Collar, event_counts, largest_pairing
from ablate.mtl.metrics.events import Events, Reference
from tests.mtl.metrics.error_rate import LABELS, as_event_list, recordings
from tests.mtl.metrics.test_segment_based import compare

CAR, DISHES = 0, 1


def lists(detected: list[tuple[float, float, int]], annotated: list[tuple[float, float, int]]) -> list[Any]:
    errors = event_counts([Events.of(detected)], [Reference(Events.of(annotated), 10.0)], 2)
    counts = errors.counts
    return [
        counts.true_positives[0].tolist(),
        counts.false_positives[0].tolist(),
        counts.false_negatives[0].tolist(),
        int(errors.substitutions[0]),
    ]


def test_both_ends_must_be_within_the_collar() -> None:
    assert lists([(1.2, 1.4, CAR)], [(1.0, 1.3, CAR)]) == [[1, 0], [0, 0], [0, 0], 0]
    assert lists([(1.21, 1.4, CAR)], [(1.0, 1.3, CAR)]) == [[0, 0], [1, 0], [1, 0], 0]


def test_of_a_long_event_the_offset_may_be_off_by_half_its_length() -> None:
    assert lists([(1.0, 7.0, CAR)], [(1.0, 5.0, CAR)]) == [[1, 0], [0, 0], [0, 0], 0]
    assert lists([(1.0, 7.1, CAR)], [(1.0, 5.0, CAR)]) == [[0, 0], [1, 0], [1, 0], 0]


def test_an_event_is_found_once() -> None:
    assert lists([(1.0, 2.0, CAR), (1.1, 2.0, CAR)], [(1.0, 2.0, CAR)]) == [[1, 0], [1, 0], [0, 0], 0]


def test_another_class_at_the_right_time_is_a_substitution() -> None:
    # One miss of dishes and one false car, which are one error together: ER = 1/2.
    detected, annotated = [(1.0, 2.0, CAR), (4.0, 5.0, CAR)], [(1.0, 2.0, CAR), (4.0, 5.0, DISHES)]
    assert lists(detected, annotated) == [[1, 0], [1, 0], [0, 1], 1]
    errors = event_counts([Events.of(detected)], [Reference(Events.of(annotated), 10.0)], 2)
    assert error_rate(errors) == ErrorRate(total=1 / 2, substitutions=1 / 2, deletions=0, insertions=0)


def test_recordings_are_counted_one_by_one() -> None:
    found, nothing = Events.of([(1.0, 2.0, CAR)]), Events.of([])
    errors = event_counts([found, nothing], [Reference(found, 3.0), Reference(found, 3.0)], 1)
    assert errors.counts.true_positives.tolist() == [[1], [0]]
    assert errors.counts.total(np.array([1, 1])).false_negatives.tolist() == [2]
    second = error_rate(errors, np.array([1]))
    assert second is not None
    assert second.deletions == 1


@given(arrays(bool, st.tuples(st.integers(0, 5), st.integers(0, 5))))
@settings(deadline=None)
def test_no_pairing_is_larger(hits: np.ndarray) -> None:
    pairs = largest_pairing(hits)
    assert all(hits[row, column] for row, column in pairs.items())
    assert len(set(pairs.values())) == len(pairs)
    n_rows, n_columns = hits.shape
    square = np.zeros((max(hits.shape), max(hits.shape)), dtype=bool)
    square[:n_rows, :n_columns] = hits
    orders = permutations(range(len(square)))
    assert len(pairs) == max(sum(square[i, j] for i, j in enumerate(order)) for order in orders)


def test_an_exchange_may_go_through_thousands_of_pairs() -> None:
    n = 3000
    hits = np.zeros((n + 1, n + 1), dtype=bool)
    for column in range(n):
        hits[column, column] = hits[column + 1, column] = True  # takes the row of its own number first
    hits[0, n] = True  # and then the last column needs row 0
    pairs = largest_pairing(hits)
    assert pairs == {0: n} | {column + 1: column for column in range(n)}


@given(recordings(), st.sampled_from((0.2, 0.5)))
@settings(max_examples=150, deadline=None)
def test_event_based_scores_equal_sed_evals(
    sed_eval: Any, drawn: tuple[list[Events], list[Reference]], length_share: float
) -> None:
    detected, references = drawn
    theirs = sed_eval.sound_event.EventBasedMetrics(
        list(LABELS), t_collar=0.2, percentage_of_length=length_share
    )
    theirs.empty_system_output_handling = "zero_score"
    for events, reference in zip(detected, references, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs.evaluate(as_event_list(reference.events), as_event_list(events))
    collar = Collar(collar_s=0.2, length_share=length_share)
    compare(theirs, event_counts(detected, references, len(LABELS), collar))
