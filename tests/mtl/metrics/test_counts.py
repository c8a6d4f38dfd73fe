import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ablate.mtl.metrics.counts import EventCounts, count_events, count_scenes


def as_lists(of_clips: EventCounts) -> tuple[list[int], list[int], list[int]]:
    counts = of_clips.total()
    return (
        counts.true_positives.tolist(),
        counts.false_positives.tolist(),
        counts.false_negatives.tolist(),
    )


# One clip of four frames, two events.   frame:  0  1  2  3
REFERENCE = np.array([[[1, 0], [1, 0], [0, 1], [0, 1]]], dtype=bool)
PREDICTED = np.array([[[1, 1], [0, 0], [1, 1], [0, 1]]], dtype=bool)


def test_frames_are_counted_per_event() -> None:
    counts = count_events(PREDICTED, REFERENCE, np.ones((1, 4), dtype=bool))
    assert as_lists(counts) == ([1, 2], [1, 1], [1, 0])
    assert counts.true_positives.dtype == np.int64


def test_masked_frames_count_nowhere() -> None:
    mask = np.array([[True, True, False, False]])
    assert as_lists(count_events(PREDICTED, REFERENCE, mask)) == ([1, 0], [0, 1], [1, 0])


def test_zeros_and_ones_of_any_type_are_flags() -> None:
    mask = np.ones((1, 4))
    counts = count_events(PREDICTED.astype(np.uint8), REFERENCE.astype(np.float32), mask)
    assert as_lists(counts) == ([1, 2], [1, 1], [1, 0])


def test_without_clips_all_counts_are_zero() -> None:
    empty = np.zeros((0, 4, 2), dtype=bool)
    assert as_lists(count_events(empty, empty, np.zeros((0, 4), dtype=bool))) == ([0, 0], [0, 0], [0, 0])


def test_shapes_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(1, 4, 2\), \(1, 4, 2\) and \(1, 3\)"):
        count_events(PREDICTED, REFERENCE, np.ones((1, 3), dtype=bool))


@st.composite
def batches(draw: st.DrawFn, n_clips: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = (n_clips, draw(st.integers(1, 5)), draw(st.integers(1, 4)))
    return (
        draw(arrays(bool, shape)),
        draw(arrays(bool, shape)),
        draw(arrays(bool, shape[:2])),
    )


@given(batches(), st.integers(0, 3))
def test_counts_of_parts_add_up_to_the_counts_of_the_whole(
    batch: tuple[np.ndarray, np.ndarray, np.ndarray], cut: int
) -> None:
    first = count_events(*(part[:cut] for part in batch))
    second = count_events(*(part[cut:] for part in batch))
    total = first.total() + second.total()
    whole = count_events(*batch)
    assert (total.true_positives == whole.total().true_positives).all()
    assert as_lists(whole.of_groups(np.array([0, 1, 1]), 2)) == as_lists(whole)


@given(batches())
def test_true_positives_and_misses_are_the_frames_that_sound(
    batch: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    predicted, reference, mask = batch
    counts = count_events(predicted, reference, mask).total()
    sounding = (reference & mask[..., None]).sum(axis=(0, 1))
    detected = (predicted & mask[..., None]).sum(axis=(0, 1))
    assert (counts.true_positives + counts.false_negatives == sounding).all()
    assert (counts.true_positives + counts.false_positives == detected).all()


def test_scenes_are_counted_with_the_truth_in_rows() -> None:
    confusion = count_scenes(predicted=np.array([0, 1, 1, 1]), reference=np.array([0, 0, 1, 2]), n_scenes=3)
    assert confusion.tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]
    assert confusion.dtype == np.int64


def test_no_clip_is_an_empty_confusion() -> None:
    nothing = np.array([], dtype=np.int64)
    assert count_scenes(nothing, nothing, 2).tolist() == [[0, 0], [0, 0]]


def test_a_scene_out_of_range_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"predicted scenes lie in 0\.\.1; got 0\.\.2"):
        count_scenes(np.array([0, 2]), np.array([0, 1]), 2)
