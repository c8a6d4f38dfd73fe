"""Annotations: which events sound when, and in which scene.

A data set is a folder with ``meta_development.txt`` and ``meta_evaluation.txt``, one event a row:

    path <TAB> scene_label <TAB> event_start_time <TAB> event_end_time <TAB> event_label

A recording without events is a row whose event fields are empty or absent. A header can name the columns in
another order (``columns.py``); without one they are these. Where rows do not say the scene, ``scenes.txt``
does: ``path <TAB> scene_label``, a recording a row. A byte order mark, CR LF, blank lines, quotes and blanks
around fields are tolerated; everything else is checked, and every bad row is named by file and line. The
annotations say which words there are (``vocabulary.py``).
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from ablate.ground.errors import DataError, brief, shown
from ablate.mtl.data.columns import HEADER, SCENES_FILE, SCENES_ORDER, Fields, Findings, quoted, read_rows
from ablate.mtl.data.tasks import nothing_to_learn
from ablate.mtl.data.textfiles import read_text
from ablate.mtl.data.times import Times, times_of
from ablate.mtl.data.vocabulary import STUDY, Judge, Kind, Vocabulary, judge

SPLITS = ("development", "evaluation")
LONGEST_NAME_BYTES = 255  # of a file or folder, on most file systems


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """One sound, from ``onset_s`` up to but not including ``offset_s``, in seconds of its recording."""

    onset_s: float
    offset_s: float
    label: str


@dataclass(frozen=True, slots=True)
class Recording:
    """One audio file: its path under the data set's folder, where ``/`` separates, and what is heard in it.

    ``lines`` are the lines of the annotation file that its events came from.
    """

    path: str
    scene: str
    events: tuple[Event, ...]
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Annotations:
    """Both splits of a data set, each sorted by path, and what was wrong or remarkable in their files."""

    vocabulary: Vocabulary
    development: tuple[Recording, ...]
    evaluation: tuple[Recording, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def splits(self) -> dict[str, tuple[Recording, ...]]:
        return {"development": self.development, "evaluation": self.evaluation}

    @property
    def recordings(self) -> tuple[Recording, ...]:
        return self.development + self.evaluation


def annotation_file(split: str) -> str:
    """The name of a split's annotation file."""
    return f"meta_{split}.txt"


def read_annotations(folder: Path) -> Annotations:
    """The annotations of a data set. Raises DataError that names every problem."""
    annotations = survey_annotations(folder)
    if annotations.problems:
        raise DataError(annotations.problems)
    return annotations


def survey_annotations(folder: Path) -> Annotations:
    """The annotations of a data set as far as they can be read, with all problems collected, none raised."""
    if not folder.is_dir():
        return Annotations(STUDY, (), (), (f"{folder}: no such folder",), ())
    problems: list[str] = []
    scenes = read_scenes(folder, problems)
    findings = {split: Findings(annotation_file(split)) for split in SPLITS}
    tables: dict[str, list[Fields]] = {}
    for split in SPLITS:
        text = read_text(folder / annotation_file(split), problems)
        if text is not None:
            rows = read_rows(text, findings[split])
            tables[split] = _with_scenes(rows, scenes, findings[split])
            if not rows and not findings[split].problems:
                findings[split].problem(1, "no recordings; every split needs at least one")
    words, bad_labels = _words(folder, tables)
    splits = {split: parse_rows(tables.get(split, []), words, findings[split]) for split in SPLITS}
    problems = [*bad_labels, *problems]
    for found in findings.values():
        problems += found.problem_sentences()
    problems += _shared_recordings(splits)
    if not problems and (sentence := nothing_to_learn(words.vocabulary)):
        problems.append(sentence)
    notes = tuple(note for found in findings.values() for note in found.note_sentences())
    return Annotations(words.vocabulary, splits["development"], splits["evaluation"], tuple(problems), notes)


def write_annotations(file: Path, recordings: Iterable[Recording]) -> None:
    """One split in the form that ``read_annotations`` reads, times to the microsecond."""
    rows = ["\t".join(HEADER)]
    for recording in recordings:
        start = f"{quoted(recording.path)}\t{quoted(recording.scene)}"
        rows += [
            f"{start}\t{event.onset_s:.6f}\t{event.offset_s:.6f}\t{quoted(event.label)}"
            for event in recording.events
        ] or [f"{start}\t\t\t"]
    file.write_text("\n".join(rows) + "\n", encoding="utf-8", newline="\n")


# ---------------------------------------------------------------------------------------------- rows


def _words(folder: Path, tables: dict[str, list[Fields]]) -> tuple[Judge, list[str]]:
    rows = [row for table in tables.values() for row in table]
    said: dict[Kind, Counter[str]] = {
        "scene": Counter(row.scene for row in rows if row.scene),
        "event": Counter(row.event for row in rows if row.event),
    }
    return judge(folder, said, (row.path for row in rows))


def read_scenes(folder: Path, problems: list[str]) -> dict[str, str] | None:
    """The scene of each path in ``scenes.txt``; None when there is no such file."""
    file = folder / SCENES_FILE
    if not file.exists() or (text := read_text(file, problems)) is None:
        return None
    findings = Findings(SCENES_FILE)
    scenes: dict[str, Fields] = {}
    for row in read_rows(text, findings, SCENES_ORDER):
        first = scenes.setdefault(_normal(row.path), row)
        if first.scene != row.scene:
            findings.problem(
                row.line,
                f"'{brief(row.path)}' is '{row.scene}' here but '{first.scene}' in line {first.line}",
            )
    problems += findings.problem_sentences()
    return {path: row.scene for path, row in scenes.items()}


