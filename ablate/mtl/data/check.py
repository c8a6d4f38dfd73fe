"""Is a data set whole? Annotations and audio held against each other, with every problem named at once."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ablate.ground.errors import DataError
from ablate.mtl.data.annotations import Annotations, Recording, annotation_file, survey_annotations
from ablate.mtl.data.audio import AUDIO_SUFFIXES, AudioInfo, examine_audio, file_sha256, inspect_audio
from ablate.mtl.data.classes import class_notes
from ablate.mtl.data.parallel import run_each

PAST_THE_END_S = 0.1  # an offset this far past the recording's end is worth a note; less is rounding


@dataclass(frozen=True, slots=True)
class Survey:
    """A data set's annotations and the headers of its audio files by path, with all problems found."""

    annotations: Annotations
    headers: dict[str, AudioInfo]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """A data set without problems. ``notes`` are remarkable, but no reason to stop."""

    recordings: dict[str, int]  # by split, as are the next two
    events: dict[str, int]
    minutes: dict[str, float]
    notes: tuple[str, ...]


def check(folder: Path, *, workers: int | None = None, progress: bool = False) -> Summary:
    """Reads every annotation row and every sample. Raises DataError that names all that is wrong."""
    found = survey(folder)
    problems = list(found.problems)
    paths = sorted(found.headers)
    hashes: dict[str, str] = {}
    notes = list(found.notes)
    try:
        tasks = [(folder, path) for path in paths]
        for index, (sha256, is_silent) in run_each(
            _examine, tasks, workers=workers, label="reading audio", progress=progress
        ):
            hashes[paths[index]] = sha256
            if is_silent:
                notes.append(f"{paths[index]}: silent, all of its samples are equal")
    except DataError as error:
        problems += error.problems
    problems += _same_audio_in_both_splits(found.annotations, hashes)
    if problems:
        raise DataError(problems)
    splits = found.annotations.splits
    return Summary(
        recordings={split: len(recordings) for split, recordings in splits.items()},
        events={split: sum(len(each.events) for each in recordings) for split, recordings in splits.items()},
        minutes={
            split: sum(found.headers[recording.path].duration_s for recording in recordings) / 60
            for split, recordings in splits.items()
        },
        notes=(*notes, *class_notes(found.annotations), *_stray_audio(folder, found.annotations)),
    )


def survey(folder: Path) -> Survey:
    """Annotations and audio headers, as far as they can be read. Nothing is raised."""
    annotations = survey_annotations(folder)
    problems, notes = list(annotations.problems), list(annotations.notes)
    present = [recording for recording in annotations.recordings if (folder / recording.path).exists()]
    problems += _missing(folder, annotations.recordings)
    headers: dict[str, AudioInfo] = {}
    for recording in present:
        try:
            headers[recording.path] = inspect_audio(folder, recording.path)
        except DataError as error:
            problems += error.problems
    for split, recordings in annotations.splits.items():
        for recording in recordings:
            if recording.path in headers:
                late, cut = past_the_end(recording, headers[recording.path].duration_s)
                problems += [f"{annotation_file(split)}:{sentence}" for sentence in late]
                notes += [f"{annotation_file(split)}:{sentence}" for sentence in cut]
    notes += _mixed_rates(headers)
    return Survey(annotations, headers, tuple(problems), tuple(notes))


def _examine(task: tuple[Path, str]) -> tuple[str, bool]:
    """The SHA-256 of an audio file, and whether it is silent."""
    folder, path = task
    is_silent = examine_audio(folder, path)
    return file_sha256(folder / path), is_silent


def _missing(folder: Path, recordings: tuple[Recording, ...]) -> Iterator[str]:
    """The missing files, one sentence for each folder that should hold them."""
    annotated = Counter(str(PurePosixPath(recording.path).parent) for recording in recordings)
    missing: dict[str, list[str]] = {}
    for recording in recordings:
        path = PurePosixPath(recording.path)
        if not (folder / path).exists():
            missing.setdefault(str(path.parent), []).append(path.name)
    for parent, names in sorted(missing.items()):
        count = f"{len(names)} of {annotated[parent]} annotated recordings"
        where = (
            f"missing in {parent}" if (folder / parent).is_dir() else f"missing, as is the folder {parent}"
        )
        yield f"{count} {where}: {', '.join(sorted(names))}"


def past_the_end(recording: Recording, duration_s: float) -> tuple[list[str], list[str]]:
    """Events that begin after the recording's end (problems), and events that end after it (notes)."""
    late, cut = [], []
    for event, line in zip(recording.events, recording.lines, strict=True):
        end = f"{recording.path} ends at {duration_s:.3f} s"
        if event.onset_s >= duration_s:
            late.append(f"{line}: {event.label} begins at {event.onset_s:g} s, but {end}")
        elif event.offset_s > duration_s + PAST_THE_END_S:
            cut.append(f"{line}: {event.label} lasts until {event.offset_s:g} s, but {end}; cut there")
    return late, cut


def _mixed_rates(headers: dict[str, AudioInfo]) -> Iterator[str]:
    rates = Counter(info.sample_rate_hz for info in headers.values())
    if len(rates) > 1:
        counts = ", ".join(f"{rate} Hz ({count} files)" for rate, count in sorted(rates.items()))
        yield f"sample rates differ: {counts}; features use frequencies up to {min(rates) / 2:g} Hz"


def _same_audio_in_both_splits(annotations: Annotations, hashes: dict[str, str]) -> Iterator[str]:
    """Evaluation on a copy of a development recording would flatter every system."""
    development = {
        hashes[recording.path]: recording.path
        for recording in annotations.development
        if recording.path in hashes
    }
    for recording in annotations.evaluation:
        twin = development.get(hashes.get(recording.path, ""))
        if twin is not None and twin != recording.path:
            yield f"{recording.path} (evaluation) is byte for byte {twin} (development)"


def _stray_audio(folder: Path, annotations: Annotations) -> Iterator[str]:
    """Audio files that no annotation mentions, counted by folder."""
    annotated = {recording.path for recording in annotations.recordings}
    stray = Counter(
        str(path.parent)
        for path in (
            file.relative_to(folder) for file in folder.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES
        )
        if path.as_posix() not in annotated
    )
    for parent, count in sorted(stray.items()):
        yield f"{count} audio files in {parent} are in no annotation file, and are not used"
