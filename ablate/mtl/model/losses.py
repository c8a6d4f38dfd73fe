"""The losses, equations (1) to (3): L = alpha L_scene + beta L_event.

Both take logits, and average over the clips of a batch, so that a batch's size does not scale them.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ablate.mtl.config import Loss
from ablate.mtl.model.choice import kit
from ablate.mtl.model.mtl import Output


class Losses(NamedTuple):
    """Scalars; ``scene`` and ``event`` are unweighted, and None without their branch."""

    total: Tensor
    scene: Tensor | None
    event: Tensor | None


def losses(
    output: Output, scenes: Tensor, events: Tensor, mask: Tensor, config: Loss, kernels: str = "plain"
) -> Losses:
    """Equation (3) for one batch. A missing branch adds nothing.

    ``scenes``: (n_clips,) int64; ``events``: (n_clips, frames, n_events), 1 = active; ``mask``:
    (n_clips, frames), 1 = a frame of the recording, 0 = padding.
    """
    scene = event = None
    weighted = []
    if output.scene_logits is not None:
        scene = scene_loss(output.scene_logits, scenes)
        weighted.append(config.alpha * scene)
    if output.event_logits is not None:
        event = event_loss(output.event_logits, events, mask, config.event_reduction, kernels)
        weighted.append(config.beta * event)
    return Losses(torch.stack(weighted).sum(), scene, event)


def scene_loss(logits: Tensor, scenes: Tensor) -> Tensor:
    """Equation (1): cross entropy of softmax(logits), (n_clips, n_scenes), mean over clips."""
    return functional.cross_entropy(logits, scenes)


def event_loss(
    logits: Tensor, events: Tensor, mask: Tensor, reduction: Literal["mean", "sum"], kernels: str = "plain"
) -> Tensor:
    """Equation (2): binary cross entropy of sigmoid(logits), (n_clips, frames, n_events), without padding.

    ``sum``: over the frames and classes of a clip, as the equation has it, then the mean over clips.
    ``mean``: over all valid frames of the batch and all classes; 0 where no frame is valid.
    """
    total = kit(kernels).cross_entropy(logits, events, mask)
    if reduction == "sum":
        return total / logits.shape[0]
    return total / (mask.sum(dtype=logits.dtype).clamp(min=1) * logits.shape[2])
