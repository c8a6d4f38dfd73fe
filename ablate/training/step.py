"""One training step, and the clips that it trains on."""

import warnings
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.config import Loss
from ablate.model.losses import losses
from ablate.model.mtl import Mtl


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


def training_step(model: Mtl, optimiser: torch.optim.Optimizer, batch: Clips, config: Loss) -> Tensor:
    """Moves the weights once. Returns [total, scene, event] losses, 0 for a branch that is not there.

    The losses stay on the device, so that the step does not wait for it.
    """
    optimiser.zero_grad(set_to_none=True)
    loss = losses(model(batch.features), batch.scenes, batch.events, batch.mask, config)
    loss.total.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    zero = torch.zeros_like(loss.total)
    return torch.stack([zero if part is None else part for part in loss]).detach()
