"""The development recordings in folds: each is held out by the runs of one fold and trained on by all others.

Clips of one recording are alike, so that whole recordings are in a fold. Each fold has of every scene as many
clips as the recordings allow. Which fold a recording is in is the same in all runs and on all machines: it
follows from the names, scenes and lengths of the recordings. It may change when recordings are added, as the
folds are then balanced anew; such data are other data, and their runs other runs.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.ground.errors import ConfigError
from ablate.ground.wording import count

if TYPE_CHECKING:
    from ablate.mtl.data.prepared import Split


@dataclass(frozen=True)
class Part:
    """A recording as far as folds are concerned; ``scene`` is empty in data without scenes."""

    name: str
    scene: str
    n_clips: int


def parts_of(split: "Split", scenes: Sequence[str]) -> list[Part]:
    """The recordings of prepared data that have a clip; ``scenes`` are the names of the data's scenes."""
    n_clips = Counter(split.recordings.tolist())
    scene_of = dict(zip(split.recordings.tolist(), split.scenes.tolist(), strict=True))
    return [
        Part(split.recording_names[recording], scenes[scene_of[recording]] if scenes else "", n)
        for recording, n in sorted(n_clips.items())
    ]


def assign(recordings: Iterable[Part], n_folds: int) -> dict[str, int]:
    """Name -> fold, from 1 to ``n_folds``.

    Scene by scene and the longest first, a recording goes to the fold that has the fewest clips of its scene,
    of equals to the one with the fewest clips in all. So of each scene, two folds differ by no more clips
    than its longest recording has, and no fold is empty where there are as many recordings as folds (the
    greedy schedule of Graham 1969, "Bounds on multiprocessing timing anomalies").
    """
    folds: dict[str, int] = {}
    in_all = dict.fromkeys(range(1, n_folds + 1), 0)
    of_scene: Counter[tuple[str, int]] = Counter()
    for recording in sorted(recordings, key=lambda each: (each.scene, -each.n_clips, _draw(each.name))):
        fold = min(in_all, key=lambda fold: (of_scene[recording.scene, fold], in_all[fold], fold))
        folds[recording.name] = fold
        in_all[fold] += recording.n_clips
        of_scene[recording.scene, fold] += recording.n_clips
    return folds


def _draw(name: str) -> str:
    """An order of names that has nothing to do with how somebody has numbered them."""
    return hashlib.sha256(name.encode()).hexdigest()


@dataclass(frozen=True)
class WantedFolds:
    """That a study has its development recordings in ``n`` folds."""

    n: int


def check_folds(wanted: WantedFolds, scenes: Sequence[str]) -> list[str]:
    """What is to be known of these folds. ``scenes`` has the scene of each development recording.

    Raises ConfigError when there are fewer recordings than folds.
    """
    if len(scenes) < wanted.n:
        raise ConfigError(
            f"--folds {wanted.n}: the data have {count(len(scenes), 'development recording')}, each of which "
            f"is in one fold; ask for {len(scenes)} folds or fewer"
        )
    rare = {scene: n for scene, n in sorted(Counter(scenes).items()) if n < wanted.n}
    notes = [
        f"{scene} has {n} development recordings, and so is in {n} of {wanted.n} folds only"
        for scene, n in rare.items()
        if n > 1
    ]
    return notes + [
        f"{scene} has one development recording: the run that is scored on it has not been trained on any"
        for scene, n in rare.items()
        if n == 1
    ]
