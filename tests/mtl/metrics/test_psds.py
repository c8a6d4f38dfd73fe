"""By hand, and laws; beside sed_scores_eval in ``test_reference.py``."""

from dataclasses import replace

import numpy as np
import pytest

from ablate.mtl.metrics.changes import recording_changes
from ablate.mtl.metrics.events import Candidates, Events, Reference, Track
from ablate.mtl.metrics.intersection_based import Criteria, intersection_counts
from ablate.mtl.metrics.psds import PSDS1, PSDS2, PsdsSettings, class_curve, psds, psds_of
from benchmarks.metrics.cases import BY_HAND, SETTINGS, random_case

CAR, DISHES = 0, 1
HOUR_S = 3600.0


def track_of(candidates: list[tuple[float, float, int, float]], n_classes: int) -> Track:
    events = Events.of([(onset, offset, label) for onset, offset, label, _ in candidates])
    confidences = np.array([confidence for *_, confidence in candidates])
    return Candidates(events, confidences).track(n_classes, HOUR_S)


def test_the_area_is_that_of_what_is_found_at_each_rate_of_false_alarms() -> None:
    track = track_of([(10, 20, CAR, 0.9), (50, 60, CAR, 0.8), (30, 40, CAR, 0.7)], n_classes=1)
    reference = Reference(Events.of([(10, 20, CAR), (30, 40, CAR)]), HOUR_S)
    # Half of the events without a false alarm, all with one in an hour: (0.5 x 1 + 1 x 99) / 100.
    assert psds([track], [reference], PSDS1).score == pytest.approx(0.995)
    curve = class_curve([recording_changes(track, reference, PSDS1.criteria)], CAR, PSDS1)
    assert curve is not None
    assert curve.efpr.tolist() == [0, 1]
    assert curve.tpr.tolist() == [0.5, 1]


def test_a_detection_of_another_classs_event_costs_more_in_psds_2() -> None:
    detected = [(30, 40, CAR, 0.9), (10, 20, CAR, 0.8), (30, 40, DISHES, 0.5)]
    track = track_of(detected, n_classes=2)
    reference = Reference(Events.of([(10, 20, CAR), (30, 40, DISHES)]), HOUR_S)
    assert psds([track], [reference], PSDS1).classes == pytest.approx((0.99, 1.0))
    # One false alarm and, of 10 s of dishes, one cross trigger: 1 + 0.5 x 3600 / 10 = 181 an hour, over 100.
    found = psds([track], [reference], PSDS2)
    assert found.classes == (0.0, 1.0)
    assert found.score == 0  # the mean 0.5 less the deviation 0.5
    assert psds([track], [reference], replace(PSDS2, alpha_st=0)).score == 0.5


def test_a_class_that_never_occurs_has_no_score_and_no_part_in_that_of_all() -> None:
    track = track_of([(10, 20, CAR, 0.9), (30, 40, DISHES, 0.8)], n_classes=2)
    reference = Reference(Events.of([(10, 20, CAR)]), HOUR_S)
    found = psds([track], [reference], PSDS2)
    assert found.classes == (1.0, None)
    assert found.score == 1


def test_without_any_event_there_is_no_score() -> None:
    found = psds([track_of([(10, 20, CAR, 0.9)], 2)], [Reference(Events.of([]), HOUR_S)], PSDS1)
    assert found.score is None
    assert found.classes == (None, None)


def test_recordings_that_do_not_last_have_no_score() -> None:
    track, event = Track(np.zeros(1), np.zeros((0, 1))), Events.of([(0, 1, CAR)])
    assert psds([track], [Reference(event, 0.0)], PSDS1).score is None


def test_a_class_without_a_score_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"classes are 0\.\.0; an event has class 1"):
        psds([track_of([], n_classes=1)], [Reference(Events.of([(0, 1, DISHES)]), HOUR_S)], PSDS1)


def test_what_is_never_detected_scores_0() -> None:
    (recording,) = BY_HAND["nothing is ever detected"]()
    assert psds([recording.track()], [recording.reference()], PSDS1).score == 0


def test_without_a_recording_there_is_nothing_to_score() -> None:
    with pytest.raises(ValueError, match="at least one recording"):
        psds([], [], PSDS1)


def test_a_weight_of_cross_triggers_needs_a_criterion() -> None:
    with pytest.raises(ValueError, match="go together"):
        PsdsSettings(Criteria(0.5, 0.5), cross_trigger=0.3)


@pytest.mark.parametrize("seed", range(8))
def test_only_the_order_of_scores_matters(seed: int) -> None:
    case = random_case(seed)
    references = [recording.reference() for recording in case]
    tracks = [recording.track() for recording in case]
    stretched = [replace(track, scores=track.scores**3 * 10 - 5) for track in tracks]
    for settings in SETTINGS.values():
        assert psds(stretched, references, settings) == psds(tracks, references, settings)


@pytest.mark.parametrize("seed", range(4))
def test_drawn_recordings_score_like_as_many_copies_of_them(seed: int) -> None:
    case = random_case(seed) + random_case(seed + 100)
    settings = SETTINGS["other"]
    tracks = [recording.track() for recording in case]
    references = [recording.reference() for recording in case]
    kept = [
        recording_changes(*pair, settings.criteria, settings.cross_trigger)
        for pair in zip(tracks, references, strict=True)
    ]
    drawn = np.random.default_rng(seed).integers(len(case), size=len(case))
    copies = psds([tracks[i] for i in drawn], [references[i] for i in drawn], settings)
    assert psds_of([kept[i] for i in drawn], settings) == copies


@pytest.mark.parametrize("seed", range(4))
def test_every_point_of_a_curve_is_that_of_a_threshold(seed: int) -> None:
    case = random_case(seed)
    references = [recording.reference() for recording in case]
    settings = replace(PSDS1, max_efpr=1e6)
    changes = [recording_changes(item.track(), item.reference(), settings.criteria) for item in case]
    hours = sum(recording.duration_s for recording in case) / HOUR_S
    reachable = set()
    for threshold in np.unique(np.concatenate([recording.track().scores for recording in case])) - 1e-6:
        detected = [recording.track().above(threshold) for recording in case]
        total = intersection_counts(detected, references, 3, settings.criteria).total()
        reachable.add((total.true_positives[CAR], total.false_positives[CAR]))
    curve = class_curve(changes, CAR, settings)
    n_events = sum(changed.n_events[CAR] for changed in changes)
    if curve is None:
        assert n_events == 0
        return
    points = np.rint(np.column_stack((curve.tpr * n_events, curve.efpr * hours))).astype(int)
    assert {tuple(point) for point in points.tolist()} <= reachable | {(0, 0)}
