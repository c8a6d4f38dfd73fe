"""What a network said of each recording that it was scored on, kept with its run.

Metrics, thresholds and smoothing that are asked for later are computed from it, and nothing is trained or
played to the network again. Beside what the network said stands what is true, so that neither the data nor
their annotations need to be there any more.

Scores of frames are log odds in half precision: their sign, which is a detection at 0.5, is that of the
network to the last frame, and their relative error is below 0.05 %.
"""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ablate.ground.errors import StoreError
from ablate.mtl.data.features import CLIP_FRAMES, HOP_SECONDS
from ablate.mtl.data.vocabulary import STUDY
from ablate.mtl.metrics.events import Events, Reference

if TYPE_CHECKING:
    from ablate.mtl.data.prepared import Prepared, Split
    from ablate.mtl.training.evaluate import Outputs

FILE = "outputs.npz"  # in a run's folder
SCHEMA = 1
LARGEST = 6e4  # of a half
BYTES_PER_SCORE = 1.4  # of a file; measured on trained networks, whose scores hardly compress


@dataclass(frozen=True, eq=False)
class KeptRecording:
    """A recording: what is true of it, and what the network said; None for a branch that it does not have."""

    name: str
    scene: int
    reference: Reference
    log_odds: NDArray[np.float32] | None  # (n_frames, n_events)
    scene_scores: NDArray[np.float32] | None  # (n_clips, n_scenes), log probabilities up to a constant a clip


@dataclass(frozen=True)
class Kept:
    """All recordings that a run was scored on, in the order of their names."""

    scenes: tuple[str, ...]
    events: tuple[str, ...]
    hop_s: float
    recordings: tuple[KeptRecording, ...]


def keep(said: "Outputs", split: "Split", clips: NDArray[np.int64], data: "Prepared") -> bytes:
    """The content of ``FILE``. ``data`` are those of the run, without the classes that it leaves out."""
    places = np.unique(split.recordings[clips]).tolist()
    header = {
        "schema": SCHEMA,
        "scenes": data.scenes,
        "events": data.events,
        "hop_s": HOP_SECONDS,
        "recordings": [_describe(split, clips, place, data.events) for place in places],
    }
    arrays: dict[str, NDArray[Any]] = {"header": np.frombuffer(json.dumps(header).encode("utf-8"), np.uint8)}
    inside = split.mask[clips] > 0
    if said.events is not None:
        frames = np.clip(said.events[inside], -LARGEST, LARGEST).astype(np.float16)
        arrays["log_odds"] = np.ascontiguousarray(frames.T)  # class by class, which compresses better
    if said.scenes is not None:
        arrays["scene_scores"] = said.scenes.astype(np.float32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def bytes_kept(n_clips: float) -> float:
    """About what ``FILE`` takes with the study's number of events, whose scores are nearly all of it."""
    return n_clips * CLIP_FRAMES * len(STUDY.events) * BYTES_PER_SCORE


def read(folder: Path, name: str = FILE) -> Kept | None:
    """What a run has kept, given its folder; None when it has kept nothing. Raises StoreError for damage."""
    file = folder / name
    try:
        return from_bytes(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{file}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise StoreError(f"{file}: damaged ({error}); remove it, and score the run again") from error


def from_bytes(content: bytes) -> Kept:
    """What ``keep`` has written. Raises ValueError for anything else."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            header = json.loads(arrays["header"].tobytes())
            if header["schema"] != SCHEMA:
                raise ValueError(f"schema {header['schema']}, this version reads {SCHEMA}")
            return Kept(
                tuple(header["scenes"]),
                tuple(header["events"]),
                header["hop_s"],
                tuple(_recordings(header["recordings"], arrays.get("log_odds"), arrays.get("scene_scores"))),
            )
    except ValueError:
        raise
    except Exception as error:  # a damaged archive makes zipfile and numpy raise nearly anything
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _describe(split: "Split", clips: NDArray[np.int64], place: int, events: Sequence[str]) -> dict[str, Any]:
    own = clips[split.recordings[clips] == place]
    annotated = split.annotated[place]
    return {
        "name": split.recording_names[place],
        "scene": int(split.scenes[own[0]]),
        "clips": len(own),
        "frames": int(split.mask[own].sum()),
        "duration_s": annotated.duration_s,
        "events": [
            [onset, offset, events.index(label)]
            for onset, offset, label in annotated.events
            if label in events
        ],
    }


def _recordings(
    described: Sequence[dict[str, Any]],
    log_odds: NDArray[np.float16] | None,
    scene_scores: NDArray[np.float32] | None,
) -> Iterator[KeptRecording]:
    frame = clip = 0
    for each in described:
        frames, clips = slice(frame, frame + each["frames"]), slice(clip, clip + each["clips"])
        yield KeptRecording(
            each["name"],
            each["scene"],
            Reference(Events.of([tuple(event) for event in each["events"]]), each["duration_s"]),
            None if log_odds is None else log_odds[:, frames].T.astype(np.float32),
            None if scene_scores is None else scene_scores[clips],
        )
        frame, clip = frames.stop, clips.stop
