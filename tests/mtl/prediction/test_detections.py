"""Scenes and events from probabilities, with numbers that a reader can check."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.mtl.data.audio import AudioInfo
from ablate.mtl.data.features import CLIP_FRAMES
from ablate.mtl.prediction.detections import COLUMNS, Tally, rows, stretches
from ablate.mtl.prediction.listening import Heard

RATE_HZ = 8000


def heard(first_frame: int, n_frames: int, *, scenes: list[float] | None = None, car: float = 0.0) -> Heard:
    """A clip in which ``car`` has one probability throughout, and ``dog`` none."""
    events = np.tile(np.array([car, 0.0], np.float32), (n_frames, 1))
    probabilities = None if scenes is None else np.array(scenes, np.float32)
    return Heard(first_frame, np.zeros((n_frames, 64), np.float32), probabilities, events)


def tally(seconds: float, threshold: float = 0.5) -> Tally:
    info = AudioInfo(RATE_HZ, round(seconds * RATE_HZ))
    return Tally("a.wav", info, ["bus", "park"], ["car", "dog"], threshold)


def test_frames_above_the_threshold_are_an_event_with_their_mean_probability() -> None:
    clip = heard(0, 100)
    assert clip.events is not None
    clip.events[10:20, 0] = 0.6
    clip.events[20:40, 0] = 0.9
    clip.events[50:60, 1] = 0.5  # does not exceed it
    found = tally(2.0)
    found.add(clip)
    (event,) = found.prediction().events
    assert (event.label, event.onset_s, event.offset_s) == ("car", 0.2, 0.8)
    assert event.probability == pytest.approx((10 * 0.6 + 20 * 0.9) / 30)


def test_an_event_goes_on_in_the_next_clip() -> None:
    found = tally(20.0)
    found.add(heard(0, CLIP_FRAMES, car=0.6))
    found.add(heard(CLIP_FRAMES, CLIP_FRAMES, car=0.8))
    (event,) = found.prediction().events
    assert (event.onset_s, event.offset_s) == (0.0, 20.0)
    assert event.probability == pytest.approx(0.7)


def test_an_event_does_not_outlast_its_recording() -> None:
    found = tally(1.011)  # whose last frame, the 51st, has its centre at 1.01 s and ends at 1.02 s
    found.add(heard(0, 51, car=0.9))
    (event,) = found.prediction().events
    assert event.offset_s == 1.011


def test_the_scene_is_the_mean_over_frames_not_over_clips() -> None:
    found = tally(12.0)
    found.add(heard(0, 500, scenes=[0.45, 0.55]))
    found.add(heard(500, 100, scenes=[1.0, 0.0]))
    prediction = found.prediction()
    assert list(prediction.scenes) == ["bus", "park"]
    assert prediction.scenes["bus"] == pytest.approx((5 * 0.45 + 1 * 1.0) / 6)  # 0.54
    assert [(clip.onset_s, clip.offset_s) for clip in prediction.clips] == [(0.0, 10.0), (10.0, 12.0)]
    assert prediction.clips[1].probabilities == {"bus": 1.0, "park": 0.0}


def test_rows_have_each_scene_and_then_each_event() -> None:
    found = tally(2.0)
    found.add(heard(0, 100, scenes=[0.25, 0.75], car=0.75))
    assert len(COLUMNS) == 6
    assert list(rows(found.prediction())) == [
        ("a.wav", "scene", "park", 0.0, 2.0, 0.75),
        ("a.wav", "scene", "bus", 0.0, 2.0, 0.25),
        ("a.wav", "event", "car", 0.0, 2.0, 0.75),
    ]


@given(st.lists(st.booleans(), max_size=40))
def test_stretches_are_the_active_frames(active: list[bool]) -> None:
    flags = np.array(active, dtype=bool)
    found = list(stretches(flags))
    again = np.zeros_like(flags)
    for first, stop in found:
        assert first < stop
        again[first:stop] = True
    assert np.array_equal(again, flags)
    assert all(stop < first for (_, stop), (first, _) in pairwise(found))


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 20))
def test_how_a_recording_is_cut_changes_no_event(active: list[bool], n_frames: int) -> None:
    probabilities = np.where(active, 0.75, 0.25).astype(np.float32)[:, None]
    whole, cut = (Tally("a.wav", AudioInfo(RATE_HZ, 10**6), [], ["car"], 0.5) for _ in range(2))
    whole.add(Heard(0, np.zeros((len(active), 64), np.float32), None, probabilities))
    for first in range(0, len(active), n_frames):
        part = probabilities[first : first + n_frames]
        cut.add(Heard(first, np.zeros((len(part), 64), np.float32), None, part))
    assert cut.prediction() == whole.prediction()
