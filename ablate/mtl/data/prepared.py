"""Prepared data: features and targets of every clip, written once, opened read-only by every run.

    <folder>/prepared/
        manifest.json               schema, digest, parameters, labels, recordings, normalisation, inputs
        development/features.npy    float32 (n_clips, 500, 64), log mel-band energy, standardised
        development/events.npy      uint8   (n_clips, 500, n_events), 1 where an event is active
        development/scenes.npy      int64   (n_clips,), index into the manifest's scenes; 0 if there are none
        development/mask.npy        uint8   (n_clips, 500), 1 where the frame is inside the recording
        development/recordings.npy  int32   (n_clips,), index into the split's recordings
        evaluation/...              the same

Features are standardised per band with the mean and deviation of the development set's real frames; padded
frames are 0, which is the mean. The digest is the SHA-256 of the annotations in a canonical order, of every
audio file's bytes, and of the parameters and the schema: it does not depend on the machine.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ablate.ground.errors import DataError, brief, shown
from ablate.ground.files import read_json, write_json
from ablate.ground.records import require
from ablate.mtl.data.annotations import SPLITS, Annotations, Recording, annotation_file, read_annotations
from ablate.mtl.data.arrays import DTYPES, Kept, shapes, top_frequency_hz, write_arrays
from ablate.mtl.data.audio import AudioInfo
from ablate.mtl.data.check import Survey, survey
from ablate.mtl.data.columns import SCENES_FILE
from ablate.mtl.data.features import (
    CLIP_FRAMES,
    FLOOR_DB,
    HOP_SECONDS,
    N_BANDS,
    SHORTEST_TAIL_FRAMES,
    WINDOW_SECONDS,
    Hearing,
    Normalisation,
    n_clips_of,
    n_frames_of,
)
from ablate.mtl.data.manifest import Manifest
from ablate.mtl.data.replacing import only_one, put_in_place
from ablate.mtl.data.vocabulary import LABELS_FILE

FORMAT = "ablate prepared data"
SCHEMA = 3  # raise it whenever prepared data take another form
ARRAYS = 2  # part of the digest: raise it whenever equal inputs would give other arrays
MANIFEST = "manifest.json"
EXTRACTED = "extracted"  # recordings whose features are there, while others' are not
DIGEST_DIGITS = 32  # 128 bits; MLflow takes digests of up to 36 characters

PARAMETERS: dict[str, Any] = {
    "bands": N_BANDS,
    "window_seconds": WINDOW_SECONDS,
    "hop_seconds": HOP_SECONDS,
    "clip_frames": CLIP_FRAMES,
    "shortest_tail_frames": SHORTEST_TAIL_FRAMES,
    "floor_db": FLOOR_DB,
    "channels": "mean",
    "standardised": "per band, on the development set",
}


@dataclass(frozen=True)
class Annotated:
    """What is annotated of a recording: how long it is, and (onset_s, offset_s, label) of each event."""

    duration_s: float
    events: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True)
class Split:
    """The clips of one split, in the order of their recordings' paths. All arrays are read-only."""

    features: npt.NDArray[np.float32]  # (n_clips, 500, 64)
    events: npt.NDArray[np.uint8]  # (n_clips, 500, n_events)
    scenes: npt.NDArray[np.int64]  # (n_clips,)
    mask: npt.NDArray[np.uint8]  # (n_clips, 500)
    recordings: npt.NDArray[np.int32]  # (n_clips,)
    recording_names: tuple[str, ...]
    annotated: tuple[Annotated, ...]  # of each recording

    def __len__(self) -> int:
        return len(self.scenes)


@dataclass(frozen=True)
class Prepared:
    """A prepared data set. ``digest`` says what it holds, wherever it lies."""

    path: Path
    name: str
    digest: str
    scenes: tuple[str, ...]
    events: tuple[str, ...]
    development: Split
    evaluation: Split
    hearing: Hearing | None = None  # how its recordings were heard, where there are any


# ------------------------------------------------------------------------------------------------ opening


def open_prepared(path: Path) -> Prepared:
    """The prepared data in ``path`` or ``path / "prepared"``, mapped into memory.

    Raises DataError: nothing prepared there, another schema, arrays missing or not what the manifest says.
    """
    root = find_prepared(path)
    manifest = _read_manifest(root)
    problems: list[str] = []
    splits = {split: _open_split(root, split, manifest, problems) for split in SPLITS}
    if problems:
        raise DataError(problems)
    return Prepared(
        path=root,
        name=manifest["name"],
        digest=manifest["digest"],
        scenes=tuple(manifest["scenes"]),
        events=tuple(manifest["events"]),
        development=splits["development"],
        evaluation=splits["evaluation"],
        hearing=_hearing(manifest),
    )


