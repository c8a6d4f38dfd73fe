"""Audio files: what their header says, and their samples. Everything odd is a DataError of one sentence."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from ablate.ground.errors import DataError

LOWEST_SAMPLE_RATE_HZ = 8000  # telephone speech; below it, 64 mel bands have no frequencies to share
HIGHEST_SAMPLE_RATE_HZ = 1_000_000  # beyond any recorder's; a damaged header can say anything
MOST_CHANNELS = 64
LOUDEST = 2.0**32  # floats are meant to lie within 1, integers saved as floats reach 2**31; more overflows
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff"})

Signal = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """The header of an audio file."""

    sample_rate_hz: int
    n_samples: int

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.sample_rate_hz


def inspect_audio(folder: Path, path: str) -> AudioInfo:
    """The header of ``folder / path``, where the file keeps what it promises.

    Raises DataError: empty, not audio, no samples, cut short, sample rate out of range.
    """
    file = folder / path
    if not file.is_file():
        raise DataError(f"{path}: {'not a file' if file.exists() else 'missing'}")
    if file.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty (0 bytes)")
    with opened(folder, path) as sound:
        info = AudioInfo(sound.samplerate, sound.frames)
        if info.n_samples == 0:
            raise DataError(f"{path}: holds no samples")
        if not LOWEST_SAMPLE_RATE_HZ <= info.sample_rate_hz <= HIGHEST_SAMPLE_RATE_HZ:
            raise DataError(
                f"{path}: sample rate {info.sample_rate_hz} Hz; {LOWEST_SAMPLE_RATE_HZ} to "
                f"{HIGHEST_SAMPLE_RATE_HZ} Hz can be used"
            )
        if sound.channels > MOST_CHANNELS:
            raise DataError(f"{path}: {sound.channels} channels; at most {MOST_CHANNELS} can be used")
        _read(sound, path, info.n_samples - 1, info.n_samples)  # a header may promise more than there is
    return info


def opened(folder: Path, path: str) -> soundfile.SoundFile:
    """The open file, to be used in a ``with`` block. Raises DataError when it is not readable audio."""
    try:
        return soundfile.SoundFile(folder / path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise DataError(f"{path}: cannot be read as audio: {_reason(error)}") from error
    except TypeError as error:  # headerless, which soundfile infers from the suffix .raw
        raise DataError(f"{path}: cannot be read as audio: no header says what its samples are") from error


def read_mono(sound: soundfile.SoundFile, path: str, start: int, stop: int) -> Signal:
    """Samples ``start`` to ``stop`` as the mean of the channels (n_samples,); zeros outside the recording.

    Raises DataError when a sample is not a finite number or far too large, or the file breaks off.
    """
    signal = np.zeros(stop - start, dtype=np.float32)
    first, last = max(start, 0), min(stop, sound.frames)
    if first >= last:
        return signal
    samples = _read(sound, path, first, last)
    usable = np.abs(samples) <= LOUDEST  # which NaN is not
    if not usable.all():
        index, channel = (int(place[0]) for place in np.nonzero(~usable))
        where = f"sample {first + index} ({(first + index) / sound.samplerate:.3f} s)"
        value = samples[index, channel]
        wrong = (
            f"is {value:g}; samples are to lie within -1 and 1"
            if np.isfinite(value)
            else "is not a finite number"
        )
        raise DataError(f"{path}: {where} {wrong}")
    signal[first - start : last - start] = mean_of_channels(samples)
    return signal


def mean_of_channels(samples: Signal) -> Signal:
    """The mean of each row of (n_samples, n_channels).

    Few channels are added one after the other: the order in which numpy adds less than eight as well, but ten
    times as fast as it does so row by row.
    """
    n_channels = samples.shape[1]
    if n_channels >= 8:
        mean: Signal = samples.mean(axis=1)
        return mean
    total = samples[:, 0].copy()
    for channel in range(1, n_channels):
        total += samples[:, channel]
    return total / np.float32(n_channels)


def _read(sound: soundfile.SoundFile, path: str, first: int, last: int) -> Signal:
    """Samples ``first`` to ``last`` (n_samples, n_channels). Raises DataError when there are fewer."""
    damaged = f"{path}: sample {first} cannot be read; the file is damaged or cut short"
    try:
        if sound.seek(first) != first:  # an MP3 with a wrong index
            raise DataError(damaged)
        samples: Signal = sound.read(last - first, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise DataError(damaged) from error
    if len(samples) < last - first:
        raise DataError(
            f"{path}: breaks off after {first + len(samples)} samples; its header promises {sound.frames}"
        )
    return samples


def read_whole(folder: Path, path: str) -> tuple[AudioInfo, Signal]:
    """A short recording at once: its header and its mono samples. Raises DataError as above."""
    info = inspect_audio(folder, path)
    with opened(folder, path) as sound:
        signal = read_mono(sound, path, 0, info.n_samples)
    return info, signal


def examine_audio(folder: Path, path: str, block_s: float = 10.0) -> bool:
    """Reads every sample of a recording, in blocks: whether it is silent, all of its mono samples equal.

    Raises DataError when it cannot be read.
    """
    info = inspect_audio(folder, path)
    lowest, highest = np.inf, -np.inf
    with opened(folder, path) as sound:
        for start, stop in _blocks(info.n_samples, round(block_s * info.sample_rate_hz)):
            signal = read_mono(sound, path, start, stop)
            lowest, highest = min(lowest, float(signal.min())), max(highest, float(signal.max()))
    return lowest == highest


def file_sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _blocks(n_samples: int, n_block: int) -> Iterator[tuple[int, int]]:
    for start in range(0, n_samples, n_block):
        yield start, min(start + n_block, n_samples)


def _reason(error: Exception) -> str:
    """What libsndfile says, without the path that it repeats."""
    return str(getattr(error, "error_string", None) or getattr(error, "strerror", None) or error).rstrip(".")
