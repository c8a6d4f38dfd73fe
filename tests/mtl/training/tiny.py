"""Eleven tiny clips, in memory: enough to train on, and read-only as prepared data are."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ablate.mtl.data.prepared import Annotated, Prepared, Split

CPU = torch.device("cpu")
FRAMES, N_SCENES, N_EVENTS = 25, 3, 2
HOP_S = 0.02


def make_split(n_clips: int, seed: int) -> Split:
    """Noise in which a scene is 16 louder bands, and an event 8 louder bands in its frames."""
    random = np.random.default_rng(seed)
    scenes = np.arange(n_clips, dtype=np.int64) % N_SCENES
    events = (random.random((n_clips, FRAMES, N_EVENTS)) < 0.3).astype(np.uint8)
    mask = np.ones((n_clips, FRAMES), dtype=np.uint8)
    mask[-1, 20:] = 0
    features = random.standard_normal((n_clips, FRAMES, 64)).astype(np.float32)
    for clip, scene in enumerate(scenes):
        features[clip, :, 16 * scene : 16 * scene + 16] += 2
        features[clip, :, 48:64] += 3 * np.repeat(events[clip], 8, axis=1)
    arrays = (features, events, scenes, mask, np.arange(n_clips, dtype=np.int32))
    for array in arrays:
        array.setflags(write=False)
    names = tuple(f"{clip}.wav" for clip in range(n_clips))
    return Split(*arrays, recording_names=names, annotated=tuple(map(_annotated, events, mask)))


def _annotated(events: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Annotated:
    """A recording of one clip: an event of one frame wherever one is active."""
    active = np.argwhere(events & mask[:, None])
    frames = tuple((HOP_S * frame, HOP_S * (frame + 1), f"event {event}") for frame, event in active.tolist())
    return Annotated(HOP_S * int(mask.sum()), frames)


def make_data(digest: str = "a digest") -> Prepared:
    scenes = tuple(f"scene {k}" for k in range(N_SCENES))
    events = tuple(f"event {k}" for k in range(N_EVENTS))
    return Prepared(Path("tiny"), "tiny", digest, scenes, events, make_split(11, 0), make_split(6, 1))


def weights(module: torch.nn.Module) -> str:
    """A hash of every bit of a module's state."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
