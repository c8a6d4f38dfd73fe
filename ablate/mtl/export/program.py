"""A network as a ``torch.export`` program: a graph of torch's own operations and its weights."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ablate.mtl.data.features import CLIP_FRAMES, N_BANDS
from ablate.mtl.kept import Network
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.prediction.network import classifier, load_model

MOST_CLIPS = 4096  # of a batch
GRU = torch.ops.aten.gru.input
COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


class Probabilities(nn.Module):
    """A network whose outputs are probabilities, by the names of its branches."""

    def __init__(self, network: Mtl) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """(n_clips, 500, 64) -> ``scenes`` (n_clips, n_scenes) and ``events`` (n_clips, 500, n_events)."""
        output = self.network(features)
        found = {}
        if output.scene_logits is not None:
            found["scenes"] = output.scene_logits.softmax(dim=1)
        if output.event_logits is not None:
            found["events"] = output.event_logits.sigmoid()
        return found


def save_program(network: Network, weights: Path, file: Path) -> None:
    """Writes the network of plain layers for any number of clips. Raises DataError for other weights."""
    model = Probabilities(load_model(network, weights, kernels="plain")).eval()
    example = torch.zeros(2, CLIP_FRAMES, N_BANDS)
    clips = torch.export.Dim("clips", min=1, max=MOST_CLIPS)
    with torch.no_grad(), warnings.catch_warnings(), _gru_not_unrolled():
        # A GRU's list of its own weights, which is no state.
        warnings.filterwarnings("ignore", message="The tensor attributes .* were assigned during export")
        program = torch.export.export(model, (example,), dynamic_shapes=({0: clips},))
    torch.export.save(program, file)


def largest_deviation(network: Network, weights: Path, file: Path) -> float:
    """How far a program's probabilities are from those of the run's own layers, at most, on noise."""
    features = np.random.default_rng(0).standard_normal((3, CLIP_FRAMES, N_BANDS)).astype(np.float32)
    expected = classifier(load_model(network, weights), torch.device("cpu"))(features)
    with torch.inference_mode():
        found = torch.export.load(file).module()(torch.from_numpy(features))
    pairs = zip(("scenes", "events"), expected, strict=True)
    return max(float(np.abs(found[name].numpy() - ours).max()) for name, ours in pairs if ours is not None)


@contextmanager
def _gru_not_unrolled() -> Iterator[None]:
    """Has ``torch.export`` know a GRU's shapes without going through its 500 frames, which takes a minute.

    The graph holds the whole GRU as one operation either way.
    """
    before = GRU.py_kernels[COMPOSITE]
    GRU.py_kernels[COMPOSITE] = _gru_shapes
    GRU._dispatch_cache.clear()
    try:
        yield
    finally:
        GRU.py_kernels[COMPOSITE] = before
        GRU._dispatch_cache.clear()


def _gru_shapes(x: Tensor, states: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    """Outputs of the shapes of a bidirectional GRU's, clips first."""
    return x.new_empty((*x.shape[:2], 2 * states.shape[2])), torch.empty_like(states)