def _with_scenes(rows: list[Fields], scenes: dict[str, str] | None, findings: Findings) -> list[Fields]:
    """The rows with their scenes from ``scenes.txt``, where they do not say them."""
    if scenes is None:
        return rows
    unknown = [row for row in rows if not row.scene and not scenes.get(_normal(row.path))]
    for row in unknown:
        findings.problem(row.line, f"no scene, and none in {SCENES_FILE} for these recordings")
    missing = set(unknown)
    return [
        row if row.scene else row._replace(scene=scenes[_normal(row.path)])
        for row in rows
        if row not in missing
    ]


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    path: str
    scene: str
    event: Event | None


def parse_rows(rows: Iterable[Fields], words: Judge, findings: Findings) -> tuple[Recording, ...]:
    """The recordings of a table, where all that is wrong with a row is found, not only the first thing."""
    rows = list(rows)
    parsed = []
    times = times_of(text for row in rows for text in (row.onset, row.offset))
    for row in rows:
        problems = [*_bad_path(row.path), *words.problems("scene", row.scene)]
        event = None
        if row.onset or row.offset or row.event:
            event, bad = _parse_event(row, words, times)
            problems += bad
            if times.reads_comma(row.onset) or times.reads_comma(row.offset):
                findings.note(row.line, "the commas of times are read as decimal signs")
        for problem in problems:
            findings.problem(row.line, problem)
        if not problems:
            parsed.append(_Row(row.line, _normal(row.path), row.scene, event))
    return _group(parsed, findings)


def _parse_event(row: Fields, words: Judge, times: Times) -> tuple[Event | None, list[str]]:
    missing = [
        name for name, value in zip(HEADER[2:], (row.onset, row.offset, row.event), strict=True) if not value
    ]
    if missing:
        return None, [f"an event without {' and '.join(missing)}; leave all three empty for no event"]
    problems = words.problems("event", row.event)
    start, stop = times.seconds(row.onset), times.seconds(row.offset)
    problems += [
        times.problem(text) for text, value in ((row.onset, start), (row.offset, stop)) if value is None
    ]
    if start is None or stop is None:
        return None, problems
    if stop < start:
        problems.append(f"{row.event} ends at {row.offset} s, before it begins at {row.onset} s")
    return Event(start, stop, row.event), problems


def _normal(path: str) -> str:
    """A path in its one spelling: ``./a.wav`` -> ``a.wav``."""
    return PurePosixPath(path).as_posix() if path else ""


def _bad_path(path: str) -> list[str]:
    if not path:
        return ["no path"]
    if re.search(r"[\x00-\x1f\x7f-\x9f]", path):
        return [f"path {shown(path)} holds a control character"]
    if any(len(part.encode()) > LONGEST_NAME_BYTES for part in path.split("/")) or len(path) > 1000:
        return [f"path '{brief(path)}' is longer than the name of a file can be"]
    if PurePosixPath(path).is_absolute() or PureWindowsPath(path).anchor:
        return [f"path '{path}' is absolute; audio paths are relative to the data set's folder"]
    if "\\" in path:
        return [f"path '{path}' has backslashes; separate folders by '/'"]
    if ".." in PurePosixPath(path).parts:
        return [f"path '{path}' leaves the data set's folder; '..' is not allowed"]
    return [] if PurePosixPath(path).parts else [f"path '{path}' names no file"]


# ------------------------------------------------------------------------------------------ recordings


def _group(rows: list[_Row], findings: Findings) -> tuple[Recording, ...]:
    by_path: dict[str, list[_Row]] = {}
    for row in rows:
        by_path.setdefault(row.path, []).append(row)
    return tuple(_recording(by_path[path], findings) for path in sorted(by_path))


def _recording(rows: list[_Row], findings: Findings) -> Recording:
    """The recording that these rows describe. Events without length and repeated rows are left out."""
    scene, path = rows[0].scene, rows[0].path
    kept: dict[Event, int] = {}
    for row in rows:
        if row.scene != scene:
            findings.problem(row.line, f"'{path}' is '{row.scene}' here but '{scene}' in line {rows[0].line}")
        if row.event is None:
            continue
        if row.event.onset_s == row.event.offset_s:
            findings.note(row.line, f"{row.event.label} at {row.event.onset_s:g} s has no length; left out")
        elif row.event in kept:
            findings.note(row.line, f"repeats line {kept[row.event]}; left out")
        else:
            kept[row.event] = row.line
    events = tuple(sorted(kept))
    return Recording(path, scene, events, tuple(kept[event] for event in events))


def _shared_recordings(splits: dict[str, tuple[Recording, ...]]) -> list[str]:
    development = {recording.path for recording in splits["development"]}
    shared = [recording.path for recording in splits["evaluation"] if recording.path in development]
    if not shared:
        return []
    names = ", ".join(shared)
    return [f"{len(shared)} recordings are in both splits, which must share none: {names}"]
