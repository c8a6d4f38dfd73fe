"""What a trained network gets right and wrong, as counts, and the scores that ``metrics`` makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ablate.ground.errors import DataError
from ablate.mtl.config import RunConfig
from ablate.mtl.data.features import HOP_SECONDS
from ablate.mtl.detection.detector import Detector
from ablate.mtl.metrics.counts import Counts, EventCounts, count_events, count_scenes
from ablate.mtl.metrics.scores import SCENE_IN_DISGUISE, Scores, event_scores, scene_scores
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.held_out import scored_on
from ablate.mtl.training.precision import arithmetic
from ablate.mtl.training.step import tensor_of

if TYPE_CHECKING:
    from ablate.mtl.data.prepared import Prepared, Split


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a network says of clips, in float32; None for the branch that it does not have."""

    events: NDArray[np.float32] | None  # (n_clips, frames, n_events), log odds
    scenes: NDArray[np.float32] | None  # (n_clips, n_scenes), log probabilities up to a constant a clip


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Counts of each recording; None for the branch that the network does not have."""

    recordings: tuple[str, ...]
    events_of: EventCounts | None  # three arrays (n_recordings, n_events), of frames
    scenes_of: Counts | None  # (n_recordings, n_scenes, n_scenes) clips, rows: the true scene

    @property
    def events(self) -> EventCounts | None:
        """Those of all recordings: three arrays (n_events,)."""
        return None if self.events_of is None else self.events_of.total()

    @property
    def scenes(self) -> Counts | None:
        """Those of all recordings: (n_scenes, n_scenes)."""
        if self.scenes_of is None:
            return None
        total: Counts = self.scenes_of.sum(axis=0)
        return total


def evaluate(
    model: Mtl,
    split: "Split",
    *,
    threshold: float,
    batch_size: int = 32,
    device: torch.device,
    clips: NDArray[np.int64] | None = None,
) -> Evaluation:
    """Runs the network over every clip of ``split``, or over those at the places ``clips``.

    An event is detected in a frame when its probability exceeds ``threshold``; padded frames count nothing.
    A clip's scene is the most probable one.
    """
    places = np.arange(len(split)) if clips is None else clips
    said = outputs(model, split, places, batch_size=batch_size, device=device)
    return judge(said, split, places, threshold)


def outputs(
    model: Mtl,
    split: "Split",
    clips: NDArray[np.int64],
    *,
    batch_size: int = 32,
    device: torch.device,
) -> Outputs:
    """What the network says of the clips at these places.

    The network is left in the mode in which it came. All is computed in float32, whatever the network was
    trained in. Raises DataError when there are no clips.
    """
    if len(clips) == 0:
        raise DataError("there are no clips to evaluate on; prepare data with an evaluation set")
    batches = [clips[start : start + batch_size] for start in range(0, len(clips), batch_size)]
    was_training = model.training
    model.eval()
    try:
        parts = [_outputs_of_batch(model, split.features[batch], device) for batch in batches]
    finally:
        model.train(was_training)
    events = [part.events for part in parts if part.events is not None]
    scenes = [part.scenes for part in parts if part.scenes is not None]
    return Outputs(np.concatenate(events) if events else None, np.concatenate(scenes) if scenes else None)


@torch.inference_mode()
def _outputs_of_batch(model: Mtl, features: NDArray[np.float32], device: torch.device) -> Outputs:
    with arithmetic("float32", device):
        output = model(tensor_of(features, device))
    logits = (output.event_logits, output.scene_logits)
    return Outputs(*(None if each is None else each.cpu().numpy() for each in logits))


PLAIN = Detector()


def judge(
    said: Outputs, split: "Split", clips: NDArray[np.int64], threshold: float, detector: Detector = PLAIN
) -> Evaluation:
    """What of it is right, recording by recording."""
    names, recording = np.unique(split.recordings[clips], return_inverse=True)
    events = scenes = None
    if said.events is not None:
        detected = _detected(said.events, split, clips, threshold, detector)
        of_clips = count_events(detected, split.events[clips] > 0, split.mask[clips] > 0)
        events = of_clips.of_groups(recording, len(names))
    if said.scenes is not None:
        predicted, true = said.scenes.argmax(axis=1), split.scenes[clips]
        clips_of = [recording == place for place in range(len(names))]
        n_scenes = said.scenes.shape[1]
        scenes = np.stack([count_scenes(predicted[own], true[own], n_scenes) for own in clips_of])
    return Evaluation(tuple(split.recording_names[name] for name in names), events, scenes)


def _detected(
    log_odds: NDArray[np.float32],
    split: "Split",
    clips: NDArray[np.int64],
    threshold: float,
    detector: Detector,
) -> NDArray[np.bool_]:
    """In which frames of the clips which events are detected. The clips of a recording are judged joined."""
    probabilities = torch.from_numpy(log_odds).sigmoid()
    if detector.is_plain:
        return (probabilities > threshold).numpy()
    detected = np.zeros(log_odds.shape, dtype=bool)
    inside = split.mask[clips] > 0
    for recording in np.unique(split.recordings[clips]):
        own = inside & (split.recordings[clips] == recording)[:, None]
        detected[own] = detector.frames(probabilities.numpy()[own], HOP_SECONDS, threshold)
    return detected


def evaluate_run(model: Mtl, data: "Prepared", config: RunConfig, device: torch.device) -> Evaluation:
    """The network on what a run is scored on; ``data`` are those of the run, without the classes left out."""
    split, clips, said = outputs_of_run(model, data, config, device)
    return judge_run(said, split, clips, config)


def outputs_of_run(
    model: Mtl, data: "Prepared", config: RunConfig, device: torch.device
) -> tuple["Split", NDArray[np.int64], Outputs]:
    """What the network says of the clips that a run is scored on: their split, their places, and that."""
    split, clips = scored_clips(data, config)
    return split, clips, outputs(model, split, clips, device=device)


def judge_run(said: Outputs, split: "Split", clips: NDArray[np.int64], config: RunConfig) -> Evaluation:
    """What of it is right, with events detected as the run's settings say."""
    return judge(said, split, clips, config.scoring.threshold, Detector.of(config.scoring))


def scored_clips(data: "Prepared", config: RunConfig) -> tuple["Split", NDArray[np.int64]]:
    """What a run is scored on, and which clips of it: the evaluation data, or the clips that it holds out."""
    places = scored_on(data, config.validation)
    if places is None:
        return data.evaluation, np.arange(len(data.evaluation))
    return data.development, places


def scores_of(evaluation: Evaluation, data: "Prepared", config: RunConfig) -> Scores:
    """Every score of a run, by name."""
    scores: Scores = {}
    if evaluation.scenes is not None:
        scores.update(scene_scores(evaluation.scenes, data.scenes))
    if evaluation.events is not None:
        scores.update(_event_scores(config, evaluation.events, data.events))
    return scores


def _event_scores(config: RunConfig, counts: EventCounts, events: Sequence[str]) -> Scores:
    """As ``event_scores``; scores "without fan" also where fan was left out from the start.

    They are over the same classes, so that a run with and one without that class can be compared.
    """
    scores = event_scores(counts, events)
    if set(SCENE_IN_DISGUISE) <= set(config.removed_events):
        suffix = "_".join(SCENE_IN_DISGUISE)
        scores |= {f"{name}_without_{suffix}": scores[name] for name in ("event_micro_f", "event_macro_f")}
    return scores
