"""A recording as a network hears it, in clips as those of prepared data, however long it is.

This module, ``detections``, and what they import, also go with a network that is exported: they know nothing
of torch, runs or data sets.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ablate.ground.errors import DataError
from ablate.mtl.data.audio import (
    HIGHEST_SAMPLE_RATE_HZ,
    LOWEST_SAMPLE_RATE_HZ,
    AudioInfo,
    Signal,
    inspect_audio,
    opened,
    read_mono,
)
from ablate.mtl.data.features import (
    CLIP_FRAMES,
    N_BANDS,
    Features,
    Hearing,
    analysis_for,
    clip_features,
    n_bands_within,
    n_clips_of,
    n_frames_of,
)

BATCH_CLIPS = 8  # 80 s: the maps of the paper's network, the largest thing in memory, are 0.2 GB

Probabilities = npt.NDArray[np.float32]

# Standardised features (n_clips, 500, 64) -> probabilities of scenes (n_clips, n_scenes) and of events
# (n_clips, 500, n_events); None for the branch that the network does not have.
Classify = Callable[[Features], tuple[Probabilities | None, Probabilities | None]]


@dataclass(frozen=True)
class Sound:
    """A recording that is open. ``read(start, stop)`` gives the mono samples between, zeros outside."""

    title: str
    info: AudioInfo
    read: Callable[[int, int], Signal]


@dataclass(frozen=True, eq=False)
class Heard:
    """A clip of a recording: its standardised features, and the network's probabilities.

    ``features`` are (n_frames, 64), ``scenes`` (n_scenes,) and ``events`` (n_frames, n_events), in which
    frames past the recording's end have no place; None for the branch that the network does not have.
    """

    first_frame: int
    features: Features
    scenes: Probabilities | None
    events: Probabilities | None

    def __len__(self) -> int:
        return len(self.features)


@contextmanager
def opened_file(file: Path) -> Iterator[Sound]:
    """A recording in a file. Raises DataError when it is not readable audio."""
    title = str(file)
    info = inspect_audio(Path(), title)
    with opened(Path(), title) as sound:
        yield Sound(title, info, partial(read_mono, sound, title))


def sound_of(samples: npt.ArrayLike, sample_rate_hz: int, title: str = "samples") -> Sound:
    """A recording in memory: (n_samples,) or (n_samples, n_channels), within -1 and 1.

    Raises DataError for another shape, no samples, a sample that is no number, or another sample rate.
    """
    signal = np.asarray(samples, dtype=np.float32)
    if signal.ndim not in (1, 2) or not signal.size:
        raise DataError(
            f"{title}: of shape {signal.shape}; (n_samples,) or (n_samples, n_channels) is needed"
        )
    if not LOWEST_SAMPLE_RATE_HZ <= sample_rate_hz <= HIGHEST_SAMPLE_RATE_HZ:
        raise DataError(
            f"{title}: sample rate {sample_rate_hz} Hz; {LOWEST_SAMPLE_RATE_HZ} to "
            f"{HIGHEST_SAMPLE_RATE_HZ} Hz can be used"
        )
    if not np.isfinite(signal).all():
        raise DataError(f"{title}: some are not finite numbers")
    mono = signal if signal.ndim == 1 else signal.mean(axis=1)
    return Sound(title, AudioInfo(sample_rate_hz, len(mono)), partial(_read, mono))


def _read(mono: Signal, start: int, stop: int) -> Signal:
    signal = np.zeros(stop - start, dtype=np.float32)
    first, last = max(start, 0), min(stop, len(mono))
    signal[first - start : max(first, last) - start] = mono[first:last]
    return signal


def listen(sound: Sound, hearing: Hearing, classify: Classify) -> Iterator[Heard]:
    """The clips of a recording as prepared data have them, one after the other, each with its probabilities.

    The last clip may be partial; a tail of less than half a second after a whole clip is not heard. Bands
    above all that the recording has, at half its sample rate, are taken to be as in the mean of the training
    data. Raises DataError when a sample cannot be read, or is no number.
    """
    batch: list[tuple[int, Features]] = []
    for index, features in enumerate(_clips(sound, hearing)):
        batch.append((index * CLIP_FRAMES, features))
        if len(batch) == BATCH_CLIPS:
            yield from _classified(batch, classify)
            batch = []
    if batch:
        yield from _classified(batch, classify)


def unheard_bands(sound: Sound, hearing: Hearing) -> int:
    """How many of a network's bands lie above what the recording has."""
    return N_BANDS - n_bands_within(sound.info.sample_rate_hz, hearing.top_hz)


def _clips(sound: Sound, hearing: Hearing) -> Iterator[Features]:
    analysis = analysis_for(sound.info.sample_rate_hz, hearing.top_hz)
    n_heard = N_BANDS - unheard_bands(sound, hearing)
    n_clips = n_clips_of(n_frames_of(sound.info))
    for levels_db in islice(clip_features(sound.info, sound.read, analysis), n_clips):
        features = hearing.normalisation.standardised(levels_db)
        features[:, n_heard:] = 0
        yield features


def _classified(batch: list[tuple[int, Features]], classify: Classify) -> Iterator[Heard]:
    padded = np.zeros((len(batch), CLIP_FRAMES, N_BANDS), dtype=np.float32)
    for clip, (_, features) in zip(padded, batch, strict=True):
        clip[: len(features)] = features
    scenes, events = classify(padded)
    for index, (first_frame, features) in enumerate(batch):
        yield Heard(
            first_frame,
            features,
            None if scenes is None else scenes[index],
            None if events is None else events[index, : len(features)],
        )
