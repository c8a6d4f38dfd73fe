"""The multitask network (MTL) of Imoto et al. 2022, Table 1: 1,249,533 parameters at width 1.

    features (n_clips, frames, 64)
      shared        3 x [3x3 conv, batch norm, leaky ReLU, max pool over bands]  -> (128, frames, 2)
      ├─ S1 ─ scene_convs   2 x [3x3 conv, batch norm, leaky ReLU, max pool]     -> 256
      │       S2 ─ scene_head   FC 32, leaky ReLU, FC n_scenes                   -> scene logits
      └─ E1 ─ event_gru     BiGRU, 32 units a direction                          -> (frames, 64)
              E2 ─ event_head   FC 32, leaky ReLU, FC n_events                   -> event logits

S1, S2, E1 and E2 are where a gradient reversal layer can stand (Figure 2). Softmax and sigmoid are in the
losses and in the scoring. A network for one task has no parameters of the other branch.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from torch import Tensor, nn

from ablate.ground.errors import ConfigError, DataError
from ablate.mtl.config import RunConfig
from ablate.mtl.model.choice import kit
from ablate.mtl.model.reversal import GradientReversal
from ablate.mtl.model.seeding import torch_seeded

BANDS = 64
SHARED_CHANNELS = 128  # Table 1
SCENE_CHANNELS = 256
GRU_UNITS = 32
BANDS_AFTER_SHARED = 2  # 64 / (8 x 2 x 2)
FRAME_MULTIPLE = 25  # the first scene pool

Part = TypeVar("Part", bound=nn.Module)


class Output(NamedTuple):
    """Logits; None for the branch that the network does not have."""

    scene_logits: Tensor | None  # (n_clips, n_scenes)
    event_logits: Tensor | None  # (n_clips, frames, n_events)


class Mtl(nn.Module):
    """The network that ``config`` asks for, with initial weights that depend on its seed and shapes alone.

    Each part draws from a stream of its own, so the same seed gives a part the same initial weights in every
    condition, also where the other branch is missing. Raises DataError when there are no events to detect.
    """

    def __init__(self, config: RunConfig, n_scenes: int, n_events: int) -> None:
        super().__init__()
        if config.has_event and not n_events:
            raise DataError("the data name no events to detect; train on scenes alone with --set tasks=scene")
        layers = kit(config.kernels)
        shared = scaled(SHARED_CHANNELS, config.model.width)
        scene = scaled(SCENE_CHANNELS, config.model.width)

        def part(name: str, build: Callable[[], Part]) -> Part:
            with torch_seeded(config.seed, f"initial weights of {name}"):
                return build()

        self.shared = part(
            "shared",
            lambda: nn.Sequential(
                layers.first_block(1, shared, pool=(1, 8)),
                layers.block(shared, shared, pool=(1, 2)),
                layers.block(shared, shared, pool=(1, 2)),
            ),
        )
        self.has_scene, self.has_event = config.has_scene, config.has_event
        if self.has_scene:
            self.scene_convs = part(
                "scene_convs",
                lambda: nn.Sequential(
                    layers.block(shared, scene, pool=(FRAME_MULTIPLE, 1)),
                    layers.block(scene, scene, pool=None),
                ),
            )
            self.scene_head = part("scene_head", lambda: layers.head(scene, n_scenes))
        if self.has_event:
            self.event_gru = part("event_gru", lambda: layers.bigru(BANDS_AFTER_SHARED * shared, GRU_UNITS))
            self.event_head = part("event_head", lambda: layers.head(2 * GRU_UNITS, n_events))

        self.reversed_at = _position(config)
        self.reversal = GradientReversal(config.grl.strength)

    def forward(self, features: Tensor) -> Output:
        """``features``: standardised log-mel energies, (n_clips, frames, 64)."""
        _check(features)
        shared = self.shared(features.unsqueeze(1))
        return Output(
            self._scene(shared) if self.has_scene else None,
            self._event(shared) if self.has_event else None,
        )

    def _scene(self, shared: Tensor) -> Tensor:
        maps = self.scene_convs(self._reversed("S1", shared))
        logits: Tensor = self.scene_head(self._reversed("S2", maps.flatten(1)))
        return logits

    def _event(self, shared: Tensor) -> Tensor:
        frames = self._reversed("E1", shared).permute(0, 2, 3, 1).flatten(2)
        logits: Tensor = self.event_head(self._reversed("E2", self.event_gru(frames)))
        return logits

    def _reversed(self, position: str, x: Tensor) -> Tensor:
        reversed_: Tensor = self.reversal(x) if self.reversed_at == position else x
        return reversed_


def scaled(channels: int, width: float) -> int:
    """Table 1's number of channels times the width, at least one."""
    return max(1, round(channels * width))


def _position(config: RunConfig) -> str:
    branch = {"S": config.has_scene, "E": config.has_event}
    if not branch.get(config.grl.position[0], True):
        raise ConfigError(
            f"grl.position = {config.grl.position} reverses nothing where tasks = {config.tasks}; "
            "set it to none, or tasks to both"
        )
    return config.grl.position


def _check(features: Tensor) -> None:
    if features.ndim != 3 or features.shape[2] != BANDS:
        raise DataError(f"features have shape {tuple(features.shape)}; expected (n_clips, frames, {BANDS})")
    frames = features.shape[1]
    if frames == 0 or frames % FRAME_MULTIPLE:
        raise DataError(
            f"clips have {frames} frames, but the network pools {FRAME_MULTIPLE} at a time; "
            f"prepare clips of a multiple of {FRAME_MULTIPLE} frames (the study's have 500)"
        )
