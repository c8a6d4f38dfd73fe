"""What is kept of a trained network."""

from dataclasses import replace

import numpy as np
import pytest

from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import Prepared
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.scoring import score
from ablate.subject.items import Items
from tests.mtl.training.tiny import CPU, N_EVENTS, N_SCENES, make_data


@pytest.mark.parametrize("tasks", ["both", "scene", "event"])
def test_the_counts_of_the_recordings_make_the_scores(tasks: str) -> None:
    config = RunConfig().override({"tasks": tasks, "model.width": 0.05})
    data = _with_two_recordings(make_data())
    scores = score(config, data, Mtl(config, N_SCENES, N_EVENTS), CPU)
    kept = scores.kept["items.npz"]
    assert isinstance(kept, bytes)
    items = Items.from_bytes(kept)
    assert (items.kind, items.names) == ("recording", ["0.wav", "1.wav"])
    stored = {name: scores.metrics.get(name) for name in items.metrics if "recall" not in name}
    assert {name: items.score(name) for name in stored} == pytest.approx(stored)
    assert ("event_micro_f" in items.metrics) is (tasks != "scene")
    assert ("scene_macro_f" in items.metrics) is (tasks != "event")


def _with_two_recordings(data: Prepared) -> Prepared:
    """The evaluation's six clips as those of two recordings."""
    split = data.evaluation
    recordings = np.array([0, 0, 0, 0, 1, 1], np.int32)
    return replace(
        data, evaluation=replace(split, recordings=recordings, recording_names=split.recording_names[:2])
    )
