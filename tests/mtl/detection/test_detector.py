"""Events from the scores of frames, smoothed or in boxes; and as settings of a run."""

import numpy as np
import pytest

from ablate.mtl.config import RunConfig
from ablate.mtl.detection.detector import Detector
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.evaluate import evaluate_run, judge, outputs, scored_clips
from tests.mtl.training.tiny import CPU, N_EVENTS, N_SCENES, make_data

HOP_S = 0.02
# One class that sounds in ten frames of twenty, with a dip in the middle.
DIP = np.array([0.1] * 5 + [0.9] * 5 + [0.3] + [0.9] * 4 + [0.1] * 5, np.float32)[:, None]


def test_a_plain_detector_judges_each_frame() -> None:
    detector = Detector()
    assert detector.is_plain
    assert detector.frames(DIP, HOP_S, 0.5)[:, 0].nonzero()[0].tolist() == [5, 6, 7, 8, 9, 11, 12, 13, 14]


@pytest.mark.parametrize("detector", [Detector(median_s=0.06), Detector(boxes=True)])
def test_smoothing_and_boxes_bridge_a_dip(detector: Detector) -> None:
    assert not detector.is_plain
    active = detector.frames(DIP, HOP_S, 0.5)[:, 0].nonzero()[0].tolist()
    assert active == list(range(active[0], active[-1] + 1))
    assert {6, 7, 8, 9, 10, 11, 12, 13} <= set(active)


def test_each_class_has_its_threshold() -> None:
    both = np.concatenate((DIP, DIP), axis=1)
    detected = Detector().frames(both, HOP_S, np.array([0.5, 0.2]))
    assert detected.sum(axis=0).tolist() == [9, 10]


def test_a_frame_outside_all_boxes_has_no_score() -> None:
    scores = Detector(boxes=True).frame_scores(DIP, HOP_S)[:, 0]
    assert np.isneginf(scores[[0, 1, 18, 19]]).all()
    assert (scores[7:13] == scores[7]).all()  # one box, one confidence


def test_a_run_is_scored_as_its_settings_say() -> None:
    data = make_data()
    config = RunConfig().override({"model.width": 0.05, "tasks": "event"})
    model = Mtl(config, N_SCENES, N_EVENTS)
    split, clips = scored_clips(data, config)
    said = outputs(model, split, clips, device=CPU)
    for changes in ({"scoring.median": 0.1}, {"scoring.boxes": True}):
        scoring = config.override(changes)
        evaluation = evaluate_run(model, data, scoring, CPU)
        detector = Detector.of(scoring.scoring)
        expected = judge(said, split, clips, 0.5, detector)
        assert evaluation.events is not None
        assert expected.events is not None
        assert vars(evaluation.events).keys() == vars(expected.events).keys()
        for name, counts in vars(evaluation.events).items():
            np.testing.assert_array_equal(counts, getattr(expected.events, name))


def test_a_threshold_that_detects_everything_does_so_with_any_detector() -> None:
    data = make_data()
    split, clips = scored_clips(data, RunConfig())
    said = outputs(Mtl(RunConfig(), N_SCENES, N_EVENTS), split, clips, device=CPU)
    n_frames = int(split.mask.sum())
    for detector in (Detector(), Detector(median_s=0.1)):
        counts = judge(said, split, clips, 1e-30, detector).events
        assert counts is not None
        detected = counts.true_positives + counts.false_positives
        assert detected.tolist() == [n_frames] * N_EVENTS
