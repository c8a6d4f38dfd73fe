"""A run's network, ready to be asked."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ablate.ground.errors import DataError
from ablate.mtl.data.features import Features
from ablate.mtl.kept import Network
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.prediction.listening import Classify, Probabilities
from ablate.mtl.training.precision import arithmetic
from ablate.mtl.training.step import tensor_of


def load_model(network: Network, weights: Path, **changes: str) -> Mtl:
    """The trained network in the mode in which it is asked; ``changes`` are of its configuration.

    Raises DataError when its weights are gone, or another network's.
    """
    config = network.config.override(changes)
    model = Mtl(config, len(network.scenes), len(network.events))
    try:
        model.load_state_dict(load_file(weights))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise DataError(f"{weights}: no weights of this network can be read from it ({error})") from error
    return model.eval()


def classifier(model: Mtl, device: torch.device) -> Classify:
    """Has the network classify clips on a device, in float32, as it is scored."""
    model.to(device)

    @torch.inference_mode()
    def classify(features: Features) -> tuple[Probabilities | None, Probabilities | None]:
        with arithmetic("float32", device):
            output = model(tensor_of(features, device))
        scenes, events = output.scene_logits, output.event_logits
        return (
            None if scenes is None else scenes.softmax(dim=1).cpu().numpy(),
            None if events is None else events.sigmoid().cpu().numpy(),
        )

    return classify
