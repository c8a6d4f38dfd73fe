import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score

from ablate.mtl.detection.thresholds import tune_thresholds


def tuned(scores: list[float], targets: list[int], default: float = 0.5) -> float:
    column, truth = np.array(scores)[:, None], np.array(targets, dtype=bool)[:, None]
    return float(tune_thresholds(column, truth, np.ones(len(scores), dtype=bool), default)[0])


def test_the_threshold_lies_halfway_between_what_is_and_what_is_not_detected() -> None:
    assert tuned([0.1, 0.2, 0.6, 0.9], [0, 0, 1, 1]) == pytest.approx(0.4)


def test_of_equally_good_thresholds_the_highest_is_taken() -> None:
    # Above 0.7: TP 1, FP 0, FN 1. Above 0.3: TP 2, FP 2, FN 0. Both F are 2/3.
    assert tuned([0.9, 0.5, 0.45, 0.4, 0.1], [1, 0, 0, 1, 0]) == pytest.approx(0.7)


def test_scores_that_are_equal_are_detected_together() -> None:
    assert tuned([0.2, 0.6, 0.6, 0.6], [0, 1, 0, 1]) == pytest.approx(0.4)


def test_where_everything_is_best_detected_the_threshold_is_below_all_scores() -> None:
    threshold = tuned([0.3, 0.5], [1, 1])
    assert 0.3 - 1e-9 < threshold < 0.3


def test_a_class_that_never_occurs_keeps_the_default() -> None:
    assert tuned([0.1, 0.9], [0, 0]) == 0.5
    assert tuned([-1.0, 2.0], [0, 0], default=0.0) == 0.0
    assert tuned([], []) == 0.5


def test_padded_frames_have_no_say() -> None:
    scores = np.array([[[0.1], [0.9]], [[0.4], [0.99]]])  # two clips of two frames
    targets = np.array([[[0], [1]], [[0], [0]]])
    mask = np.array([[1, 1], [1, 0]])
    assert tune_thresholds(scores, targets, mask)[0] == pytest.approx(0.65)


def test_no_number_lies_between_neighbouring_floats() -> None:
    above = np.nextafter(0.5, 1.0)
    assert tuned([0.5, above], [0, 1]) == 0.5


def test_shapes_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(2, 1\), \(2, 1\) and \(3,\)"):
        tune_thresholds(np.zeros((2, 1)), np.zeros((2, 1), dtype=bool), np.ones(3, dtype=bool))


@given(st.data(), st.integers(1, 20))
@settings(deadline=None)
def test_no_other_threshold_is_better(data: st.DataObject, n_frames: int) -> None:
    scores = data.draw(arrays(np.float16, (n_frames, 1), elements=st.floats(-4, 4, width=16)))
    targets = data.draw(arrays(bool, (n_frames, 1)))
    threshold = tune_thresholds(scores, targets, np.ones(n_frames, dtype=bool))
    if not targets.any():
        return
    ours = f1_score(targets, scores > threshold)
    for other in [*scores[:, 0].astype(float), -9.0]:
        assert f1_score(targets, scores.astype(float) > other, zero_division=0) <= ours + 1e-12
