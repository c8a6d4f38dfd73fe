"""What a trained network gets right and wrong, as counts, and the scores that ``metrics`` makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ablate.ground.errors import DataError
from ablate.mtl.config import RunConfig
from ablate.mtl.metrics.counts import EventCounts, count_events, count_scenes
from ablate.mtl.metrics.scores import SCENE_IN_DISGUISE, Scores, event_scores, scene_scores
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.held_out import held_out
from ablate.mtl.training.precision import arithmetic
from ablate.mtl.training.step import tensor_of

if TYPE_CHECKING:
    from ablate.mtl.data.prepared import Prepared, Split


@dataclass(frozen=True)
class Evaluation:
    """Counts on one split; None for the branch that the network does not have."""

    events: EventCounts | None
    scenes: NDArray[np.int64] | None  # (n_scenes, n_scenes) clips, rows: the true scene


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
    A clip's scene is the most probable one. The network is left in the mode in which it came. All is computed
    in float32, whatever the network was trained in.
    """
    if len(split) == 0:
        raise DataError("there are no clips to evaluate on; prepare data with an evaluation set")
    n_clips = len(split) if clips is None else len(clips)
    batches = [slice(start, start + batch_size) for start in range(0, n_clips, batch_size)]
    chosen = batches if clips is None else [clips[batch] for batch in batches]
    was_training = model.training
    model.eval()
    try:
        parts = [_evaluate_batch(model, split, batch, threshold, device) for batch in chosen]
    finally:
        model.train(was_training)
    events, scenes = parts[0].events, parts[0].scenes
    for part in parts[1:]:
        events = events + part.events if events and part.events else None
        scenes = scenes + part.scenes if scenes is not None and part.scenes is not None else None
    return Evaluation(events, scenes)


@torch.inference_mode()
def _evaluate_batch(
    model: Mtl,
    split: "Split",
    batch: slice | NDArray[np.int64],
    threshold: float,
    device: torch.device,
) -> Evaluation:
    with arithmetic("float32", device):
        output = model(tensor_of(split.features[batch], device))
    events = scenes = None
    if output.event_logits is not None:
        detected = (output.event_logits.sigmoid() > threshold).cpu().numpy()
        events = count_events(detected, split.events[batch] > 0, split.mask[batch] > 0)
    if output.scene_logits is not None:
        predicted = output.scene_logits.argmax(dim=1).cpu().numpy()
        scenes = count_scenes(predicted, split.scenes[batch], output.scene_logits.shape[1])
    return Evaluation(events, scenes)


def evaluate_run(model: Mtl, data: "Prepared", config: RunConfig, device: torch.device) -> Evaluation:
    """The network on what a run is scored on: the evaluation data, or the clips that it holds out.

    ``data`` are those of the run, without the classes that it leaves out.
    """
    threshold = config.scoring.threshold
    if not config.validation.share:
        return evaluate(model, data.evaluation, threshold=threshold, device=device)
    clips = held_out(data, config.validation.share)
    return evaluate(model, data.development, threshold=threshold, device=device, clips=clips)


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
