"""What a network said, kept with its run."""

from dataclasses import replace

import numpy as np
import pytest

from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import Prepared
from ablate.mtl.keeping import from_bytes, keep
from ablate.mtl.training.classes import without_classes
from ablate.mtl.training.evaluate import Outputs
from tests.mtl.training.tiny import FRAMES, HOP_S, N_EVENTS, N_SCENES, make_data

DATA = make_data()
CLIPS = np.arange(6)


def outputs(seed: int = 0) -> Outputs:
    random = np.random.default_rng(seed)
    return Outputs(
        random.normal(0, 3, (6, FRAMES, N_EVENTS)).astype(np.float32),
        random.normal(0, 1, (6, N_SCENES)).astype(np.float32),
    )


def of_one_recording(data: Prepared) -> Prepared:
    """The evaluation's six clips as one recording, of which the last clip is padded."""
    split = data.evaluation
    return replace(data, evaluation=replace(split, recordings=np.zeros(6, np.int32)))


def test_each_recording_has_its_frames_without_the_padding() -> None:
    said = outputs()
    kept = from_bytes(keep(said, DATA.evaluation, CLIPS, DATA))
    assert (kept.scenes, kept.events, kept.hop_s) == (DATA.scenes, DATA.events, HOP_S)
    assert [recording.name for recording in kept.recordings] == [f"{clip}.wav" for clip in range(6)]
    last = kept.recordings[5]
    assert said.events is not None
    assert last.log_odds is not None
    assert last.log_odds.shape == (20, N_EVENTS)  # of 25 frames, 5 are padding
    np.testing.assert_allclose(last.log_odds, said.events[5, :20], rtol=5e-4)
    assert last.reference.duration_s == pytest.approx(20 * HOP_S)
    assert last.scene == DATA.evaluation.scenes[5]
    assert said.scenes is not None
    np.testing.assert_array_equal(last.scene_scores, said.scenes[5:])


def test_the_clips_of_a_recording_are_joined() -> None:
    data = of_one_recording(DATA)
    said = outputs()
    (kept,) = from_bytes(keep(said, data.evaluation, CLIPS, data)).recordings
    assert said.events is not None
    assert kept.log_odds is not None
    assert len(kept.log_odds) == 5 * FRAMES + 20
    np.testing.assert_allclose(kept.log_odds[FRAMES : 2 * FRAMES], said.events[1], rtol=5e-4)
    assert kept.scene_scores is not None
    assert kept.scene_scores.shape == (6, N_SCENES)


def test_detections_at_one_half_are_those_of_the_network() -> None:
    """Half precision rounds, but never across zero."""
    said = outputs()
    assert said.events is not None
    said.events[0, :4, 0] = (1e-7, -1e-7, 3e-8, -3e-8)
    kept = from_bytes(keep(said, DATA.evaluation, CLIPS, DATA)).recordings[0].log_odds
    assert kept is not None
    assert ((kept > 0) <= (said.events[0] > 0)).all()
    assert ((kept < 0) <= (said.events[0] < 0)).all()


def test_what_is_annotated_is_kept_for_the_classes_that_the_run_has() -> None:
    config = RunConfig().override({"labels.without": "event_0"})
    data = without_classes(DATA, config)
    said = Outputs(outputs().events[..., 1:], None)  # type: ignore[index]
    kept = from_bytes(keep(said, data.evaluation, CLIPS, data))
    assert kept.events == ("event 1",)
    assert all((recording.reference.events.classes == 0).all() for recording in kept.recordings)
    n_annotated = sum(
        label == "event 1" for recording in data.evaluation.annotated for *_, label in recording.events
    )
    assert sum(len(recording.reference.events) for recording in kept.recordings) == n_annotated
    assert kept.recordings[0].scene_scores is None


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", keep(outputs(), DATA.evaluation, CLIPS, DATA)[:300]])
def test_a_damaged_file_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_bytes(damage)
