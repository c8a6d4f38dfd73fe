import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ablate.mtl.detection.smoothing import median_filtered, window_frames

HOP_S = 0.02


@pytest.mark.parametrize(
    ("length_s", "n_frames"),
    [(0.0, 1), (0.02, 1), (0.04, 3), (0.06, 3), (0.48, 25), (0.5, 25), (0.52, 27), (1.0, 51)],
)
def test_a_window_is_an_odd_number_of_frames(length_s: float, n_frames: int) -> None:
    assert window_frames(length_s, HOP_S) == n_frames


def test_a_dip_and_a_peak_shorter_than_half_a_window_are_gone() -> None:
    scores = np.array([0, 0, 1, 0, 0, 1, 1, 0, 1, 1], dtype=np.float32)[:, None]
    assert median_filtered(scores, 0.06, HOP_S)[:, 0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]


def test_past_the_ends_frames_are_mirrored() -> None:
    scores = np.array([3.0, 1.0, 2.0, 5.0])[:, None]
    # A window of 5 around the first frame has 1 3 | 3 1 2, around the last 1 2 5 | 5 2.
    assert median_filtered(scores, 0.1, HOP_S)[:, 0].tolist() == [2.0, 3.0, 3.0, 2.0]


def test_a_window_may_be_longer_than_the_recording() -> None:
    scores = np.array([3.0, 1.0, 2.0])[:, None]
    assert median_filtered(scores, 1.0, HOP_S)[:, 0].tolist() == [2.0, 2.0, 2.0]


def test_a_window_of_no_length_and_a_recording_without_frames_change_nothing() -> None:
    scores = np.array([[3.0], [1.0]])
    assert median_filtered(scores, 0.0, HOP_S) is scores
    assert median_filtered(scores[:0], 1.0, HOP_S).shape == (0, 1)
    with pytest.raises(ValueError, match="got -1"):
        median_filtered(scores, -1, HOP_S)


@given(arrays(np.float16, (30, 2), elements=st.floats(-8, 8, width=16)))
@settings(deadline=None)
def test_filtering_log_odds_is_filtering_probabilities(odds: np.ndarray) -> None:
    filtered = median_filtered(odds, 0.1, HOP_S)
    assert filtered.dtype == odds.dtype
    probabilities = 1 / (1 + np.exp(-odds.astype(np.float64)))
    expected = median_filtered(probabilities, 0.1, HOP_S)
    np.testing.assert_allclose(1 / (1 + np.exp(-filtered.astype(np.float64))), expected, rtol=1e-12)
