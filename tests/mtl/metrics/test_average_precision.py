import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from ablate.mtl.metrics.average_precision import average_precision, mean_average_precision, segment_scores


def test_average_precision_by_hand() -> None:
    # Ranked: true, false, true. Precision 1 at half of the recall, 2/3 at the other half.
    scores, targets = np.array([[0.9], [0.8], [0.7]]), np.array([[True], [False], [True]])
    assert average_precision(scores, targets) == [pytest.approx((1 + 2 / 3) / 2)]


def test_a_class_that_never_occurs_is_undefined_and_left_out_of_the_mean() -> None:
    scores = np.array([[0.9, 0.9], [0.8, 0.1]])
    targets = np.array([[True, False], [False, False]])
    assert average_precision(scores, targets) == [1, None]
    assert mean_average_precision(scores, targets) == 1
    assert mean_average_precision(scores, np.zeros_like(targets)) is None
    assert mean_average_precision(scores[:0], targets[:0]) is None


def test_shapes_that_differ_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(2, 1\)"):
        average_precision(np.zeros((2, 2)), np.zeros((2, 1), dtype=bool))


@given(st.data(), st.integers(1, 30))
@settings(deadline=None)
def test_average_precision_equals_scikit_learns(data: st.DataObject, n_items: int) -> None:
    levels = st.sampled_from((0.0, 0.1, 0.5, 0.51, 1.0))  # few, so that scores are often equal
    scores = data.draw(arrays(np.float64, (n_items, 2), elements=levels))
    targets = data.draw(arrays(bool, (n_items, 2)))
    for label, ours in enumerate(average_precision(scores, targets)):
        if targets[:, label].any():
            theirs = average_precision_score(targets[:, label], scores[:, label])
            assert ours == pytest.approx(theirs, abs=1e-9)
        else:
            assert ours is None


def test_the_score_of_a_segment_is_the_highest_of_its_frames() -> None:
    scores = np.array([[0.1], [0.7], [0.2], [0.3], [0.9], [0.4]])
    # Frames of 0.4 s, with centres at 0.2, 0.6, 1.0, 1.4, 1.8 and 2.2 s: two, three and one in a segment.
    assert segment_scores(scores, 0.4, 1.0, 2.4)[:, 0].tolist() == [0.7, 0.9, 0.4]
    assert segment_scores(scores, 0.4, 1.0, 2.0)[:, 0].tolist() == [0.7, 0.9]
    assert segment_scores(scores, 0.4, 1.0, 3.5)[:, 0].tolist() == [0.7, 0.9, 0.4, -np.inf]
