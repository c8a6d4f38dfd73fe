"""The data of a study: the user's own folder, or generated soundscapes when there is none."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ablate.ground.errors import DataError
from ablate.mtl.data.annotations import annotation_file, survey_annotations
from ablate.mtl.data.audio import file_sha256
from ablate.mtl.data.check import survey
from ablate.mtl.data.classes import class_notes
from ablate.mtl.data.features import CLIP_FRAMES, HOP_SECONDS, n_clips_of, n_frames_of
from ablate.mtl.data.folds import WantedFolds, check_folds, parts_of
from ablate.mtl.data.prepared import Prepared, digest_of, is_up_to_date, open_prepared, prepare
from ablate.mtl.data.soundscapes import GENERATOR, generate
from ablate.mtl.data.tasks import lacking, settled
from ablate.mtl.data.vocabulary import STUDY, Kind, Vocabulary
from ablate.mtl.metrics.scores import slugs
from ablate.mtl.named_classes import ClassNames, check_classes
from ablate.subject.factors import Inert
from ablate.subject.interface import Data, Dataset, Say, Size

# Other data have another name, and so a folder of their own: the generator's version, and that of what it is
# asked for. With 24 minutes to evaluate on and three seeds, intervals are narrow enough to say something.
NAME = f"embedded-v{GENERATOR}.2"
MINUTES, EVAL_MINUTES, SEED = 8.0, 24.0, 0
CLIPS_PER_MINUTE = 60 / (CLIP_FRAMES * HOP_SECONDS)

# Asked of the words of the data and the scene of each development recording.
Check = Callable[[Vocabulary, Sequence[str]], None]
Expected = ClassNames | WantedFolds


class Soundscapes(Data):
    """The subject's data: a folder with annotations and audio, or with prepared data."""

    def identify(
        self, folder: Path | None, store_data: Path, say: Say, expected: Sequence[Expected]
    ) -> Dataset:
        name, digest, path = identify(folder, store_data, say, _check_of(expected, say))
        return Dataset(name, digest, path)

    def provide(
        self, folder: Path | None, store_data: Path, say: Say, expected: Sequence[Expected]
    ) -> Dataset:
        prepared = provide(folder, store_data, say, _check_of(expected, say))
        return Dataset(prepared.name, prepared.digest, prepared.path)

    def settles(self, folder: Path | None, store_data: Path) -> Mapping[str, Inert]:  # noqa: ARG002
        return settled(words_of(folder))

    def size(self, folder: Path | None, store_data: Path) -> Size:
        return size_of(folder, store_data)

    def digest(self, path: Path) -> str:
        return open_prepared(path).digest


def _check_of(expected: Sequence[Expected], say: Say) -> Check:
    """Refuses data that do not have the classes which a study names, or the recordings for its folds."""
    named = [each for each in expected if isinstance(each, ClassNames)]
    folds = dict.fromkeys(each for each in expected if isinstance(each, WantedFolds))
    said: set[str] = set()  # as annotations are checked, and what is prepared of them once more

    def check(found: Vocabulary, scenes: Sequence[str]) -> None:
        known: dict[Kind, Sequence[str]] = {"scene": slugs(found.scenes), "event": slugs(found.events)}
        check_classes(named, known, lacking(found))
        for wanted in folds:
            for note in check_folds(wanted, scenes):
                if note not in said:
                    say(f"note: {note}")
                    said.add(note)

    return check


def accept(vocabulary: Vocabulary, scenes: Sequence[str]) -> None:
    """Any will do."""


def provide(folder: Path | None, data_root: Path, say: Say, check: Check = accept) -> Prepared:
    """The prepared data of ``folder``; without one, of the embedded soundscapes, which live in ``data_root``.

    Generates and prepares what is not there yet. ``check`` may refuse the data for their classes and
    recordings, by raising, before they are prepared. Raises DataError.
    """
    own = folder is not None
    if folder is None:
        folder = data_root / NAME
        if not is_up_to_date(folder):
            say(f"Generating {MINUTES:g} + {EVAL_MINUTES:g} minutes of soundscapes in {folder} ...")
            _generate(folder)
    if not _has_annotations(folder):
        return _checked(open_prepared(folder), check)
    out = _prepared_folder(folder, data_root)
    if not is_up_to_date(folder, out):
        _check_annotated(folder, check)
        for note in class_notes(survey_annotations(folder)) if own else ():
            say(f"note: {note}")
        say(f"Extracting the features of {folder} ...")
        prepare(folder, out, progress=True)
    return _checked(open_prepared(out), check)


