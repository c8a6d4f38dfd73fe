"""By hand; beside sed_scores_eval in ``test_reference.py``."""

import pytest

from ablate.mtl.metrics.events import Events, Reference
from ablate.mtl.metrics.intersection_based import Criteria, intersection_counts
from ablate.mtl.metrics.scores import f_score, macro_f, micro_f

CAR, DISHES = 0, 1
HALF = Criteria(detection=0.5, reference=0.5)

Spans = list[tuple[float, float, int]]


def counts(detected: Spans, annotated: Spans, criteria: Criteria = HALF) -> list[list[int]]:
    found = intersection_counts([Events.of(detected)], [Reference(Events.of(annotated), 20.0)], 2, criteria)
    return [
        found.true_positives[0].tolist(),
        found.false_positives[0].tolist(),
        found.false_negatives[0].tolist(),
    ]


def test_an_event_is_found_when_enough_of_it_is_covered() -> None:
    assert counts([(0.0, 2.0, CAR)], [(0.0, 4.0, CAR)]) == [[1, 0], [0, 0], [0, 0]]
    assert counts([(0.0, 1.9, CAR)], [(0.0, 4.0, CAR)]) == [[0, 0], [0, 0], [1, 0]]


def test_a_detection_is_false_when_too_little_of_it_lies_on_events() -> None:
    assert counts([(0.0, 8.0, CAR)], [(0.0, 4.0, CAR)]) == [[1, 0], [0, 0], [0, 0]]
    assert counts([(0.0, 8.1, CAR)], [(0.0, 4.0, CAR)]) == [[0, 0], [1, 0], [1, 0]]


def test_detections_of_one_event_count_together_and_none_is_false() -> None:
    pieces = [(0.0, 1.0, CAR), (1.5, 2.5, CAR), (3.0, 4.0, CAR)]
    assert counts(pieces, [(0.0, 4.0, CAR)]) == [[1, 0], [0, 0], [0, 0]]


def test_one_detection_can_find_several_events() -> None:
    assert counts([(0.0, 4.0, CAR)], [(0.0, 1.0, CAR), (2.0, 4.0, CAR)]) == [[2, 0], [0, 0], [0, 0]]


def test_another_class_finds_nothing() -> None:
    assert counts([(0.0, 4.0, DISHES)], [(0.0, 4.0, CAR)]) == [[0, 0], [0, 1], [1, 0]]


def test_a_share_is_reached_whatever_the_last_bit_of_a_float() -> None:
    # 0.7 - 0.1 is 0.6 less 1e-16; 0.6 of the event are asked for.
    assert counts([(0.1, 0.7, CAR)], [(0.1, 1.1, CAR)], Criteria(0.5, 0.6)) == [[1, 0], [0, 0], [0, 0]]


def test_annotated_events_that_overlap_are_one() -> None:
    assert counts([(0.0, 4.0, CAR)], [(0.0, 3.0, CAR), (2.0, 4.0, CAR)]) == [[1, 0], [0, 0], [0, 0]]


def test_f_is_that_of_the_counts() -> None:
    detected = Events.of([(0.0, 4.0, CAR), (6.0, 8.0, CAR), (10.0, 11.0, DISHES)])
    reference = Reference(Events.of([(0.0, 4.0, CAR), (10.0, 12.0, DISHES), (14.0, 15.0, DISHES)]), 20.0)
    total = intersection_counts([detected], [reference], 2, HALF).total()
    assert f_score(total) == [2 / 3, 2 / 3]  # TP 1, FP 1, FN 0; TP 1, FP 0, FN 1
    assert macro_f(total) == 2 / 3
    assert micro_f(total) == 4 / 6


@pytest.mark.parametrize(("detection", "reference"), [(0, 0.5), (1.1, 0.5), (0.5, 0), (0.5, 1.1)])
def test_criteria_are_shares(detection: float, reference: float) -> None:
    with pytest.raises(ValueError, match=f"up to 1; got {detection} and {reference}"):
        Criteria(detection, reference)
    assert Criteria(1, 1) == Criteria(detection=1.0, reference=1.0)
