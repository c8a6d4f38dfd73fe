import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ablate.mtl.metrics import stretches as module
from ablate.mtl.metrics.events import Track
from ablate.mtl.metrics.stretches import Stretches, stretches

NEVER = -np.inf


def track_of(scores: np.ndarray) -> Track:
    return Track(np.arange(len(scores) + 1.0), scores)


def all_stretches(track: Track) -> list[Stretches]:
    return list(stretches(track, np.arange(track.n_classes)))


def test_a_stretch_appears_at_its_lowest_score_and_vanishes_in_a_longer_one() -> None:
    #                              0    1    2    3    4
    (found,) = all_stretches(track_of(np.array([[0.2], [0.9], [0.5], [0.7], [NEVER]])))
    rows = zip(found.first.tolist(), found.stop.tolist(), found.appears.tolist(), strict=True)
    assert dict(zip(rows, found.vanishes().tolist(), strict=True)) == {
        (1, 2, 0.9): 0.5,
        (3, 4, 0.7): 0.5,
        (1, 4, 0.5): 0.2,
        (0, 4, 0.2): NEVER,
    }


def test_equal_scores_are_one_stretch() -> None:
    (found,) = all_stretches(track_of(np.array([[0.5], [0.8], [0.5], [0.5]])))
    assert sorted(zip(found.first.tolist(), found.stop.tolist(), strict=True)) == [(0, 4), (1, 2)]


LEVELS = st.sampled_from((NEVER, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6))


@given(arrays(np.float64, st.tuples(st.integers(0, 40), st.integers(1, 3)), elements=LEVELS))
@settings(deadline=None)
def test_at_any_threshold_the_stretches_that_are_there_are_what_is_detected(scores: np.ndarray) -> None:
    track = track_of(scores)
    for threshold in (-1.0, 0.0, 0.05, 0.2, 0.35, 0.5, 0.6):
        expected = track.above(threshold)
        there = set()
        for found in all_stretches(track):
            now = (found.vanishes() <= threshold) & (threshold < found.appears)
            there |= set(zip(found.first[now], found.stop[now], found.classes[now], strict=True))
        assert there == set(zip(expected.onsets_s, expected.offsets_s, expected.classes, strict=True))


def test_some_classes_at_a_time_are_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    track = track_of(np.random.default_rng(0).random((50, 5)))
    (at_once,) = all_stretches(track)
    monkeypatch.setattr(module, "CACHED_VALUES", 120)
    parts = all_stretches(track)
    assert [np.unique(part.classes).tolist() for part in parts] == [[0, 1], [2, 3], [4]]
    assert np.concatenate([part.appears for part in parts]).tolist() == at_once.appears.tolist()
    assert np.concatenate([part.vanishes() for part in parts]).tolist() == at_once.vanishes().tolist()
