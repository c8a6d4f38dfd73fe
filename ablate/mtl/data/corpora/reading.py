"""A corpus as it is read: which recordings it has, and what its label files say of each.

Everything that is wrong or odd is collected, so that all of it is told at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from ablate.ground.errors import DataError
from ablate.ground.wording import count
from ablate.mtl.data.annotations import Recording, read_scenes
from ablate.mtl.data.audio import inspect_audio
from ablate.mtl.data.check import PAST_THE_END_S, past_the_end
from ablate.mtl.data.columns import SCENES_FILE
from ablate.mtl.data.corpora.audiofiles import AudioFiles, audio_below, files_of
from ablate.mtl.data.corpora.corpora import Corpus, with_options
from ablate.mtl.data.corpora.scenes import WORDS, SceneFrom, scene_of
from ablate.mtl.data.labelforms.forms import LabelFiles, read_files
from ablate.mtl.data.labelforms.soft import THRESHOLD
from ablate.mtl.data.labelforms.tables import read_durations
from ablate.mtl.data.textfiles import read_text
from ablate.mtl.data.vocabulary import listed


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
    """A corpus as far as it is read; all that is wrong, odd or decided on the way is collected."""

    corpus: Corpus
    source: Path
    audio: AudioFiles
    options: Options
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    decided: list[str] = field(default_factory=list)

    def name_of(self, file: Path) -> PurePosixPath:
        """A label file relative to the corpus."""
        return PurePosixPath(file.relative_to(self.source).as_posix())

    def find(self, said: str, labels: PurePosixPath) -> tuple[PurePosixPath | None, str]:
        """The audio that a label file means, which may be called as a folder of audio is."""
        own = () if self.corpus.form.own_files else (labels.stem,)
        return self.audio.find(said, (*labels.parent.parts, *own))


@dataclass(frozen=True)
class Found:
    """The recordings of a corpus, and sentences on what was decided and on what is odd."""

    heard: list[Heard]
    decided: list[str]
    notes: list[str]


def read_corpus(corpus: Corpus, source: Path, target: Path, options: Options) -> Found:
    """The corpus in ``source``, but for what lies in ``target``. Raises DataError with all that is wrong."""
    audio = audio_below(options.audio or source, target.resolve())
    corpus = with_options(corpus, options.threshold, options.label_column)
    reading = Reading(corpus, source, audio, options)
    heard = _heard(reading, target)
    if reading.problems:
        raise DataError(reading.problems)
    return Found(heard, reading.decided, reading.notes)


def _heard(reading: Reading, target: Path) -> list[Heard]:
    """The recordings of the corpus by their paths, with events that end where the audio does."""
    files = [file for file in files_of(reading.source, target.resolve()) if str(file) != SCENES_FILE]
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
        name = reading.name_of(file)
        audio = {path: reading.find(path, name) for path in dict.fromkeys(row.path for row in said)}
        found = {path: str(place) for path, (place, _) in audio.items() if place is not None}
        reading.problems += [f"{name}: {problem}" for _, problem in audio.values() if problem]
        lost = [path for path, (place, problem) in audio.items() if place is None and not problem]
        if lost and reading.corpus.form.own_files:
            lacking.setdefault(str(name.parent), []).append(name.name)
        elif lost:
            lacking[str(name)] = lost
        rows[file] = [row._replace(path=found[row.path]) for row in said if row.path in found]
    for where, names in lacking.items():
        _tell_lacking(reading, "" if where == "." else f"{where}: ", names)
    return replace(read, rows=rows)


def _tell_lacking(reading: Reading, place: str, names: Sequence[str]) -> None:
    how_many = count(len(names), "recording")
    sentence = f"{place}no audio for {how_many} below {reading.audio.root}: {listed(names)}"
    if reading.options.skip_missing:
        reading.notes.append(f"{sentence}; left out")
    else:
        reading.problems.append(f"{sentence}; --audio names another folder, --skip-missing leaves them out")


def _recordings(reading: Reading, read: LabelFiles) -> list[Heard]:
    """The recordings of all label files; each is labelled in one of them."""
    heard: dict[str, Heard] = {}
    for file, recordings in read.recordings(reading.problems):
        name = reading.name_of(file)
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
    """Recordings without events: those of which a table says only the length, and audio without labels.

    The latter only beside labels made by hand: of a published corpus, such audio is not labelled.
    """
    known = {each.audio for each in heard}
    tables = {audio: table for audio, (table, _) in lengths.items() if audio not in known}
    unlabelled = [path for path in reading.audio.paths if path not in known and path not in tables]
    if unlabelled and reading.corpus.by_hand:
        names = listed([str(path) for path in unlabelled])
        how_many = count(len(unlabelled), "recording")
        reading.notes.append(f"{how_many} without labels, taken as without events: {names}")
        tables |= {path: path for path in unlabelled}
    elif unlabelled:
        reading.notes.append(f"{count(len(unlabelled), 'audio file')} without labels, not used")
    return [Heard(audio, table, Recording(str(audio), "", (), ())) for audio, table in tables.items()]


def _with_scenes(reading: Reading, heard: Sequence[Heard]) -> list[Heard]:
    """The recordings with their scenes: as the user says, or the tables, ``scenes.txt`` or the corpus."""
    options = reading.options
    listed_scenes = None if options.scene else read_scenes(reading.source, reading.problems)
    if options.scene is None and any(each.recording.scene for each in heard):
        return _each_in_scene(reading, heard, [each.recording.scene for each in heard], "as the tables say")
    if listed_scenes is not None:
        scenes = [
            listed_scenes.get(str(each.audio)) or listed_scenes.get(each.audio.name, "") for each in heard
        ]
        return _each_in_scene(reading, heard, scenes, f"as {SCENES_FILE} says")
    where = options.scene or reading.corpus.scene
    if where is SceneFrom.NONE:
        return [_in_scene(each, "") for each in heard]
    return _each_in_scene(reading, heard, [scene_of(each.audio, where) for each in heard], WORDS[where])


def _each_in_scene(reading: Reading, heard: Sequence[Heard], scenes: Sequence[str], how: str) -> list[Heard]:
    """The recordings in these scenes; a problem where one has none."""
    reading.decided.append(f"scenes: {how}")
    without = [str(each.audio) for each, scene in zip(heard, scenes, strict=True) if not scene]
    if without:
        reading.problems.append(f"scenes, {how}: none for {listed(without)}")
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
