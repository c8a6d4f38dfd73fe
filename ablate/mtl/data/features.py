"""Frames: log mel-band energies of a recording, and which events are active in each.

Time is cut into frames of 20 ms. Frame ``k`` stands for ``[k, k + 1)`` hops; its centre is at ``(k + 1/2)``
hops, and its analysis window of 40 ms lies evenly around the centre. A recording has the frames whose centre
lies inside it: 10.000023 s (441,001 samples at 44.1 kHz, as in the evaluation clips of 2017) are 500 frames,
not 501. Samples before the beginning and past the end are taken as zero, which touches a quarter of the first
and of the last window.

Clips are 500 frames. The last clip of a recording may be partial (padded and masked), unless less than
``SHORTEST_TAIL_FRAMES`` of it were left: such a tail is dropped.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from ablate.mtl.data.audio import AudioInfo, Signal, opened, read_mono

if TYPE_CHECKING:
    from scipy.sparse import csr_array

N_BANDS = 64  # Imoto et al. 2022, section 4.1, as are the next three
WINDOW_SECONDS = 0.040
HOP_SECONDS = 0.020
CLIP_FRAMES = 500  # 10 s
SHORTEST_TAIL_FRAMES = 25  # 0.5 s, one step of the scene branch's 25 x 1 max pooling (Table 1)
FLOOR_DB = -100.0  # about the rounding noise of 16-bit samples; 0 dB is white noise of unit variance

_HOP_US = 20_000  # annotations have microseconds, and integers have no rounding

Features = npt.NDArray[np.float32]
Targets = npt.NDArray[np.uint8]


def n_frames_of(info: AudioInfo) -> int:
    """How many frame centres lie inside a recording; at least 1.

    ``k + 1/2 < duration / hop``, in integers: hop = rate / 50 samples.
    """
    return max(1, -((info.sample_rate_hz - 100 * info.n_samples) // (2 * info.sample_rate_hz)))


def n_clips_of(n_frames: int) -> int:
    """How many clips ``n_frames`` fill, counting a partial last one that is long enough, and at least 1."""
    whole, tail = divmod(n_frames, CLIP_FRAMES)
    return max(1, whole + (tail >= SHORTEST_TAIL_FRAMES))


# ------------------------------------------------------------------------------------------------ targets


class Event(Protocol):
    """What of an annotated event matters here."""

    @property
    def onset_s(self) -> float: ...
    @property
    def offset_s(self) -> float: ...
    @property
    def label(self) -> str: ...


def active_frames(event: Event, n_frames: int) -> tuple[int, int]:
    """The first frame of an event and the one after its last, within a recording of ``n_frames``.

    A frame is active when its centre lies inside [onset, offset). An event that covers no centre, because it
    is shorter than a frame or cut by the recording's end, activates the frame whose centre is nearest.
    """
    onset_us, offset_us = round(event.onset_s * 1e6), round(event.offset_s * 1e6)
    first, stop = (-((_HOP_US // 2 - time_us) // _HOP_US) for time_us in (onset_us, offset_us))
    stop = min(stop, n_frames)
    if first < stop:
        return first, stop
    middle_us = (onset_us + min(offset_us, n_frames * _HOP_US)) // 2
    nearest = min(middle_us // _HOP_US, n_frames - 1)
    return nearest, nearest + 1


def frame_targets(events: Sequence[Event], labels: Sequence[str], n_frames: int) -> Targets:
    """Which labels are active in each frame: 0 or 1, (n_frames, n_labels).

    Events of the same label that overlap are one; zeros everywhere when there are no events.
    """
    targets = np.zeros((n_frames, len(labels)), dtype=np.uint8)
    column = {label: index for index, label in enumerate(labels)}
    for event in events:
        first, stop = active_frames(event, n_frames)
        targets[first:stop, column[event.label]] = 1
    return targets


def cut_into_clips(frames: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Frames (n_frames, ...) as clips (n_clips, 500, ...), padded with zeros or less a tail too short."""
    n_clips = n_clips_of(len(frames))
    clips = np.zeros((n_clips * CLIP_FRAMES, *frames.shape[1:]), dtype=frames.dtype)
    kept = min(len(frames), len(clips))
    clips[:kept] = frames[:kept]
    return clips.reshape(n_clips, CLIP_FRAMES, *frames.shape[1:])


# ----------------------------------------------------------------------------------------------- features


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Mean and deviation in dB of each band (n_bands,) over the development set's real frames."""

    mean_db: npt.NDArray[np.float64]
    std_db: npt.NDArray[np.float64]

    def standardised(self, levels_db: Features) -> Features:
        """Log mel-band energies (n_frames, n_bands) as a network is given them."""
        standard: Features = ((levels_db - self.mean_db) / self.std_db).astype(np.float32)
        return standard


