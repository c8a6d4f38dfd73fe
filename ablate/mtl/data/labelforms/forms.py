"""The forms of labels by name, and reading and writing them.

Times are written to the microsecond: up to that, what is read back are the same events in order of onsets.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ablate.ground.errors import DataError, brief
from ablate.ground.files import write_text
from ablate.mtl.data.annotations import Recording, parse_rows
from ablate.mtl.data.columns import Fields, Findings
from ablate.mtl.data.labelforms import audacity, jams, raven, tables
from ablate.mtl.data.labelforms.labelled import Labelled
from ablate.mtl.data.textfiles import read_text
from ablate.mtl.data.vocabulary import Judge, words_said

Read = Callable[[str, str, Findings], list[Fields]]


@dataclass(frozen=True)
class Form:
    """A form of label files.

    ``read`` takes a text, the recording that its file is named after, and the findings. ``own_files``: each
    recording has a file of its own, whose text ``write`` gives; where recordings share files, ``shared``
    gives those by their names. Neither for a form that is only read.
    """

    title: str
    suffix: str
    read: Read
    own_files: bool = True
    needs_durations: bool = False
    write: Callable[[Labelled], str] | None = None
    shared: Callable[[Sequence[Labelled]], dict[str, str]] | None = None
    recording_of: Callable[[str], str] = str
    counted: str = ":"


def _tsv_files(recordings: Sequence[Labelled]) -> dict[str, str]:
    return {LABELS_TABLE: tables.write(recordings), DURATIONS_TABLE: tables.write_durations(recordings)}


LABELS_TABLE, DURATIONS_TABLE = "labels.tsv", "durations.tsv"
FORMS: dict[str, Form] = {
    "audacity": Form("label tracks of Audacity", ".txt", audacity.read, write=audacity.write),
    "raven": Form(
        "selection tables of Raven",
        raven.SUFFIX,
        raven.read,
        write=raven.write,
        recording_of=raven.recording_of,
    ),
    "jams": Form("JAMS", ".jams", jams.read, needs_durations=True, write=jams.write, counted=jams.COUNTED),
    "tsv": Form(
        "tables of DESED and DCASE",
        ".tsv",
        tables.read,
        own_files=False,
        needs_durations=True,
        shared=_tsv_files,
    ),
}


def write_labels(
    form: str, folder: Path, recordings: Sequence[Labelled], *, overwrite: bool = False
) -> list[Path]:
    """Writes the events of recordings into ``folder``, and returns the files.

    Files of one recording lie as its audio does: ``street/a.wav`` -> ``street/a.txt``; where that would be
    the file of two recordings, ``street/a.wav.txt``. Raises DataError: files that are there already, unless
    they are to be overwritten; a path that leaves the folder; what cannot be written.
    """
    return write_files(label_texts(form, folder, recordings), overwrite=overwrite)


def label_texts(form: str, folder: Path, recordings: Sequence[Labelled]) -> dict[Path, str]:
    """The files that ``write_labels`` writes, with their texts."""
    return {folder / name: text for name, text in _texts(FORMS[form], recordings).items()}


def write_files(texts: Mapping[Path, str], *, overwrite: bool = False) -> list[Path]:
    """Writes all these files, or none. Raises DataError as ``write_labels``."""
    there = [] if overwrite else [file for file in texts if file.exists()]
    if there:
        raise DataError([f"{file}: is there already; nothing was written" for file in there])
    try:
        for file, text in texts.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, text)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be written ({error.strerror or error})") from error
    return list(texts)


def read_labels(form: str, path: Path) -> tuple[Recording, ...]:
    """The recordings of a label file, or of all that lie in a folder, sorted by path.

    A recording that a file does not name is called as the file is, relative to the folder, without suffix.
    Raises DataError with every problem of every file.
    """
    files = label_files(form, path) if path.is_dir() else [path]
    root = path if path.is_dir() else path.parent
    read = read_files(FORMS[form], root, files)
    problems = list(read.problems)
    recordings = [recording for _, found in read.recordings(problems) for recording in found]
    if problems:
        raise DataError(problems)
    return tuple(sorted(recordings, key=lambda recording: recording.path))


def label_files(form: str, folder: Path) -> list[Path]:
    """The files below a folder that may be of a form, in their order."""
    suffix = f".{FORMS[form].suffix.rpartition('.')[2]}"
    files = (file for file in folder.rglob("*") if file.suffix.lower() == suffix and file.is_file())
    return sorted(file for file in files if file.name != DURATIONS_TABLE)


@dataclass(frozen=True)
class LabelFiles:
    """The rows of label files, and what is wrong with the files as such."""

    rows: dict[Path, list[Fields]]
    findings: dict[Path, Findings]
    problems: tuple[str, ...]

    @property
    def words(self) -> Judge:
        """The events that they say, and the scenes, if any."""
        rows = [row for found in self.rows.values() for row in found]
        return words_said(
            {
                "scene": Counter(row.scene for row in rows if row.scene),
                "event": Counter(row.event for row in rows if row.event),
            }
        )

    def recordings(self, problems: list[str]) -> list[tuple[Path, tuple[Recording, ...]]]:
        """The recordings of each file. What is wrong with their rows goes to ``problems``."""
        words = self.words
        found = [(file, parse_rows(rows, words, self.findings[file])) for file, rows in self.rows.items()]
        for findings in self.findings.values():
            problems += findings.problem_sentences()
        return found

    @property
    def notes(self) -> list[str]:
        return [note for findings in self.findings.values() for note in findings.note_sentences()]


def read_files(form: Form, root: Path, files: Iterable[Path]) -> LabelFiles:
    """The rows of files, which are named relative to ``root``. Nothing is raised."""
    rows: dict[Path, list[Fields]] = {}
    findings: dict[Path, Findings] = {}
    problems: list[str] = []
    for file in files:
        name = file.relative_to(root).as_posix()
        text = read_text(file, problems, brief(name))
        if text is not None:
            findings[file] = Findings(name, form.counted)
            stem = form.recording_of(name.removesuffix(file.suffix))
            found = form.read(text, stem, findings[file])
            rows[file] = found or _without_events(form, stem, findings[file])
    return LabelFiles(rows, findings, tuple(problems))


def _without_events(form: Form, path: str, findings: Findings) -> list[Fields]:
    """The row of a recording whose own file says nothing, not even wrong things."""
    says_nothing = form.own_files and not findings.problem_sentences()
    return [Fields(1, path, "", "", "", "")] if says_nothing else []


def _texts(form: Form, recordings: Sequence[Labelled]) -> dict[str, str]:
    """The text of each file to write, by its path."""
    if form.shared is not None:
        return form.shared(recordings)
    assert form.write is not None
    stems = Counter(PurePosixPath(recording.path).with_suffix("") for recording in recordings)
    texts = {}
    for recording in recordings:
        path = PurePosixPath(recording.path)
        if path.is_absolute() or ".." in path.parts:
            raise DataError(f"{recording.path}: not a path within a folder, so no label file can lie there")
        stem = path.with_suffix("")
        texts[f"{stem if stems[stem] == 1 else path}{form.suffix}"] = form.write(recording)
    return texts
