"""The arrays of prepared data: their shapes, and how recordings fill them.

For each split: features float32 (n_clips, 500, 64), events uint8 (n_clips, 500, n_events), scenes int64
(n_clips,), mask uint8 (n_clips, 500), recordings int32 (n_clips,), each in a ``.npy`` file of that name.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from ablate.ground.files import replacing
from ablate.mtl.data.annotations import SPLITS, Recording
from ablate.mtl.data.audio import AudioInfo, file_sha256
from ablate.mtl.data.check import Survey
from ablate.mtl.data.features import (
    CLIP_FRAMES,
    N_BANDS,
    Analysis,
    Features,
    Normalisation,
    Targets,
    analysis_for,
    cut_into_clips,
    frame_targets,
    n_clips_of,
    n_frames_of,
    recording_features,
)
from ablate.mtl.data.parallel import run_each
from ablate.mtl.data.vocabulary import Vocabulary

Arrays = dict[str, npt.NDArray[Any]]

DTYPES: dict[str, np.dtype[Any]] = {
    "features": np.dtype(np.float32),
    "events": np.dtype(np.uint8),
    "scenes": np.dtype(np.int64),
    "mask": np.dtype(np.uint8),
    "recordings": np.dtype(np.int32),
}


def shapes(n_clips: int, n_events: int) -> dict[str, tuple[int, ...]]:
    """The shape of each array of a split."""
    return {
        "features": (n_clips, CLIP_FRAMES, N_BANDS),
        "events": (n_clips, CLIP_FRAMES, n_events),
        "scenes": (n_clips,),
        "mask": (n_clips, CLIP_FRAMES),
        "recordings": (n_clips,),
    }


def top_frequency_hz(headers: dict[str, AudioInfo]) -> float:
    """Where the mel bands end: the highest frequency that all recordings have."""
    return min(info.sample_rate_hz for info in headers.values()) / 2


def write_arrays(
    root: Path, folder: Path, found: Survey, kept: "Kept", *, workers: int | None, progress: bool
) -> tuple[Normalisation, dict[str, str]]:
    """Writes both splits' arrays under ``root``; each recording that is extracted is kept until then.

    Returns the normalisation and the SHA-256 of each audio file by path. Raises DataError that names every
    recording with unusable samples.
    """
    splits, vocabulary = found.annotations.splits, found.annotations.vocabulary
    arrays = {split: _create(root / split, splits[split], vocabulary, found.headers) for split in SPLITS}
    places = [(split, index) for split in SPLITS for index in range(len(splits[split]))]
    top_hz = top_frequency_hz(found.headers)
    tasks = [
        _Task(
            folder,
            recording,
            vocabulary.events,
            analysis_for(found.headers[recording.path].sample_rate_hz, top_hz),
            kept.file(folder, recording.path),
        )
        for recording in found.annotations.recordings
    ]
    moments, hashes = _Moments(), {}
    for position, extracted in run_each(
        _extract, tasks, workers=workers, label="log-mel features", progress=progress
    ):
        split, index = places[position]
        _store(arrays[split], index, extracted)
        hashes[tasks[position].recording.path] = extracted.sha256
        if split == "development":
            moments.add(extracted.features)
    normalisation = moments.normalisation()
    for split in SPLITS:
        _standardise(arrays[split], normalisation)
    return normalisation, hashes


@dataclass(frozen=True, slots=True)
class _Task:
    """One recording to extract, in a worker process."""

    folder: Path
    recording: Recording
    labels: tuple[str, ...]
    analysis: Analysis
    kept: Path


@dataclass(frozen=True, slots=True)
class Kept:
    """Where extracted recordings outlast a killed preparation. ``basis``: what but audio decides them."""

    root: Path
    basis: str

    def file(self, folder: Path, path: str) -> Path:
        """The file of a recording as it is now, judged by its size and modification time."""
        state = (folder / path).stat()
        content = json.dumps([self.basis, path, state.st_size, state.st_mtime_ns])
        return self.root / f"{hashlib.sha256(content.encode()).hexdigest()}.npz"


@dataclass(frozen=True, slots=True)
class _Extracted:
    """One recording: features in dB (n_frames, 64), targets (n_frames, n_events), its file's SHA-256."""

    features: Features
    targets: Targets
    sha256: str


def _extract(task: _Task) -> _Extracted:
    features, sha256 = _kept(task.kept) or _features_to_keep(task)
    return _Extracted(features, frame_targets(task.recording.events, task.labels, len(features)), sha256)


def _kept(file: Path) -> tuple[Features, str] | None:
    """What an interrupted preparation has extracted. The archive's own checksums notice damage."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            return archive["features"], str(archive["sha256"])
    except (OSError, ValueError, KeyError, BadZipFile):
        return None


def _features_to_keep(task: _Task) -> tuple[Features, str]:
    path = task.recording.path
    features = recording_features(task.folder, path, task.analysis)
    sha256 = file_sha256(task.folder / path)
    with replacing(task.kept, durable=True) as temporary, temporary.open("wb") as file:
        np.savez(file, features=features, sha256=np.array(sha256))
    return features, sha256


def _create(
    root: Path, recordings: Sequence[Recording], vocabulary: Vocabulary, headers: dict[str, AudioInfo]
) -> Arrays:
    """A split's arrays as files, with scenes and recordings filled in."""
    root.mkdir()
    n_clips = [n_clips_of(n_frames_of(headers[recording.path])) for recording in recordings]
    arrays: Arrays = {
        name: np.lib.format.open_memmap(root / f"{name}.npy", mode="w+", dtype=DTYPES[name], shape=shape)
        for name, shape in shapes(sum(n_clips), len(vocabulary.events)).items()
    }
    scene_of = [
        vocabulary.scenes.index(recording.scene) if vocabulary.scenes else 0 for recording in recordings
    ]
    arrays["scenes"][:] = np.repeat(scene_of, n_clips)
    arrays["recordings"][:] = np.repeat(np.arange(len(recordings)), n_clips)
    return arrays


def _store(arrays: Arrays, recording: int, extracted: _Extracted) -> None:
    """Puts one recording's frames into its clips."""
    clips = arrays["recordings"] == recording
    arrays["features"][clips] = cut_into_clips(extracted.features)
    arrays["events"][clips] = cut_into_clips(extracted.targets)
    arrays["mask"][clips] = cut_into_clips(np.ones(len(extracted.features), np.uint8))


class _Moments:
    """Sums over all frames added, in float64: the same in any number of processes."""

    def __init__(self) -> None:
        self.n_frames = 0
        self.sum = np.zeros(N_BANDS)
        self.sum_of_squares = np.zeros(N_BANDS)

    def add(self, features: Features) -> None:
        wide = features.astype(np.float64)
        self.n_frames += len(wide)
        self.sum += wide.sum(axis=0)
        self.sum_of_squares += (wide**2).sum(axis=0)

    def normalisation(self) -> Normalisation:
        """A band that never changes has deviation 1."""
        mean = self.sum / self.n_frames
        variance = np.maximum(self.sum_of_squares / self.n_frames - mean**2, 0)
        return Normalisation(mean, np.where(variance > 1e-6, np.sqrt(variance), 1.0))


def _standardise(arrays: Arrays, normalisation: Normalisation) -> None:
    """In place, clip by clip; padded frames become 0."""
    features, mask = arrays["features"], arrays["mask"]
    for clip in range(len(features)):
        features[clip] = normalisation.standardised(features[clip]) * mask[clip][:, None]
