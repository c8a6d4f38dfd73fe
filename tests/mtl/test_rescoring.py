"""Scores that are asked for later: as the run's own where they are the same, and by name where not."""

from dataclasses import replace

import numpy as np
import pytest

from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import Prepared
from ablate.mtl.detection.detector import Detector
from ablate.mtl.keeping import Kept, from_bytes
from ablate.mtl.metrics.named import GROUPS
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.rescoring import Way, rescore, targets, tuned
from ablate.mtl.scoring import score
from ablate.mtl.training.loop import train
from ablate.subject.scores import Scores
from tests.mtl.training.tiny import CPU, make_data

CONFIG = RunConfig().override(
    {"model.width": 0.05, "optim.epochs": 10, "optim.lr": 0.02, "optim.batch_size": 4}
)
OWN = Way(Detector(), 0.5)


@pytest.fixture(scope="module")
def data() -> Prepared:
    return make_data()


@pytest.fixture(scope="module")
def model(data: Prepared) -> Mtl:
    return train(CONFIG, data, device=CPU)


@pytest.fixture(scope="module")
def scores(data: Prepared, model: Mtl) -> Scores:
    return score(CONFIG, data, model, CPU)


@pytest.fixture(scope="module")
def kept(scores: Scores) -> Kept:
    content = scores.kept["outputs.npz"]
    assert isinstance(content, bytes)
    return from_bytes(content)


def test_frames_are_scored_as_in_the_run(kept: Kept, scores: Scores) -> None:
    again = rescore(kept, ["event_f"], OWN).metrics
    assert set(again) == {"event_micro_f", "event_macro_f", "event_f/event_0", "event_f/event_1"}
    assert again == pytest.approx({name: scores.metrics[name] for name in again}, abs=1e-12)


def test_the_annotated_frames_are_those_of_the_prepared_data(kept: Kept, data: Prepared) -> None:
    for clip, recording in enumerate(kept.recordings):
        inside = data.evaluation.mask[clip] > 0
        np.testing.assert_array_equal(targets(recording, kept), data.evaluation.events[clip][inside] > 0)


def test_a_run_with_smoothing_is_scored_as_its_settings_say(data: Prepared, model: Mtl, kept: Kept) -> None:
    config = CONFIG.override({"scoring.median": 0.1, "scoring.threshold": 0.3})
    own = score(config, data, model, CPU).metrics
    again = rescore(kept, ["event_f"], Way(Detector(0.1), 0.3)).metrics
    # Half precision may move a frame across 0.3; there are 145 frames of two events.
    assert again["event_micro_f"] == pytest.approx(own["event_micro_f"], abs=0.01)


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_has_its_leading_score(group: str, kept: Kept) -> None:
    found = rescore(kept, [group], OWN)
    value = found.metrics[GROUPS[group].leading]
    assert value is not None
    assert value >= 0
    assert set(found.items.metrics) <= set(found.metrics)


def test_names_say_what_is_not_the_run_s_own_way(kept: Kept) -> None:
    way = Way(Detector(median_s=0.1), np.array([0.4, 0.6]), ".tuned", ".median_0.1s")
    names = set(rescore(kept, ["event_f_collar", "psds1"], way).metrics)
    assert {"event_micro_f_collar.tuned.median_0.1s", "event_f_collar.tuned.median_0.1s/event_0"} <= names
    assert "psds1.median_0.1s" in names  # which no threshold decides


def test_tuned_thresholds_are_the_best_on_the_data_that_they_are_tuned_on(kept: Kept) -> None:
    thresholds = tuned(kept, Detector())
    assert thresholds.shape == (2,)
    best = rescore(kept, ["event_f"], Way(Detector(), thresholds)).metrics["event_macro_f"]
    assert best is not None
    for threshold in (0.1, 0.3, 0.5, 0.7, 0.9):
        other = rescore(kept, ["event_f"], Way(Detector(), threshold)).metrics["event_macro_f"]
        assert other is not None
        assert best >= other


def test_a_network_that_says_nothing_and_data_in_which_nothing_is_heard_have_defined_scores(
    kept: Kept,
) -> None:
    silent = replace(
        kept,
        recordings=tuple(
            replace(recording, log_odds=np.full_like(recording.log_odds, -20.0))
            for recording in kept.recordings
        ),
    )
    metrics = rescore(silent, list(GROUPS), OWN).metrics
    assert metrics["event_micro_f_collar"] == 0
    assert metrics["event_error_segment"] == 1  # everything is missed, and nothing else is wrong
    assert metrics["psds1"] == 0