def identify(folder: Path | None, data_root: Path, say: Say, check: Check = accept) -> tuple[str, str, Path]:
    """Name, digest and folder of the data that ``provide`` would give, without writing anything that stays.

    ``check`` as there. Raises DataError.
    """
    if folder is None:
        folder = data_root / NAME
        if not is_up_to_date(folder):
            say("Finding out the identity of the embedded data ...")
            with tempfile.TemporaryDirectory() as temporary:
                _generate(Path(temporary) / NAME)
                _check_annotated(Path(temporary) / NAME, check)
                return NAME, _digest(Path(temporary) / NAME), folder / "prepared"
    out = _prepared_folder(folder, data_root) if _has_annotations(folder) else folder
    if _has_annotations(folder) and not is_up_to_date(folder, out):
        _check_annotated(folder, check)
        return folder.resolve().name, _digest(folder), out
    prepared = _checked(open_prepared(out), check)
    return prepared.name, prepared.digest, prepared.path


def words_of(folder: Path | None) -> Vocabulary:
    """The classes of the data that ``provide`` would give; the study's where they cannot be read."""
    if folder is None:
        return STUDY
    if _has_annotations(folder):
        found = survey_annotations(folder)
        return STUDY if found.problems else found.vocabulary
    try:
        prepared = open_prepared(folder)
    except DataError:
        return STUDY
    return Vocabulary(prepared.scenes, prepared.events)


def size_of(folder: Path | None, data_root: Path) -> Size:
    """How many clips the data that ``provide`` would give have, and how many minutes it would still make.

    Raises DataError.
    """
    if folder is None:
        folder = data_root / NAME
        if not _has_annotations(folder):
            minutes = MINUTES + EVAL_MINUTES
            clips = [round(part * CLIPS_PER_MINUTE) for part in (MINUTES, EVAL_MINUTES)]
            return Size(clips[0], clips[1], to_generate=minutes, to_prepare=minutes)
    out = _prepared_folder(folder, data_root) if _has_annotations(folder) else folder
    if not _has_annotations(folder) or is_up_to_date(folder, out):
        prepared = open_prepared(out)
        return Size(len(prepared.development), len(prepared.evaluation))
    found = survey(folder)
    development, evaluation = (
        sum(n_clips_of(n_frames_of(found.headers[recording.path])) for recording in recordings)
        for recordings in (found.annotations.development, found.annotations.evaluation)
    )
    minutes = sum(info.duration_s for info in found.headers.values()) / 60
    return Size(development, evaluation, to_prepare=minutes)


def _check_annotated(folder: Path, check: Check) -> None:
    """Annotations are read in no time. Those with problems are told later, with those of the audio."""
    found = survey_annotations(folder)
    if not found.problems:
        check(found.vocabulary, [recording.scene for recording in found.development])


def _checked(prepared: Prepared, check: Check) -> Prepared:
    parts = parts_of(prepared.development, prepared.scenes)
    check(Vocabulary(prepared.scenes, prepared.events), [part.scene for part in parts])
    return prepared


def _prepared_folder(folder: Path, data_root: Path) -> Path:
    """Where a data set's prepared form goes: beside it, or into the store when that cannot be written."""
    beside = folder / "prepared"
    if os.access(folder, os.W_OK) or is_up_to_date(folder, beside):
        return beside
    place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    return data_root / f"{folder.resolve().name}-{place}"


def _generate(folder: Path) -> None:
    generate(folder, minutes=MINUTES, eval_minutes=EVAL_MINUTES, seed=SEED, progress=True)


def _has_annotations(folder: Path) -> bool:
    return (folder / annotation_file("development")).exists()


def _digest(folder: Path) -> str:
    found = survey(folder)
    if found.problems:
        raise DataError(found.problems)
    paths = [recording.path for recording in found.annotations.recordings]
    return digest_of(found.annotations, {path: file_sha256(folder / path) for path in paths})
