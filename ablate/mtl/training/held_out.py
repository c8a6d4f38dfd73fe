"""Which development clips are trained on, and which are held out to choose among conditions by.

Clips of one recording are alike, so that whole recordings are held out. Which ones, is a function of their
names alone: the same in all runs, whatever their seed.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ablate.ground.errors import DataError

if TYPE_CHECKING:
    from ablate.mtl.data.prepared import Prepared, Split

Places = NDArray[np.int64]  # (n,) of clips within a split, rising


def held_out(data: "Prepared", share: float) -> Places:
    """The development clips that are scored and not trained on: about ``share`` of each scene's clips.

    Of each scene at least one recording, and never the only one. Raises DataError when there are none.
    """
    split = data.development
    scenes = _scenes_of_recordings(split)
    chosen = [
        recording for scene in np.unique(scenes) for recording in _of_scene(split, scenes, scene, share)
    ]
    if not chosen:
        raise DataError(
            f"validation.share = {share:g}: no scene of {data.path} has two recordings, so none can be held "
            "out of the training"
        )
    return np.flatnonzero(np.isin(split.recordings, chosen))


def trained_on(data: "Prepared", share: float) -> Places:
    """The other development clips; with a share of 0 all of them. Raises DataError as ``held_out``."""
    everything = np.arange(len(data.development))
    return np.setdiff1d(everything, held_out(data, share)) if share else everything


def _scenes_of_recordings(split: "Split") -> NDArray[np.int64]:
    """(n_recordings,): the scene of each recording; -1 for one without a clip."""
    scenes = np.full(len(split.recording_names), -1, dtype=np.int64)
    scenes[split.recordings] = split.scenes
    return scenes


def _of_scene(split: "Split", scenes: NDArray[np.int64], scene: int, share: float) -> list[int]:
    """The scene's recordings to hold out, in an order that only their names decide."""
    found = np.flatnonzero(scenes == scene)
    if scene < 0 or len(found) < 2:
        return []
    order = sorted(found, key=lambda recording: _draw(split.recording_names[recording]))
    n_clips = np.array([np.count_nonzero(split.recordings == recording) for recording in order])
    before = np.cumsum(n_clips) - n_clips
    n_chosen = int(np.count_nonzero(before < share * n_clips.sum()))
    return [int(recording) for recording in order[: max(1, min(n_chosen, len(order) - 1))]]


def _draw(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
