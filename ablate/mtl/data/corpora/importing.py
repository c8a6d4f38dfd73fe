"""Making a data set of our own form from a corpus: its labels read, its audio linked or copied.

Everything that is wrong is named at once, and then nothing is written. What was decided on the way, such as
which recordings are scored, is said, and kept in ``import.json`` beside the annotations.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from os.path import commonpath
from pathlib import Path, PurePosixPath

from ablate.ground.errors import DataError
from ablate.ground.files import write_json
from ablate.mtl.data.annotations import (
    SPLITS,
    annotation_file,
    read_annotations,
    write_annotations,
)
from ablate.mtl.data.classes import class_notes
from ablate.mtl.data.corpora.corpora import CORPORA
from ablate.mtl.data.corpora.reading import Heard, Options, read_corpus
from ablate.mtl.data.corpora.splitting import Part, split
from ablate.mtl.data.replacing import only_one, put_in_place

IMPORT_FILE = "import.json"  # says what the data set was made from
FORMAT = "ablate imported labels"
AUDIO = "audio"


@dataclass(frozen=True)
class Imported:
    """The data set that was written. ``decided`` says what was chosen, and ``notes`` what is odd."""

    folder: Path
    title: str
    recordings: dict[str, int]  # by split, as are the next two
    events: dict[str, int]
    minutes: dict[str, float]
    scenes: tuple[str, ...]
    classes: tuple[str, ...]
    decided: tuple[str, ...]
    notes: tuple[str, ...]


def import_corpus(
    name: str, source: Path, folder: Path, options: Options, *, force: bool = False
) -> Imported:
    """Makes the data set ``folder`` of the corpus in ``source``; ``name`` is one of ``CORPORA``.

    ``force`` replaces a data set that was imported before, and nothing else. Raises DataError with all that
    is wrong; then nothing is written.
    """
    _check_folders(source, folder, options, force=force)
    corpus = CORPORA[name]
    found = read_corpus(corpus, source, folder, options)
    parts = [Part(str(each.audio), each.recording.scene, each.folders) for each in found.heard]
    evaluation, how = split(parts, options.evaluation, corpus.part_of)
    splits = {part: _of_split(found.heard, evaluation, part) for part in SPLITS}
    decided = [how, *found.decided, *_decided_on_labels(name, options), _decided_on_audio(source, options)]
    record = {
        "format": FORMAT,
        "form": name,
        "source": str(source.resolve()),
        "options": {**asdict(options), "audio": None if options.audio is None else str(options.audio)},
        "decided": decided,
    }
    with _in_place_of(folder, options) as temporary:
        _write(temporary, splits, options.audio or source, copy=options.copy)
        annotations = read_annotations(temporary)
        notes = [*found.notes, *class_notes(annotations)]
        write_json(temporary / IMPORT_FILE, {**record, "notes": notes})
    return Imported(
        folder,
        corpus.title,
        {part: len(heard) for part, heard in splits.items()},
        {part: sum(len(each.recording.events) for each in heard) for part, heard in splits.items()},
        {part: sum(each.duration_s for each in heard) / 60 for part, heard in splits.items()},
        annotations.vocabulary.scenes,
        annotations.vocabulary.events,
        tuple(decided),
        tuple(notes),
    )


def _check_folders(source: Path, folder: Path, options: Options, *, force: bool) -> None:
    for place in (source, options.audio):
        if place is not None and not place.is_dir():
            raise DataError(f"{place}: no such folder")
        if place is not None and place.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{folder}: holds {place}, which would be replaced; name another folder")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; name a folder for the data set")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / IMPORT_FILE).is_file():
            raise DataError(f"{folder}: holds something else than an imported data set; name another folder")
        if not force:
            raise DataError(f"{folder}: holds an imported data set; replace it with --force, or name another")


# ----------------------------------------------------------------------------------------------- deciding


def _of_split(heard: Sequence[Heard], evaluation: set[str], part: str) -> list[Heard]:
    chosen = [each for each in heard if (str(each.audio) in evaluation) == (part == "evaluation")]
    return sorted(chosen, key=lambda each: each.audio)


def _decided_on_labels(name: str, options: Options) -> list[str]:
    if name != "maestro":
        return []
    return [f"soft labels: {options.threshold:g} and more is an event; --soft-threshold sets another limit"]


def _decided_on_audio(source: Path, options: Options) -> str:
    root = options.audio or source
    if options.copy:
        return f"audio: copied from {root}"
    return f"audio: links to the files in {root}; --copy makes a data set that needs them no more"


# ------------------------------------------------------------------------------------------------ writing


@contextmanager
def _in_place_of(folder: Path, options: Options) -> Iterator[Path]:
    """A temporary folder, which takes the place of ``folder`` when the block succeeds."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with only_one(folder) as temporary:
            yield temporary
            put_in_place(folder, temporary)
    except OSError as error:
        raise DataError(
            f"{error.filename or folder}: cannot be written ({error.strerror or error}); name another folder"
            + ("" if options.copy else ", or try --copy")
        ) from error


def _write(folder: Path, splits: Mapping[str, Sequence[Heard]], root: Path, *, copy: bool) -> None:
    """Annotations of both splits, and the audio below ``audio/`` without the folders that all of it is in."""
    everything = [each.audio for heard in splits.values() for each in heard]
    n_common = len(PurePosixPath(commonpath([audio.parent for audio in everything])).parts)
    places = {audio: PurePosixPath(AUDIO, *audio.parts[n_common:]).as_posix() for audio in everything}
    for audio, place in places.items():
        _put(root / audio, folder / place, copy=copy)
    for part, heard in splits.items():
        recordings = [replace(each.recording, path=places[each.audio]) for each in heard]
        write_annotations(folder / annotation_file(part), recordings)


def _put(file: Path, place: Path, *, copy: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if copy:
        shutil.copy2(file, place)
    else:
        place.symlink_to(file.resolve())
