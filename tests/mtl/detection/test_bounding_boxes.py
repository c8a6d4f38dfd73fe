import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ablate.mtl.detection.bounding_boxes import BoxSettings, bounding_boxes
from ablate.mtl.metrics.events import Track

HOP_S = 0.1
UNMERGED = BoxSettings(window_s=0.4, merge_difference=0.0)


def boxes(scores: list[float], asked: BoxSettings) -> list[tuple[float, float, float]]:
    """Onset, offset and confidence, in order."""
    track = Track.of_frames(np.array(scores)[:, None], HOP_S, len(scores) * HOP_S)
    found = bounding_boxes(track, asked)
    rows = zip(found.events.onsets_s, found.events.offsets_s, found.confidences, strict=True)
    return [(round(float(a), 6), round(float(b), 6), round(float(c), 6)) for a, b, c in rows]


LOUD_AND_FAINT = [0.0] * 5 + [0.9] * 6 + [0.0] * 6 + [0.2] * 4 + [0.0] * 5


def test_a_faint_event_has_the_times_of_a_loud_one_and_less_confidence() -> None:
    assert boxes(LOUD_AND_FAINT, UNMERGED) == [(0.5, 1.1, 0.9), (1.7, 2.1, 0.2)]


def test_the_threshold_takes_or_leaves_events_and_moves_no_end() -> None:
    ragged = [0.0, 0.0, 0.3, 0.8, 0.9, 0.8, 0.3, 0.0, 0.0]
    track = Track.of_frames(np.array(ragged)[:, None], HOP_S, 0.9)
    found = bounding_boxes(track, UNMERGED)
    ends = {
        tuple(np.round([*events.onsets_s, *events.offsets_s], 6))
        for threshold in (0.1, 0.4, 0.7, 0.9)
        if len(events := found.above(threshold))
    }
    assert len(ends) == 1
    assert len({len(track.above(threshold).onsets_s) for threshold in (0.1, 0.4, 0.7)}) == 1
    assert track.above(0.1).onsets_s[0] < track.above(0.7).onsets_s[0]  # that of frames moves


DIP = [0.0] * 5 + [0.8] * 5 + [0.6] * 4 + [0.7] * 5 + [0.0] * 5


def test_a_shallow_dip_does_not_cut_an_event_in_two() -> None:
    assert boxes(DIP, UNMERGED) == [(0.5, 1.0, 0.8), (1.4, 1.9, 0.7)]
    mean = (5 * 0.8 + 4 * 0.6 + 5 * 0.7) / 14
    merged = [(0.5, 1.9, round(mean, 6))]
    assert boxes(DIP, BoxSettings(0.4, merge_difference=0.25, merge_ratio=2.0)) == merged


def test_both_the_difference_and_the_ratio_must_be_small() -> None:
    # The highest neighbour of the dip of 0.6 is 0.8: 0.2 more, and 1.33 times as high.
    assert len(boxes(DIP, BoxSettings(0.4, merge_difference=0.15, merge_ratio=2.0))) == 2
    assert len(boxes(DIP, BoxSettings(0.4, merge_difference=0.25, merge_ratio=1.3))) == 2
    assert len(boxes(DIP, BoxSettings(0.4, merge_difference=0.25, merge_ratio=1.4))) == 1


def test_an_event_may_begin_and_end_with_the_recording() -> None:
    assert boxes([0.5] * 10, UNMERGED) == [(0.0, 1.0, 0.5)]
    assert boxes([0.7] * 5 + [0.0] * 5, UNMERGED) == [(0.0, 0.5, 0.7)]
    assert boxes([0.0] * 5 + [0.7] * 5, UNMERGED) == [(0.5, 1.0, 0.7)]


def test_silence_and_a_recording_of_no_length_have_no_candidates() -> None:
    assert boxes([0.0] * 10, UNMERGED) == []
    assert boxes([], UNMERGED) == []


def test_classes_are_apart() -> None:
    scores = np.zeros((20, 3))
    scores[5:10, 0] = scores[8:15, 2] = 0.5
    found = bounding_boxes(Track.of_frames(scores, HOP_S, 2.0), UNMERGED)
    assert found.events.classes.tolist() == [0, 2]
    assert found.events.onsets_s.round(6).tolist() == [0.5, 0.8]


def test_log_odds_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"got scores of -3\.\.2"):
        boxes([-3.0, 2.0], UNMERGED)


def test_a_window_has_a_length() -> None:
    with pytest.raises(ValueError, match="got 0"):
        BoxSettings(window_s=0)


@given(
    arrays(np.float64, st.tuples(st.integers(1, 60), st.just(2)), elements=st.floats(0, 1, width=16)),
    st.sampled_from((0.1, 0.24, 0.4, 3.0)),
    st.floats(0, 1),
    st.floats(1, 5),
)
@settings(deadline=None)
def test_candidates_are_apart_inside_the_recording_and_as_sure_as_the_mean_score(
    scores: np.ndarray, window_s: float, difference: float, ratio: float
) -> None:
    duration_s = len(scores) * HOP_S - 0.03
    track = Track.of_frames(scores, HOP_S, duration_s)
    found = bounding_boxes(track, BoxSettings(window_s, difference, ratio))
    assert ((found.confidences > 0) & (found.confidences <= 1)).all()
    for label in range(2):
        own = found.events.take(found.events.classes == label)
        ends = np.column_stack((own.onsets_s, own.offsets_s)).ravel()
        assert (np.diff(ends) > 0).all()
        assert not len(ends) or (ends[0] >= 0 and ends[-1] <= duration_s)
    for onset, offset, label, confidence in zip(
        found.events.onsets_s, found.events.offsets_s, found.events.classes, found.confidences, strict=True
    ):
        begins, ends = track.boundaries_s[:-1], track.boundaries_s[1:]
        inside = np.maximum(np.minimum(ends, offset) - np.maximum(begins, onset), 0)
        mean = (inside * track.scores[:, label]).sum() / (offset - onset)
        assert confidence == pytest.approx(mean, abs=1e-9)