@dataclass(frozen=True, slots=True)
class Hearing:
    """How a data set's recordings are heard, and others by the networks that were trained on it."""

    top_hz: float  # where the bands end: the highest frequency that all of its recordings have
    normalisation: Normalisation


@dataclass(frozen=True, slots=True)
class Analysis:
    """How recordings of one sample rate become log-mel frames."""

    sample_rate_hz: int
    n_fft: int
    window: npt.NDArray[np.float32]  # (n_window,)
    filters: "csr_array"  # (n_bands, n_fft // 2 + 1) float32, energy in a bin -> energy in a band


@lru_cache
def analysis_for(sample_rate_hz: int, top_hz: float) -> Analysis:
    """The analysis of recordings at ``sample_rate_hz`` in bands from 0 to ``top_hz``.

    The bands are librosa's (Slaney's mel scale, each filter of unit area), scaled so that white noise has the
    same level in every band and, at equal density per Hz, at every sample rate.
    """
    # They cost a second, and whoever opens prepared data does not need them.
    from librosa.filters import mel
    from scipy.sparse import csr_array

    n_window = round(WINDOW_SECONDS * sample_rate_hz)
    n_fft = 2 ** math.ceil(math.log2(n_window))
    window = np.hanning(n_window + 1)[:-1]  # periodic
    with warnings.catch_warnings():
        # Of the bands that lie above all that the recording has; `n_bands_within` counts the others.
        warnings.filterwarnings("ignore", message="Empty filters detected")
        filters = mel(sr=sample_rate_hz, n_fft=n_fft, n_mels=N_BANDS, fmax=top_hz, dtype=np.float64)
    bin_hz = sample_rate_hz / n_fft
    density = 2 * top_hz / sample_rate_hz / np.sum(window**2)
    scaled = csr_array((filters * bin_hz * density).astype(np.float32))
    return Analysis(sample_rate_hz, n_fft, window.astype(np.float32), scaled)


def n_bands_within(sample_rate_hz: int, top_hz: float) -> int:
    """How many of the bands from 0 to ``top_hz`` lie within what recordings at this sample rate have."""
    from librosa import mel_frequencies

    upper_edges_hz = mel_frequencies(N_BANDS + 2, fmin=0, fmax=top_hz)[2:]
    # The last edge is top_hz but for rounding.
    return int(np.count_nonzero(upper_edges_hz <= sample_rate_hz / 2 * (1 + 1e-9)))


def log_mel(signal: npt.NDArray[np.float32], starts: npt.NDArray[np.int64], analysis: Analysis) -> Features:
    """Log mel-band energy in dB of the windows that begin at ``starts`` in ``signal``: (n_frames, 64)."""
    from scipy.fft import rfft

    frames = np.lib.stride_tricks.sliding_window_view(signal, len(analysis.window))[starts] * analysis.window
    spectrum = rfft(frames, analysis.n_fft, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    # A bin is in two bands at most. With BLAS the last bit would depend on how many threads it has.
    energy = analysis.filters @ power.T
    levels: Features = 10 * np.log10(np.maximum(energy.T, 10 ** (FLOOR_DB / 10)))
    return np.ascontiguousarray(levels, dtype=np.float32)


def recording_features(folder: Path, path: str, analysis: Analysis) -> Features:
    """Log mel-band energies in dB of a whole recording (n_frames, 64), read clip by clip.

    A silent recording is as loud as the floor. Raises DataError: unreadable, or a sample that is no number.
    """
    with opened(folder, path) as sound:
        info = AudioInfo(sound.samplerate, sound.frames)
        return np.concatenate(list(clip_features(info, partial(read_mono, sound, path), analysis)))


def clip_features(
    info: AudioInfo, read: Callable[[int, int], Signal], analysis: Analysis
) -> Iterator[Features]:
    """Log mel-band energies in dB of a recording, a clip (500 frames, or what is left) at a time.

    ``read(start, stop)`` gives the mono samples between, zeros outside the recording.
    """
    for starts in _window_starts(info, len(analysis.window)):
        first, last = int(starts[0]), int(starts[-1]) + len(analysis.window)
        yield log_mel(read(first, last), starts - first, analysis)


def _window_starts(info: AudioInfo, n_window: int) -> Iterator[npt.NDArray[np.int64]]:
    """The first sample of each frame's window, a clip at a time. No drift where a hop is no whole number."""
    n_frames = n_frames_of(info)
    for first in range(0, n_frames, CLIP_FRAMES):
        frames = np.arange(first, min(first + CLIP_FRAMES, n_frames), dtype=np.int64)
        centres = (2 * frames + 1) * info.sample_rate_hz // 100
        yield centres - n_window // 2
