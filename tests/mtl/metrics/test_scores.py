import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score

from ablate.ground.errors import DataError
from ablate.mtl.data.vocabulary import EVENTS, SCENES
from ablate.mtl.metrics.counts import EventCounts, count_events, count_scenes
from ablate.mtl.metrics.scores import event_scores, scene_scores, slugs
from ablate.subject.scores import shares, slug

FRAME_SECONDS = 0.02
LABELS = ("car", "fan", "dishes", "bird singing")
UNDEFINED = np.nan


def counts(true_positives: list[int], false_positives: list[int], false_negatives: list[int]) -> EventCounts:
    return EventCounts(np.array(true_positives), np.array(false_positives), np.array(false_negatives))


def nan(value: float | None) -> float:
    return math.nan if value is None else value


# By hand


def test_event_scores_by_hand() -> None:
    # car: P = 3/4, R = 3/5, F = 6/9.  fan: P = R = F = 1.
    scores = event_scores(counts([3, 5], [1, 0], [2, 0]), ["car", "fan"])
    assert scores["event_precision/car"] == 3 / 4
    assert scores["event_recall/car"] == 3 / 5
    assert scores["event_f/car"] == 6 / 9
    assert scores["event_f/fan"] == 1.0
    assert scores["event_macro_f"] == (6 / 9 + 1) / 2
    assert scores["event_micro_precision"] == 8 / 9
    assert scores["event_micro_recall"] == 8 / 10
    assert scores["event_micro_f"] == 16 / 19
    assert scores["event_micro_f_without_fan"] == 6 / 9
    assert scores["event_macro_f_without_fan"] == 6 / 9


def test_scores_without_fan_are_left_out_when_there_is_no_fan() -> None:
    assert not [name for name in event_scores(counts([1], [0], [0]), ["car"]) if "without" in name]


def test_other_events_can_be_left_out() -> None:
    scores = event_scores(counts([1, 1, 1], [0, 0, 1], [0, 1, 1]), LABELS[:3], without=("car", "dishes"))
    assert scores["event_micro_f_without_car_dishes"] == 2 / 3


# car is present and never predicted, fan is predicted and never present, dishes is neither, bird is found.
CORNERS = counts([0, 0, 0, 4], [0, 3, 0, 0], [2, 0, 0, 0])


def test_a_class_that_is_never_predicted_scores_zero_and_lowers_the_macro_mean() -> None:
    scores = event_scores(CORNERS, LABELS)
    assert scores["event_precision/car"] is None
    assert scores["event_recall/car"] == 0
    assert scores["event_f/car"] == 0
    assert scores["event_macro_f"] == (0 + 1) / 2


def test_a_class_that_never_occurs_is_not_in_the_macro_mean_but_its_false_alarms_are_in_the_micro_f() -> None:
    scores = event_scores(CORNERS, LABELS)
    assert scores["event_precision/fan"] == 0
    assert scores["event_recall/fan"] is None
    assert scores["event_f/fan"] is None
    assert scores["event_micro_f"] == 8 / (8 + 3 + 2)


def test_a_class_that_neither_occurs_nor_is_predicted_is_undefined() -> None:
    scores = event_scores(CORNERS, LABELS)
    assert [scores[f"event_{kind}/dishes"] for kind in ("precision", "recall", "f")] == [None, None, None]


def test_with_nothing_at_all_every_score_is_undefined() -> None:
    zero = [0] * len(LABELS)
    assert set(event_scores(counts(zero, zero, zero), LABELS).values()) == {None}
    assert set(scene_scores(np.zeros((4, 4), dtype=np.int64), SCENES).values()) == {None}


def test_scene_scores_by_hand() -> None:
    # home: 2 of 3 found; office: 1 of 1, and one home clip taken for it.
    scores = scene_scores(np.array([[2, 1], [0, 1]]), ["home", "office"])
    assert scores["scene_micro_f"] == 3 / 4
    assert scores["scene_recall/home"] == 2 / 3
    assert scores["scene_precision/office"] == 1 / 2
    assert scores["scene_f/home"] == 4 / 5
    assert scores["scene_f/office"] == 2 / 3
    assert scores["scene_macro_f"] == (4 / 5 + 2 / 3) / 2


def test_rows_of_the_recall_matrix_sum_to_one_and_an_absent_scene_is_nan() -> None:
    recalls = shares(np.array([[3, 1], [0, 0]]))
    assert recalls[0].tolist() == [0.75, 0.25]
    assert np.isnan(recalls[1]).all()


# Names


def test_slugs_of_all_labels_differ_and_are_plain() -> None:
    names = slugs([*EVENTS, *SCENES])
    assert len(set(names)) == 25 + 4
    assert all(name.replace("_", "").isalnum() for name in names)


