"""Making a data set of our own form from a corpus: its labels read, its audio linked or copied.

Everything that is wrong is named at once, and then nothing is written. What was decided on the way, such as
which recordings are scored, is said, and kept in ``import.json`` beside the annotations.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from os.path import commonpath
from pathlib import Path, PurePosixPath
from typing import Any

from ablate.ground.errors import DataError
from ablate.ground.files import write_json
from ablate.ground.wording import count
from ablate.mtl.data.annotations import (
    SPLITS,
    Annotations,
    Recording,
    annotation_file,
    read_annotations,
    read_scenes,
    write_annotations,
)
from ablate.mtl.data.audio import inspect_audio
from ablate.mtl.data.check import PAST_THE_END_S, past_the_end
from ablate.mtl.data.classes import class_notes
from ablate.mtl.data.corpora.audiofiles import AudioFiles, audio_below, files_below
from ablate.mtl.data.corpora.corpora import CORPORA, Corpus, with_options
from ablate.mtl.data.corpora.scenes import SceneFrom, scene_of
from ablate.mtl.data.corpora.splitting import Part, split
from ablate.mtl.data.labelforms.forms import LabelFiles, read_files
from ablate.mtl.data.labelforms.soft import THRESHOLD
from ablate.mtl.data.labelforms.tables import read_durations
from ablate.mtl.data.replacing import only_one, put_in_place
from ablate.mtl.data.textfiles import read_text
from ablate.mtl.data.vocabulary import listed

IMPORT_FILE = "import.json"  # says what the data set was made from
FORMAT = "ablate imported labels"
AUDIO = "audio"


@dataclass(frozen=True)
class Options:
    """What the user may choose.

    ``audio`` is the folder of the audio, by default that of the labels. ``evaluation`` is a share or a
    folder, as ``splitting.split`` takes it. ``scene`` says where scenes stand, by default where the corpus
    has them. ``threshold`` is for soft labels, ``label_column`` for selection tables. ``skip_missing`` leaves
    labels without audio out, and ``copy`` copies audio that is linked otherwise.
    """

    audio: Path | None = None
    evaluation: str = ""
    scene: SceneFrom | None = None
    threshold: float = THRESHOLD
    label_column: str = ""
    skip_missing: bool = False
    copy: bool = False


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


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording of the corpus: its audio relative to the audio's folder, and what its label file says."""

    audio: PurePosixPath
    labels: PurePosixPath
    recording: Recording
    duration_s: float = 0.0

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of its labels and of its audio, and the name of its label file."""
        return (*self.labels.parent.parts, self.labels.stem, *self.audio.parent.parts)


# What a table says of the length of audio, in seconds.
Lengths = dict[PurePosixPath, tuple[PurePosixPath, float]]


@dataclass
class Reading:
    """A corpus as far as it is read; everything that is wrong or odd is collected."""

    corpus: Corpus
    source: Path
    audio: AudioFiles
    options: Options
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def find(self, said: str, labels: PurePosixPath) -> tuple[PurePosixPath | None, str]:
        """The audio that a label file means, which may be called as a folder of audio is."""
        own = () if self.corpus.form.own_files else (labels.stem,)
        return self.audio.find(said, (*labels.parent.parts, *own))


def import_corpus(
    name: str, source: Path, folder: Path, options: Options, *, force: bool = False
) -> Imported:
    """Makes the data set ``folder`` of the corpus in ``source``; ``name`` is one of ``CORPORA``.

    ``force`` replaces a data set that was imported before, and nothing else. Raises DataError with all that
    is wrong; then nothing is written.
    """
    _check_folders(source, folder, options, force=force)
    root = options.audio or source
    corpus = with_options(CORPORA[name], options.threshold, options.label_column)
    reading = Reading(corpus, source, audio_below(root, folder.resolve()), options)
    heard = _heard(reading, folder)
    decided: list[str] = []
    evaluation: set[str] = set()
    if not reading.problems:
        try:
            evaluation, sentence = _split(heard, reading)
            decided.append(sentence)
        except DataError as error:
            reading.problems += error.problems
    if reading.problems:
        raise DataError(reading.problems)
    places = _places(heard)
    splits = {split: _of_split(heard, evaluation, split) for split in SPLITS}
    decided += [*_decided_on_labels(name, options), _decided_on_audio(root, options)]
    record = {
        "format": FORMAT,
        "form": name,
        "source": str(source.resolve()),
        "options": {**asdict(options), "audio": None if options.audio is None else str(options.audio)},
        "decided": decided,
        "notes": reading.notes,
    }
    annotations = _write(folder, splits, places, root, record, options)
    return _imported(folder, corpus, splits, annotations, decided, reading.notes)


# ------------------------------------------------------------------------------------------------ reading


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


def _heard(reading: Reading, target: Path) -> list[Heard]:
    """The recordings of the corpus by their paths, with events that end where the audio does."""
    files = sorted(files_below(reading.source, target.resolve()))
    sources = reading.corpus.find(reading.source, files, bool(reading.options.evaluation))
    reading.notes += sources.notes
    labels = [file for file in sources.labels if _is_read(reading, file)]
    if not labels:
        reading.problems.append(
            f"{reading.source}: no {reading.corpus.title} there, which are files that end in "
            f".{reading.corpus.form.suffix.rpartition('.')[2]}"
        )
        return []
    read = read_files(reading.corpus.form, reading.source, [reading.source / file for file in labels])
    reading.problems += read.problems
    heard = _recordings(reading, _with_audio(reading, read))
    lengths = _lengths(reading, sources.durations)
    heard += _without_events(reading, heard, lengths)
    return [_within(reading, each, lengths) for each in _with_scenes(reading, heard)]


def _is_read(reading: Reading, file: PurePosixPath) -> bool:
    """Whether a file with the ending of a label file is one: it has audio of its name, or looks like one."""
    corpus = reading.corpus
    if not corpus.form.own_files:
        return True
    stem = corpus.form.recording_of(str(file.with_suffix("")))
    audio, problem = reading.find(stem, file)
    if audio is not None or problem:
        return True
    if corpus.could_be(read_text(reading.source / file, []) or ""):
        return True
    reading.notes.append(f"{file}: not read, since it does not begin as {corpus.form.title} do")
    return False


def _with_audio(reading: Reading, read: LabelFiles) -> LabelFiles:
    """The rows, whose recordings are called as their audio is. Those without audio are told, and left out."""
    rows = {}
    lacking: dict[str, list[str]] = {}
    for file, said in read.rows.items():
        name = PurePosixPath(file.relative_to(reading.source).as_posix())
        found: dict[str, PurePosixPath] = {}
        for path in dict.fromkeys(row.path for row in said):
            audio, problem = reading.find(path, name)
            if problem:
                reading.problems.append(f"{name}: {problem}")
            elif audio is None:
                where = str(name.parent if reading.corpus.form.own_files else name)
                lacking.setdefault(where, []).append(name.name if reading.corpus.form.own_files else path)
            else:
                found[path] = audio
        rows[file] = [row._replace(path=str(found[row.path])) for row in said if row.path in found]
    for where, names in lacking.items():
        how_many = count(len(names), "recording")
        place = "" if where == "." else f"{where}: "
        sentence = f"{place}no audio for {how_many} below {reading.audio.root}: {listed(names)}"
        if reading.options.skip_missing:
            reading.notes.append(f"{sentence}; left out")
        else:
            reading.problems.append(
                f"{sentence}; --audio names another folder, --skip-missing leaves them out"
            )
    return replace(read, rows=rows)


def _recordings(reading: Reading, read: LabelFiles) -> list[Heard]:
    """The recordings of all label files; each is labelled in one of them."""
    heard: dict[str, Heard] = {}
    for file, recordings in read.recordings(reading.problems):
        name = PurePosixPath(file.relative_to(reading.source).as_posix())
        for recording in recordings:
            first = heard.setdefault(recording.path, Heard(PurePosixPath(recording.path), name, recording))
            if first.labels != name:
                reading.problems.append(
                    f"{recording.path}: labelled in {first.labels} and in {name}; leave one of them out"
                )
    reading.notes += read.notes
    return list(heard.values())


def _lengths(reading: Reading, tables: Sequence[PurePosixPath]) -> Lengths:
    """What tables of durations say of the audio that is there."""
    lengths: Lengths = {}
    for table in tables:
        text = read_text(reading.source / table, reading.problems, str(table)) or ""
        for path, seconds in read_durations(text).items():
            audio, _ = reading.find(path, table)
            if audio is not None:
                lengths[audio] = (table, seconds)
    return lengths


def _without_events(reading: Reading, heard: Sequence[Heard], lengths: Lengths) -> list[Heard]:
    """Recordings without events: audio without labels of its own, or of which a table says only the length.

    Where recordings share tables, audio that none of them names is not used, since it may not be labelled.
    """
    known = {each.audio for each in heard}
    if reading.corpus.form.own_files:
        silent = [path for path in reading.audio.paths if path not in known]
        if silent:
            names = listed([str(path) for path in silent])
            reading.notes.append(
                f"{count(len(silent), 'recording')} without labels, taken as without events: {names}"
            )
        return [Heard(path, path, Recording(str(path), "", (), ())) for path in silent]
    unused = len(set(reading.audio.paths) - known - set(lengths))
    if unused:
        reading.notes.append(
            f"{count(unused, 'audio file')} not used: no table of events or lengths has them"
        )
    return [
        Heard(audio, table, Recording(str(audio), "", (), ()))
        for audio, (table, _) in lengths.items()
        if audio not in known
    ]


def _with_scenes(reading: Reading, heard: Sequence[Heard]) -> list[Heard]:
    """The recordings with the scenes of ``scenes.txt``, or as the corpus has them."""
    said = read_scenes(reading.source, reading.problems)
    where = reading.options.scene or reading.corpus.scene
    if reading.options.scene is not None or said is None:
        return [_in_scene(each, scene_of(each.audio, where)) for each in heard]
    scenes = [said.get(str(each.audio)) or said.get(each.audio.name, "") for each in heard]
    without = [str(each.audio) for each, scene in zip(heard, scenes, strict=True) if not scene]
    if without:
        reading.problems.append(f"scenes.txt: no scene for {listed(without)}")
    return [_in_scene(each, scene) for each, scene in zip(heard, scenes, strict=True)]


def _in_scene(heard: Heard, scene: str) -> Heard:
    return replace(heard, recording=replace(heard.recording, scene=scene))


def _within(reading: Reading, heard: Heard, lengths: Lengths) -> Heard:
    """A recording with its length, and without what lies past its end."""
    try:
        duration_s = inspect_audio(reading.audio.root, str(heard.audio)).duration_s
    except DataError as error:
        reading.problems += error.problems
        return heard
    table, said_s = lengths.get(heard.audio, (heard.labels, duration_s))
    if abs(said_s - duration_s) > PAST_THE_END_S:
        reading.notes.append(
            f"{table}: {heard.audio} is said to last {said_s:g} s; it lasts {duration_s:.3f} s"
        )
    late, cut = past_the_end(heard.recording, duration_s)
    place = f"{heard.labels}{reading.corpus.form.counted}"
    reading.problems += [f"{place}{sentence}" for sentence in late]
    reading.notes += [f"{place}{sentence}" for sentence in cut]
    events = tuple(
        replace(event, offset_s=duration_s) if event.offset_s > duration_s + PAST_THE_END_S else event
        for event in heard.recording.events
    )
    return replace(heard, duration_s=duration_s, recording=replace(heard.recording, events=events))


# ----------------------------------------------------------------------------------------------- deciding


def _split(heard: Sequence[Heard], reading: Reading) -> tuple[set[str], str]:
    parts = [Part(str(each.audio), each.recording.scene, each.folders) for each in heard]
    return split(parts, reading.options.evaluation, reading.corpus.part_of)


def _decided_on_labels(name: str, options: Options) -> list[str]:
    if name != "maestro":
        return []
    return [f"soft labels: {options.threshold:g} and more is an event; --soft-threshold sets another limit"]


def _decided_on_audio(root: Path, options: Options) -> str:
    if options.copy:
        return f"audio: copied from {root}"
    return f"audio: links to the files in {root}; --copy makes a data set that needs them no more"


def _places(heard: Sequence[Heard]) -> dict[PurePosixPath, str]:
    """Where audio goes in the data set: below ``audio/``, without the folders that all files are in."""
    n_common = len(PurePosixPath(commonpath([each.audio.parent for each in heard])).parts)
    return {each.audio: PurePosixPath(AUDIO, *each.audio.parts[n_common:]).as_posix() for each in heard}


def _of_split(heard: Sequence[Heard], evaluation: set[str], split: str) -> list[Heard]:
    chosen = [each for each in heard if (str(each.audio) in evaluation) == (split == "evaluation")]
    return sorted(chosen, key=lambda each: each.audio)


# ------------------------------------------------------------------------------------------------ writing


def _write(
    folder: Path,
    splits: Mapping[str, Sequence[Heard]],
    places: Mapping[PurePosixPath, str],
    root: Path,
    record: Mapping[str, Any],
    options: Options,
) -> Annotations:
    """Puts the whole data set in its place, once its annotations have been read back."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with only_one(folder) as temporary:
            for name, heard in splits.items():
                for each in heard:
                    _put(root / each.audio, temporary / places[each.audio], copy=options.copy)
                recordings = [replace(each.recording, path=places[each.audio]) for each in heard]
                write_annotations(temporary / annotation_file(name), recordings)
            write_json(temporary / IMPORT_FILE, record)
            annotations = read_annotations(temporary)
            put_in_place(folder, temporary)
            return annotations
    except OSError as error:
        raise DataError(
            f"{error.filename or folder}: cannot be written ({error.strerror or error}); name another folder"
            + ("" if options.copy else ", or try --copy")
        ) from error


def _put(file: Path, place: Path, *, copy: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if copy:
        shutil.copy2(file, place)
    else:
        place.symlink_to(file.resolve())


def _imported(
    folder: Path,
    corpus: Corpus,
    splits: Mapping[str, Sequence[Heard]],
    annotations: Annotations,
    decided: Sequence[str],
    notes: Sequence[str],
) -> Imported:
    return Imported(
        folder,
        corpus.title,
        {name: len(heard) for name, heard in splits.items()},
        {name: sum(len(each.recording.events) for each in heard) for name, heard in splits.items()},
        {name: sum(each.duration_s for each in heard) / 60 for name, heard in splits.items()},
        annotations.vocabulary.scenes,
        annotations.vocabulary.events,
        tuple(decided),
        (*notes, *class_notes(annotations)),
    )
