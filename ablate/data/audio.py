"""Audio files: what their header says, and their samples. Everything odd is a DataError of one sentence."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from ablate.errors import DataError

LOWEST_SAMPLE_RATE_HZ = 8000  # telephone speech; below it, 64 mel bands have no frequencies to share
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
    """The header of ``folder / path``. Raises DataError: empty, not audio, no samples, rate too low."""
    file = folder / path
    if not file.is_file():
        raise DataError(f"{path}: {'not a file' if file.exists() else 'missing'}")
    if file.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty (0 bytes)")
    with opened(folder, path) as sound:
        info = AudioInfo(sound.samplerate, sound.frames)
    if info.n_samples == 0:
        raise DataError(f"{path}: holds no samples")
    if info.sample_rate_hz < LOWEST_SAMPLE_RATE_HZ:
        raise DataError(
            f"{path}: sample rate {info.sample_rate_hz} Hz; at least {LOWEST_SAMPLE_RATE_HZ} Hz is needed"
        )
    return info


def opened(folder: Path, path: str) -> soundfile.SoundFile:
    """The open file, to be used in a ``with`` block. Raises DataError when it is not readable audio."""
    try:
        return soundfile.SoundFile(folder / path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise DataError(f"{path}: cannot be read as audio: {_reason(error)}") from error


def read_mono(sound: soundfile.SoundFile, path: str, start: int, stop: int) -> Signal:
    """Samples ``start`` to ``stop`` as the mean of the channels (n_samples,); zeros outside the recording.

    Raises DataError when a sample is not a finite number, or the file breaks off unreadably.
    """
    signal = np.zeros(stop - start, dtype=np.float32)
    first, last = max(start, 0), min(stop, sound.frames)
    if first >= last:
        return signal
    try:
        sound.seek(first)
        samples = sound.read(last - first, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: cannot be read as audio: {_reason(error)}") from error
    if not np.isfinite(samples).all():
        where = first + int(np.flatnonzero(~np.isfinite(samples).all(axis=1))[0])
        raise DataError(f"{path}: sample {where} ({where / sound.samplerate:.3f} s) is not a finite number")
    signal[first - start : first - start + len(samples)] = samples.mean(axis=1)
    return signal


def raise_if_silent(path: str, lowest: float, highest: float) -> None:
    """A recording whose mono samples are all equal says nothing: DataError."""
    if lowest == highest:
        raise DataError(f"{path}: silent: every sample is {lowest:g}")


def read_whole(folder: Path, path: str) -> tuple[AudioInfo, Signal]:
    """A short recording at once: its header and its mono samples. Raises DataError as above."""
    info = inspect_audio(folder, path)
    with opened(folder, path) as sound:
        signal = read_mono(sound, path, 0, info.n_samples)
    raise_if_silent(path, float(signal.min()), float(signal.max()))
    return info, signal


def examine_audio(folder: Path, path: str, block_s: float = 10.0) -> None:
    """Reads every sample of a recording, in blocks. Raises DataError when it is unreadable or silent."""
    info = inspect_audio(folder, path)
    lowest, highest = np.inf, -np.inf
    with opened(folder, path) as sound:
        for start, stop in _blocks(info.n_samples, round(block_s * info.sample_rate_hz)):
            signal = read_mono(sound, path, start, stop)
            lowest, highest = min(lowest, float(signal.min())), max(highest, float(signal.max()))
    raise_if_silent(path, lowest, highest)


def file_sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _blocks(n_samples: int, n_block: int) -> Iterator[tuple[int, int]]:
    for start in range(0, n_samples, n_block):
        yield start, min(start + n_block, n_samples)


def _reason(error: Exception) -> str:
    """What libsndfile says, without the path that it repeats."""
    return str(getattr(error, "error_string", None) or getattr(error, "strerror", None) or error).rstrip(".")
