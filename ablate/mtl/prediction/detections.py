"""From a network's probabilities to what is said of a recording: its scene, its events and their times."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ablate.mtl.data.audio import AudioInfo
from ablate.mtl.data.features import HOP_SECONDS
from ablate.mtl.prediction.listening import Heard


@dataclass(frozen=True, slots=True)
class Detection:
    """An event in ``[onset_s, offset_s)`` of its recording, with its mean probability in there."""

    onset_s: float
    offset_s: float
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class ClipScene:
    """The probability of each scene, by its label, in a clip that is heard from ``onset_s``."""

    onset_s: float
    offset_s: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Prediction:
    """What a network says of a recording.

    ``scenes`` maps each scene to its mean probability over all frames, the most probable one first; it is
    empty without such a branch, as are ``clips``. ``events`` are sorted by their onsets.
    """

    title: str
    info: AudioInfo
    scenes: dict[str, float]
    clips: tuple[ClipScene, ...]
    events: tuple[Detection, ...]


COLUMNS = ("recording", "kind", "label", "onset_s", "offset_s", "probability")


def rows(prediction: Prediction) -> Iterator[tuple[str, str, str, float, float, float]]:
    """A prediction as rows of ``COLUMNS``: its scenes, the most probable one first, then its events."""
    duration_s = round(prediction.info.duration_s, 6)
    for label, probability in prediction.scenes.items():
        yield prediction.title, "scene", label, 0.0, duration_s, round(probability, 6)
    for event in prediction.events:
        times = event.onset_s, round(event.offset_s, 6)
        yield prediction.title, "event", event.label, *times, round(event.probability, 6)


@dataclass
class _Stretch:
    """Frames, one after the other, in which an event is detected; the sum of its probabilities in them."""

    first: int
    stop: int
    total: float


@dataclass
class Tally:
    """Adds up what is heard in a recording, clip by clip. It holds no more than the prediction itself.

    An event is detected in a frame when its probability exceeds ``threshold``, as in the scores of a run;
    frames one after the other, also across clips, are one event.
    """

    title: str
    info: AudioInfo
    scenes: Sequence[str]
    events: Sequence[str]
    threshold: float
    _clips: list[ClipScene] = field(default_factory=list)
    _n_frames: int = 0
    _stretches: dict[str, list[_Stretch]] = field(default_factory=dict)
    _scene_sums: npt.NDArray[np.float64] | None = None

    def add(self, heard: Heard) -> None:
        """The next clip."""
        if heard.scenes is not None:
            self._add_scenes(heard, heard.scenes.astype(np.float64))
        if heard.events is not None:
            for column, label in enumerate(self.events):
                probabilities = heard.events[:, column]
                for first, stop in stretches(probabilities > self.threshold):
                    total = float(probabilities[first:stop].sum(dtype=np.float64))
                    self._join(label, _Stretch(heard.first_frame + first, heard.first_frame + stop, total))

    def prediction(self) -> Prediction:
        """What all clips say. A recording has at least one."""
        means = {} if self._scene_sums is None else self._named(self._scene_sums / self._n_frames)
        events = [
            Detection(
                self._seconds(stretch.first),
                self._seconds(stretch.stop),
                label,
                stretch.total / (stretch.stop - stretch.first),
            )
            for label, found in self._stretches.items()
            for stretch in found
        ]
        events.sort(key=lambda event: (event.onset_s, event.offset_s, event.label))
        scenes = dict(sorted(means.items(), key=lambda mean: -mean[1]))
        return Prediction(self.title, self.info, scenes, tuple(self._clips), tuple(events))

    def _add_scenes(self, heard: Heard, probabilities: npt.NDArray[np.float64]) -> None:
        weighed = probabilities * len(heard)
        self._scene_sums = weighed if self._scene_sums is None else self._scene_sums + weighed
        self._n_frames += len(heard)
        onset_s = self._seconds(heard.first_frame)
        offset_s = self._seconds(heard.first_frame + len(heard))
        self._clips.append(ClipScene(onset_s, offset_s, self._named(probabilities)))

    def _named(self, probabilities: npt.NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(self.scenes, probabilities.tolist(), strict=True))

    def _join(self, label: str, stretch: _Stretch) -> None:
        found = self._stretches.setdefault(label, [])
        if found and found[-1].stop == stretch.first:
            found[-1].stop = stretch.stop
            found[-1].total += stretch.total
        else:
            found.append(stretch)

    def _seconds(self, frame: int) -> float:
        """Where a frame begins; a recording may end before its last frame does."""
        return min(round(frame * HOP_SECONDS, 6), self.info.duration_s)


def stretches(active: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First frame, and the one after the last, of each stretch of active frames in (n_frames,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
