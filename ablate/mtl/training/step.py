"""One training step: the clips that it trains on, the optimiser, and the step itself."""

import warnings
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ablate.mtl.config import RunConfig
from ablate.mtl.model.losses import losses
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.precision import arithmetic, logits
from ablate.mtl.training.radam import RAdam


class Clips(NamedTuple):
    """Clips and their labels, as tensors on one device; on a CPU they stay memory-mapped."""

    features: Tensor  # (n_clips, frames, 64) float32
    scenes: Tensor  # (n_clips,) int64
    events: Tensor  # (n_clips, frames, n_events) uint8
    mask: Tensor  # (n_clips, frames) uint8

    def at(self, indices: Tensor) -> "Clips":
        """The batch of the clips at ``indices``, in their order."""
        return Clips(*(tensor[indices] for tensor in self))


def tensor_of(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """The array on the device: on a CPU the same memory, which must not be written to."""
    with warnings.catch_warnings():
        # Prepared data are opened read-only, and torch has no read-only tensors.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array).to(device)


def make_optimiser(model: nn.Module, config: RunConfig, device: torch.device) -> RAdam:
    """RAdam; on a GPU all of its state lives there, so that a step never waits (torch's ``capturable``).

    The state of either kind loads into the other. There, the rectification is computed in float32: the first
    rectified steps (6 and 7) are 0.6 % smaller than a CPU's, and those from 20 on less than 0.1 %.
    """
    on_cpu = device.type == "cpu"
    return RAdam(
        model.parameters(),
        config.optim.lr,
        capturable=not on_cpu,
        compiled=on_cpu and config.kernels == "fast",
    )


def training_step(model: Mtl, optimiser: RAdam, batch: Clips, config: RunConfig) -> Tensor:
    """Moves the weights once. Returns [total, scene, event] losses, 0 for a branch that is not there.

    The losses stay on the device, so that the step does not wait for it.
    """
    optimiser.zero_grad()
    with arithmetic(config.precision, batch.features.device):
        output = logits(model, batch.features, config.precision)
        loss = losses(output, batch.scenes, batch.events, batch.mask, config.loss, config.kernels)
        loss.total.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    zero = torch.zeros_like(loss.total)
    return torch.stack([zero if part is None else part for part in loss]).detach()