def _hearing(manifest: dict[str, Any]) -> Hearing:
    bands = manifest["normalisation"]
    mean_db, std_db = (np.array(bands[name], np.float64) for name in ("mean_db", "std_db"))
    return Hearing(manifest["top_hz"], Normalisation(mean_db, std_db))


def find_prepared(path: Path) -> Path:
    """The folder that holds the manifest: ``path`` or ``path / "prepared"``. Raises DataError if neither."""
    for root in (path, path / "prepared"):
        if (root / MANIFEST).is_file():
            return root
    if not path.exists():
        raise DataError(f"{path}: no such folder; 'ablate data generate {path}' makes a data set there")
    if (path / annotation_file("development")).exists():
        raise DataError(f"{path}: not prepared yet; run 'ablate data prepare {path}'")
    raise DataError(
        f"{path}: neither prepared data nor annotations ({annotation_file('development')}); "
        "name a data set's folder, or make one with 'ablate data generate'"
    )


def _read_manifest(root: Path) -> dict[str, Any]:
    try:
        manifest = read_json(root / MANIFEST)
    except (ValueError, OSError) as error:
        raise DataError(f"{root / MANIFEST}: cannot be read ({error}); prepare the data again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{root / MANIFEST}: not a manifest of prepared data")
    if manifest.get("schema") != SCHEMA:
        raise DataError(
            f"{root}: prepared under schema {shown(manifest.get('schema'))}, but this version reads "
            f"{SCHEMA}; run 'ablate data prepare' again"
        )
    try:
        return dict(require(Manifest, manifest))
    except ValueError as error:
        raise DataError(f"{root / MANIFEST}: damaged ({error}); prepare the data again") from error


def _open_split(root: Path, split: str, manifest: dict[str, Any], problems: list[str]) -> Split:
    record = manifest["splits"][split]
    arrays = {
        name: _open_array(root / split / f"{name}.npy", dtype, shape, problems)
        for (name, dtype), shape in zip(
            DTYPES.items(), shapes(record["clips"], len(manifest["events"])).values(), strict=True
        )
    }
    names = tuple(recording["path"] for recording in record["recordings"])
    n_scenes = len(manifest["scenes"]) or 1  # without scenes, all clips have the index 0
    for name, n_known in (("scenes", n_scenes), ("recordings", len(names))):
        if np.any((arrays[name] < 0) | (arrays[name] >= n_known)):
            problems.append(f"{root / split / name}.npy: damaged; run 'ablate data prepare' again")
    annotated = tuple(
        Annotated(recording["duration_s"], tuple(tuple(event) for event in recording["annotated"]))
        for recording in record["recordings"]
    )
    return Split(**arrays, recording_names=names, annotated=annotated)


def _open_array(
    file: Path, dtype: np.dtype[Any], shape: tuple[int, ...], problems: list[str]
) -> npt.NDArray[Any]:
    nothing = np.empty(0, dtype)
    try:
        array = np.lib.format.open_memmap(file, mode="r")
    except Exception as error:  # a damaged header makes numpy raise nearly anything
        reason = (
            "missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({brief(str(error))})"
        )
        problems.append(f"{file}: {reason}; run 'ablate data prepare' again")
        return nothing
    if array.dtype != dtype or array.shape != shape:
        found = brief(f"{array.dtype} {array.shape}")
        problems.append(f"{file}: {found}, but the manifest says {dtype} {shape}")
        return nothing
    return array


# ---------------------------------------------------------------------------------------------- preparing


def prepare(
    folder: Path, out: Path | None = None, *, workers: int | None = None, progress: bool = False
) -> Path:
    """Prepares a data set into ``out`` (``folder / "prepared"``) and returns that folder.

    Does nothing when ``out`` is up to date. Whatever happens, ``out`` holds either the old data or the new: a
    temporary folder beside it is filled, then renamed. Interrupted or killed, it goes on after the recordings
    that it had extracted. ``workers``: processes, by default one a core; their
    number changes no number. Raises DataError with every problem of the annotations and the audio at once.
    """
    out = folder / "prepared" if out is None else out
    if is_up_to_date(folder, out):
        return out
    _refuse_foreign(out)
    found = survey(folder)
    if found.problems:
        raise DataError(found.problems)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with only_one(out, EXTRACTED) as temporary:
            if not is_up_to_date(folder, out):  # another process may have prepared it meanwhile
                write_json(temporary / MANIFEST, _write(temporary, folder, found, workers, progress))
                put_in_place(out, temporary)
    except OSError as error:
        raise DataError(
            f"{out}: cannot be written ({error.strerror or error}); prepare into another folder with --out"
        ) from error
    return out