@pytest.mark.parametrize(
    ("label", "expected"),
    [("(object) impact", "object_impact"), ("city_center", "city_center"), ("bird singing", "bird_singing")],
)
def test_slug(label: str, expected: str) -> None:
    assert slug(label) == expected


def test_labels_that_would_share_a_metric_are_all_named() -> None:
    with pytest.raises(DataError) as caught:
        slugs(["car", "(car)", "!!", "door slam", "door-slam"])
    assert len(caught.value.problems) == 3


@given(st.text(max_size=20))
def test_a_slug_is_its_own_slug(label: str) -> None:
    assert slug(slug(label)) == slug(label)


# Against scikit-learn and sed_eval


@st.composite
def clips(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions, references and a mask; events are often absent or never predicted."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 6)), len(LABELS))
    predicted = draw(arrays(bool, shape)) & draw(arrays(bool, (len(LABELS),)))
    reference = draw(arrays(bool, shape)) & draw(arrays(bool, (len(LABELS),)))
    return predicted, reference, draw(arrays(bool, shape[:2]))


@given(clips())
@settings(deadline=None)
def test_event_scores_equal_scikit_learns(batch: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    predicted, reference, mask = batch
    scores = event_scores(count_events(*batch).total(), LABELS)
    true, guess = reference[mask], predicted[mask]  # (n_frames, n_events)
    if not len(true):
        assert set(scores.values()) == {None}
        return
    options: dict[str, Any] = {"average": None, "zero_division": UNDEFINED}
    present = true.any(axis=0)
    expected_f = np.where(present, f1_score(true, guess, **options), UNDEFINED)
    for i, label in enumerate(map(slug, LABELS)):
        assert nan(scores[f"event_f/{label}"]) == pytest.approx(expected_f[i], nan_ok=True)
    compare_all(scores, "event_precision", precision_score(true, guess, **options))
    compare_all(scores, "event_recall", recall_score(true, guess, **options))
    if present.any():
        micro = {"average": "micro", "zero_division": UNDEFINED}
        assert scores["event_micro_f"] == pytest.approx(f1_score(true, guess, **micro))
        macro = f1_score(
            true, guess, average="macro", labels=np.flatnonzero(present), zero_division=UNDEFINED
        )
        assert scores["event_macro_f"] == pytest.approx(macro)
    else:
        assert scores["event_micro_f"] is scores["event_macro_f"] is None


def compare_all(scores: Mapping[str, float | None], kind: str, expected: np.ndarray) -> None:
    ours = [nan(scores[f"{kind}/{slug(label)}"]) for label in LABELS]
    np.testing.assert_allclose(ours, expected)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
@settings(deadline=None)
def test_scene_scores_equal_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    true, guess = np.array(pairs).T
    confusion = count_scenes(guess, true, len(SCENES))
    assert (confusion == confusion_matrix(true, guess, labels=range(4))).all()
    scores = scene_scores(confusion, SCENES)
    present = np.unique(true)
    assert scores["scene_micro_f"] == pytest.approx(accuracy_score(true, guess))
    assert scores["scene_macro_f"] == pytest.approx(
        f1_score(true, guess, labels=present, average="macro", zero_division=UNDEFINED)
    )


def as_event_list(roll: np.ndarray) -> list[dict[str, Any]]:
    """A roll (n_frames, n_events) as one event a frame."""
    return [
        {
            "event_label": LABELS[event],
            "onset": frame * FRAME_SECONDS,
            "offset": (frame + 1) * FRAME_SECONDS,
            "file": "clip.wav",
        }
        for frame, event in np.argwhere(roll).tolist()
    ]


@given(batch=clips())
@settings(max_examples=40, deadline=None)
def test_event_scores_equal_sed_evals(
    sed_eval: Any, batch: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    reference_metrics = sed_eval.sound_event.SegmentBasedMetrics(list(LABELS), time_resolution=FRAME_SECONDS)
    reference_metrics.empty_system_output_handling = "zero_score"
    for predicted, reference, mask in zip(*batch, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reference_metrics.evaluate(
                as_event_list(reference[mask]),
                as_event_list(predicted[mask]),
                evaluated_length_seconds=mask.sum() * FRAME_SECONDS,
            )
    scores = event_scores(count_events(*batch).total(), LABELS)
    overall = reference_metrics.overall_f_measure()
    assert nan(scores["event_micro_f"]) == pytest.approx(overall["f_measure"], nan_ok=True)
    assert nan(scores["event_micro_recall"]) == pytest.approx(overall["recall"], nan_ok=True)
    theirs = [reference_metrics.class_wise_f_measure(label)["f_measure"] for label in LABELS]
    compare_all(scores, "event_f", np.array(theirs))
    if not np.isnan(theirs).all():
        average = reference_metrics.results_class_wise_average_metrics()["f_measure"]["f_measure"]
        assert scores["event_macro_f"] == pytest.approx(average)
