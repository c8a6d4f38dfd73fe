import numpy as np
import pytest
from hypothesis import given, settings

from ablate.mtl.metrics.events import Candidates, Events, Reference, Track
from tests.mtl.metrics.error_rate import events

CAR, DISHES = 0, 1
NEVER = -np.inf


def spans(found: Events) -> list[tuple[float, float, int]]:
    rows = zip(found.onsets_s.tolist(), found.offsets_s.tolist(), found.classes.tolist(), strict=True)
    return list(rows)


# Events


def test_what_touches_or_overlaps_within_a_class_is_united() -> None:
    found = Events.of(
        [(2.0, 3.0, CAR), (0.0, 1.0, CAR), (1.0, 1.5, CAR), (0.5, 2.5, DISHES), (0.1, 0.2, CAR)]
    )
    assert spans(found.united()) == [(0.0, 1.5, CAR), (2.0, 3.0, CAR), (0.5, 2.5, DISHES)]


def test_events_without_a_length_are_not_in_the_union() -> None:
    assert spans(Events.of([(1.0, 1.0, CAR)]).united()) == []


@given(events(2.0))
@settings(deadline=None)
def test_a_union_sounds_exactly_when_its_events_do(drawn: Events) -> None:
    union = drawn.united()
    for moment in np.arange(0.025, 2.0, 0.05):
        for label in range(3):
            assert sounds(drawn, label, moment) == sounds(union, label, moment)
    assert spans(union.united()) == spans(union)


def sounds(found: Events, label: int, moment: float) -> bool:
    around = (found.onsets_s < moment) & (moment < found.offsets_s)
    return bool((around & (found.classes == label)).any())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(2.0, 1.0, CAR)], "ends before it begins"),
        ([(-0.1, 1.0, CAR)], "negative onset"),
        ([(0.0, np.nan, CAR)], "not numbers"),
        ([(0.0, 1.0, -1)], "negative onset or class"),
    ],
)
def test_events_that_cannot_be_are_an_error(rows: list[tuple[float, float, int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Events.of(rows)


def test_a_recording_has_a_duration() -> None:
    with pytest.raises(ValueError, match="got -1"):
        Reference(Events.of([]), -1)


# Tracks

SCORES = np.array([[0.1, 0.9], [0.6, 0.9], [0.7, 0.2], [0.5, 0.6]])


def test_events_are_detected_where_a_score_is_greater_than_the_threshold() -> None:
    track = Track.of_frames(SCORES, hop_s=0.5, duration_s=2.0)
    assert spans(track.above(0.5)) == [(0.0, 1.0, DISHES), (0.5, 1.5, CAR), (1.5, 2.0, DISHES)]
    assert spans(track.above([0.65, 0.95])) == [(1.0, 1.5, CAR)]


def test_a_threshold_is_not_rounded_to_the_precision_of_the_scores() -> None:
    score = np.float16(0.1)  # 0.09998
    track = Track.of_frames(np.array([[score]]), hop_s=1.0, duration_s=1.0)
    assert spans(track.above(0.09999)) == []
    assert spans(track.above(0.09997)) == [(0.0, 1.0, CAR)]


def test_frames_past_the_end_of_a_recording_are_cut_off() -> None:
    track = Track.of_frames(SCORES, hop_s=0.5, duration_s=1.2)
    assert track.boundaries_s.tolist() == [0.0, 0.5, 1.0, 1.2]
    assert spans(track.above(0.5)) == [(0.0, 1.0, DISHES), (0.5, 1.2, CAR)]


def test_a_recording_may_outlast_its_frames() -> None:
    assert Track.of_frames(SCORES, hop_s=0.5, duration_s=2.1).boundaries_s[-1] == 2.0


def test_a_recording_of_no_length_has_no_events() -> None:
    track = Track.of_frames(SCORES, hop_s=0.5, duration_s=0.0)
    assert track.boundaries_s.tolist() == [0.0]
    assert spans(track.above(0.0)) == []


def test_tracks_that_cannot_be_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(4, 2\) and \(4,\)"):
        Track(np.arange(4.0), SCORES)
    with pytest.raises(ValueError, match="do not increase"):
        Track(np.array([0.0, 1.0, 1.0, 2.0, 3.0]), SCORES)
    with pytest.raises(ValueError, match="not numbers"):
        Track(np.arange(5.0), np.where(SCORES == 0.2, np.nan, SCORES))


# Candidates

CANDIDATES = Candidates(
    Events.of([(1.0, 3.0, CAR), (0.0, 0.5, CAR), (2.0, 4.0, CAR)]), np.array([0.3, 0.8, 0.6])
)


def test_candidates_are_taken_or_left_as_a_whole() -> None:
    assert spans(CANDIDATES.above(0.5)) == [(0.0, 0.5, CAR), (2.0, 4.0, CAR)]
    assert spans(CANDIDATES.above([0.7, 0.0])) == [(0.0, 0.5, CAR)]


def test_the_confidence_over_time_is_the_highest_of_what_overlaps() -> None:
    track = CANDIDATES.track(n_classes=2, duration_s=3.5)
    assert track.boundaries_s.tolist() == [0.0, 0.5, 1.0, 2.0, 3.0, 3.5]
    assert track.scores[:, CAR].tolist() == [0.8, NEVER, 0.3, 0.6, 0.6]
    assert track.scores[:, DISHES].tolist() == [NEVER] * 5


def test_candidates_of_a_recording_of_no_length_are_none() -> None:
    nothing = Candidates(Events.of([]), np.zeros(0))
    assert nothing.track(n_classes=2, duration_s=0.0).scores.shape == (0, 2)
    assert spans(nothing.above([0.5, 0.5])) == []


def test_each_candidate_has_a_confidence() -> None:
    with pytest.raises(ValueError, match="each of 1 events"):
        Candidates(Events.of([(0.0, 1.0, CAR)]), np.zeros(2))
