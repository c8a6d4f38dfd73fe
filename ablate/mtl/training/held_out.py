"""Which development clips are trained on, and which are held out: a share to choose among conditions by, or a
fold.

Clips of one recording are alike, so that whole recordings are held out. Which ones, is the same in all runs,
whatever their seed: of a share it is a function of their names alone, of folds see ``mtl.data.folds``.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ablate.ground.errors import DataError
from ablate.mtl.config import Validation
from ablate.mtl.data.folds import assign, parts_of

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


def held_out_fold(data: "Prepared", n_folds: int, fold: int) -> Places:
    """The development clips of one of ``n_folds`` folds, which are numbered from 1.

    Raises DataError when there is nothing in the fold, or nothing else.
    """
    split = data.development
    parts = parts_of(split, data.scenes)
    folds = assign(parts, n_folds)
    of_recordings = np.array([folds.get(name, 0) for name in split.recording_names])
    places = np.flatnonzero(of_recordings[split.recordings] == fold)
    if not 0 < len(places) < len(split):
        raise DataError(
            f"fold {fold} of {n_folds}: {data.path} has {len(parts)} development recordings with clips, too "
            "few to be trained on and scored on; ask for fewer folds"
        )
    return places


def scored_on(data: "Prepared", validation: Validation) -> Places | None:
    """The development clips that a run is scored on; None for one that is scored on the evaluation data.

    Raises DataError as ``held_out`` and ``held_out_fold``.
    """
    # All are read, whichever of them decides: what a training has not read is told as without effect.
    share, folds, fold = validation.share, validation.folds, validation.fold
    if share:
        return held_out(data, share)
    return held_out_fold(data, folds, fold) if folds else None


def trained_on(data: "Prepared", validation: Validation) -> Places:
    """The other development clips. Raises DataError as ``scored_on``."""
    everything = np.arange(len(data.development))
    places = scored_on(data, validation)
    return everything if places is None else np.setdiff1d(everything, places)


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
