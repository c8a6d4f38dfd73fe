"""What a trained network gets right and wrong, as counts. ``metrics`` makes scores of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ablate.ground.errors import DataError
from ablate.mtl.metrics.counts import EventCounts, count_events, count_scenes
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.precision import arithmetic
from ablate.mtl.training.step import tensor_of

if TYPE_CHECKING:
    from ablate.mtl.data.prepared import Split


@dataclass(frozen=True)
class Evaluation:
    """Counts on one split; None for the branch that the network does not have."""

    events: EventCounts | None
    scenes: NDArray[np.int64] | None  # (n_scenes, n_scenes) clips, rows: the true scene


def evaluate(
    model: Mtl, split: "Split", *, threshold: float, batch_size: int = 32, device: torch.device
) -> Evaluation:
    """Runs the network over every clip of ``split``.

    An event is detected in a frame when its probability exceeds ``threshold``; padded frames count nothing.
    A clip's scene is the most probable one. The network is left in the mode in which it came. All is computed
    in float32, whatever the network was trained in.
    """
    if len(split) == 0:
        raise DataError("there are no clips to evaluate on; prepare data with an evaluation set")
    batches = [slice(start, start + batch_size) for start in range(0, len(split), batch_size)]
    was_training = model.training
    model.eval()
    try:
        parts = [_evaluate_batch(model, split, batch, threshold, device) for batch in batches]
    finally:
        model.train(was_training)
    events, scenes = parts[0].events, parts[0].scenes
    for part in parts[1:]:
        events = events + part.events if events and part.events else None
        scenes = scenes + part.scenes if scenes is not None and part.scenes is not None else None
    return Evaluation(events, scenes)


@torch.inference_mode()
def _evaluate_batch(
    model: Mtl, split: "Split", batch: slice, threshold: float, device: torch.device
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