def is_up_to_date(folder: Path, out: Path | None = None) -> bool:
    """Whether ``out`` was prepared from these very files, judged by their sizes and modification times."""
    out = folder / "prepared" if out is None else out
    try:
        open_prepared(out)
        manifest = _read_manifest(out)
        inputs = _inputs(folder, read_annotations(folder))
    except (DataError, OSError):
        return False
    return bool(manifest["parameters"] == PARAMETERS and manifest["inputs"] == inputs)


def _inputs(folder: Path, annotations: Annotations) -> dict[str, list[int]]:
    """Size and modification time (ns) of every file that decides what is prepared."""
    paths = [annotation_file(split) for split in SPLITS]
    paths += [name for name in (LABELS_FILE, SCENES_FILE) if (folder / name).exists()]
    paths += [recording.path for recording in annotations.recordings]
    states = {path: (folder / path).stat() for path in paths}
    return {path: [state.st_size, state.st_mtime_ns] for path, state in states.items()}


def _refuse_foreign(out: Path) -> None:
    """Only prepared data are ever replaced; a damaged manifest is still one."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; name a folder for the prepared data")
    if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise DataError(f"{out}: holds something else than prepared data; name another folder")


# ------------------------------------------------------------------------------------------ the manifest


def _write(root: Path, folder: Path, found: Survey, workers: int | None, progress: bool) -> dict[str, Any]:
    """Fills ``root`` with both splits' arrays and returns the manifest."""
    annotations, headers = found.annotations, found.headers
    inputs = _inputs(folder, annotations)  # before reading: whatever changes meanwhile is out of date
    kept = Kept(root / EXTRACTED, json.dumps([SCHEMA, PARAMETERS, top_frequency_hz(headers)]))
    normalisation, hashes = write_arrays(root, folder, found, kept, workers=workers, progress=progress)
    shutil.rmtree(kept.root)
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "name": folder.resolve().name,
        "digest": digest_of(annotations, hashes),
        "parameters": PARAMETERS,
        "top_hz": top_frequency_hz(headers),
        "scenes": list(annotations.vocabulary.scenes),
        "events": list(annotations.vocabulary.events),
        "splits": {
            split: _describe(recordings, headers, hashes) for split, recordings in annotations.splits.items()
        },
        "normalisation": {
            "mean_db": normalisation.mean_db.tolist(),
            "std_db": normalisation.std_db.tolist(),
        },
        "inputs": inputs,
    }


def digest_of(annotations: Annotations, hashes: dict[str, str]) -> str:
    """The SHA-256 of all that decides the prepared data: annotations, audio, parameters, schema.

    Recordings and events are in canonical order, so that reordering or reformatting annotation rows keeps it.
    """
    content = {
        "schema": ARRAYS,
        "parameters": PARAMETERS,
        "scenes": annotations.vocabulary.scenes,
        "events": annotations.vocabulary.events,
        "splits": {
            split: [
                [
                    recording.path,
                    recording.scene,
                    hashes[recording.path],
                    [[event.onset_s, event.offset_s, event.label] for event in recording.events],
                ]
                for recording in recordings
            ]
            for split, recordings in annotations.splits.items()
        },
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:DIGEST_DIGITS]


def _describe(
    recordings: Iterable[Recording], headers: dict[str, AudioInfo], hashes: dict[str, str]
) -> dict[str, Any]:
    """A split's record in the manifest."""
    rows: list[dict[str, Any]] = [
        {
            "path": recording.path,
            "scene": recording.scene,
            "events": len(recording.events),
            "annotated": [[event.onset_s, event.offset_s, event.label] for event in recording.events],
            "duration_s": headers[recording.path].duration_s,
            "sample_rate_hz": headers[recording.path].sample_rate_hz,
            "clips": n_clips_of(n_frames_of(headers[recording.path])),
            "sha256": hashes[recording.path],
        }
        for recording in recordings
    ]
    return {
        "clips": sum(row["clips"] for row in rows),
        "events": sum(row["events"] for row in rows),
        "minutes": sum(row["duration_s"] for row in rows) / 60,
        "recordings": rows,
    }
