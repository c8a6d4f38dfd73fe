"""Annotations: which events sound when, and in which scene.

A data set is a folder with ``meta_development.txt`` and ``meta_evaluation.txt``, one event a row:

    path <TAB> scene_label <TAB> event_start_time <TAB> event_end_time <TAB> event_label

A recording without events is a row whose event fields are empty or absent. A header line, a byte order mark,
CR LF, blank lines and blanks around fields are tolerated; everything else is checked, and every bad row is
named by file and line. The words are the study's (Imoto et al. 2022, section 4.1) unless the folder holds a
``labels.json``: ``{"scenes": [...], "events": [...]}``.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from ablate.config import suggest
from ablate.errors import DataError, brief, shown

SPLITS = ("development", "evaluation")
LABELS_FILE = "labels.json"
LONGEST_S = 1e7  # of any time: four months, which only a mistake exceeds
LONGEST_NAME_BYTES = 255  # of a file or folder, on most file systems
HEADER = ("path", "scene_label", "event_start_time", "event_end_time", "event_label")

SCENES = ("city_center", "home", "office", "residential_area")
EVENTS = (
    "(object) banging",
    "(object) impact",
    "(object) rustling",
    "(object) snapping",
    "(object) squeaking",
    "bird singing",
    "brakes squeaking",
    "breathing",
    "car",
    "children",
    "cupboard",
    "cutlery",
    "dishes",
    "drawer",
    "fan",
    "glass jingling",
    "keyboard typing",
    "large vehicle",
    "mouse clicking",
    "mouse wheeling",
    "people talking",
    "people walking",
    "washing dishes",
    "water tap running",
    "wind blowing",
)

# The annotations of 2021 renamed events. Whoever has these names has the wrong version of the files.
RENAMED_2021 = {
    "car passing by": "car",
    "object banging": "(object) banging",
    "object impact": "(object) impact",
    "object rustling": "(object) rustling",
    "object snapping": "(object) snapping",
    "object squeaking": "(object) squeaking",
    "people speaking": "people talking",
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The scenes and events of a data set, alphabetical: their order is that of every array."""

    scenes: tuple[str, ...]
    events: tuple[str, ...]


STUDY = Vocabulary(SCENES, EVENTS)


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


def slug(label: str) -> str:
    """A label as one lower-case word: ``(object) impact`` -> ``object_impact``."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


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
    vocabulary, problems = _read_vocabulary(folder / LABELS_FILE)
    notes: list[str] = []
    splits: dict[str, tuple[Recording, ...]] = {}
    for split in SPLITS:
        findings = _Findings(annotation_file(split))
        text = _read_text(folder / annotation_file(split), problems)
        splits[split] = () if text is None else _parse(text, vocabulary, findings)
        problems += findings.problem_sentences()
        notes += findings.note_sentences()
    problems += _shared_recordings(splits)
    return Annotations(vocabulary, splits["development"], splits["evaluation"], tuple(problems), tuple(notes))


def write_annotations(file: Path, recordings: Iterable[Recording]) -> None:
    """One split in the form that ``read_annotations`` reads, times to the microsecond."""
    rows = ["\t".join(HEADER)]
    for recording in recordings:
        rows += [
            f"{recording.path}\t{recording.scene}\t{event.onset_s:.6f}\t{event.offset_s:.6f}\t{event.label}"
            for event in recording.events
        ] or [f"{recording.path}\t{recording.scene}\t\t\t"]
    file.write_text("\n".join(rows) + "\n", encoding="utf-8", newline="\n")


# ---------------------------------------------------------------------------------------------- findings


@dataclass
class _Findings:
    """What was found in one annotation file. Equal sentences are said once, with all their lines."""

    file: str
    problems: dict[str, list[int]] = field(default_factory=dict)
    notes: dict[str, list[int]] = field(default_factory=dict)

    def problem(self, line: int, sentence: str) -> None:
        self.problems.setdefault(sentence, []).append(line)

    def note(self, line: int, sentence: str) -> None:
        self.notes.setdefault(sentence, []).append(line)

    def problem_sentences(self) -> list[str]:
        return [f"{self.file}:{line_ranges(lines)}: {text}" for text, lines in self.problems.items()]

    def note_sentences(self) -> list[str]:
        return [f"{self.file}:{line_ranges(lines)}: {text}" for text, lines in self.notes.items()]


def line_ranges(lines: Iterable[int]) -> str:
    """Line numbers in short: 3, 5, 6, 7 -> ``3,5-7``."""
    ranges: list[list[int]] = []
    for line in sorted(set(lines)):
        if ranges and line == ranges[-1][1] + 1:
            ranges[-1][1] = line
        else:
            ranges.append([line, line])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


# --------------------------------------------------------------------------------------------- vocabulary


def _read_vocabulary(file: Path) -> tuple[Vocabulary, list[str]]:
    problems: list[str] = []
    if not file.exists():
        return STUDY, problems
    text = _read_text(file, problems)
    if text is None:
        return STUDY, problems
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        return STUDY, [f"{file.name}:{error.lineno}: not JSON: {error.msg}"]
    except (ValueError, RecursionError):  # an integer of thousands of digits, thousands of nested lists
        return STUDY, [f"{file.name}: holds something else than lists of names"]
    if not isinstance(content, dict) or set(content) != {"scenes", "events"}:
        return STUDY, [f'{file.name}: expected {{"scenes": [...], "events": [...]}}']
    problems = [f"{file.name}: {sentence}" for key in content for sentence in _bad_names(key, content[key])]
    if problems:
        return STUDY, problems
    return Vocabulary(tuple(sorted(content["scenes"])), tuple(sorted(content["events"]))), []


def _bad_names(key: str, names: object) -> Iterator[str]:
    if not isinstance(names, list) or not names:
        yield f"{key} must be a list of at least one name"
        return
    for name in names:
        if not isinstance(name, str) or name != name.strip() or not name.isprintable() or not slug(name):
            yield f"{key}: {shown(name)} is not a name; it needs a letter or digit from a-z, 0-9"
    words = Counter(slug(name) for name in names if isinstance(name, str))
    for word, count in sorted(words.items()):
        if word and count > 1:
            yield f"{key}: more than one name reads '{brief(word)}' when written as a file or metric name"


# ---------------------------------------------------------------------------------------------- rows


def _read_text(file: Path, problems: list[str]) -> str | None:
    try:
        if file.exists() and not file.is_file():
            problems.append(f"{file.name}: not a file")
            return None
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        problems.append(f"{file.name}: missing in {file.parent}")
    except UnicodeDecodeError:
        problems.append(f"{file.name}: not UTF-8 text")
    except OSError as error:
        problems.append(f"{file.name}: cannot be read: {error.strerror}")
    return None


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    path: str
    scene: str
    event: Event | None


def _parse(text: str, vocabulary: Vocabulary, findings: _Findings) -> tuple[Recording, ...]:
    rows: list[_Row] = []
    first = True
    for line, content in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if not content.strip():
            continue
        fields = [value.strip() for value in content.split("\t")]
        if not (first and fields[0].lower() in ("path", "filename")):
            rows += _parse_row(line, fields, vocabulary, findings)
        first = False
    if not rows and not findings.problems:
        findings.problem(1, "no recordings; every split needs at least one")
    return _group(rows, findings)


def _parse_row(line: int, fields: list[str], vocabulary: Vocabulary, findings: _Findings) -> Iterator[_Row]:
    """The row, unless something is wrong with it. All that is wrong is found, not only the first thing."""
    while len(fields) > len(HEADER) and not fields[-1]:
        fields.pop()
    if not 2 <= len(fields) <= len(HEADER):
        columns = "path, scene, onset, offset, event"
        findings.problem(line, f"expected 5 fields separated by tabs ({columns}), found {len(fields)}")
        return
    path, scene, onset, offset, label = fields + [""] * (len(HEADER) - len(fields))
    problems = [*_bad_path(path), *_unknown("scene", scene, vocabulary.scenes)]
    event = None
    if onset or offset or label:
        event, bad = _parse_event(onset, offset, label, vocabulary.events)
        problems += bad
    for problem in problems:
        findings.problem(line, problem)
    if not problems:
        yield _Row(line, PurePosixPath(path).as_posix(), scene, event)


def _parse_event(
    onset: str, offset: str, label: str, known: tuple[str, ...]
) -> tuple[Event | None, list[str]]:
    missing = [name for name, value in zip(HEADER[2:], (onset, offset, label), strict=True) if not value]
    if missing:
        return None, [f"an event without {' and '.join(missing)}; leave all three empty for no event"]
    problems = _unknown("event", label, known)
    start, stop = _seconds(onset), _seconds(offset)
    problems += [
        f"'{brief(text)}' is not a time in seconds"
        for text, value in ((onset, start), (offset, stop))
        if value is None
    ]
    if start is None or stop is None:
        return None, problems
    if stop < start:
        problems.append(f"{label} ends at {offset} s, before it begins at {onset} s")
    return Event(start, stop, label), problems


_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def _seconds(text: str) -> float | None:
    """A time of a recording: a decimal number, not negative. Python would read ``1_0`` and ``٣`` as well."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value + 0.0 if 0 <= value <= LONGEST_S else None


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


def _unknown(kind: str, label: str, known: tuple[str, ...]) -> list[str]:
    if label in known:
        return []
    if not label:
        return [f"no {kind}"]
    renamed = RENAMED_2021.get(label.lower())
    if renamed in known:
        return [
            f"unknown {kind} '{label}'; did you mean '{renamed}'? The annotations of 2021 use other names: "
            "take the version of the study (metadata_SEDandASC01)"
        ]
    same = [name for name in known if slug(name) == slug(label)]
    return [f"unknown {kind} '{brief(label)}'{suggest(label, same or known)}"]


# ------------------------------------------------------------------------------------------ recordings


def _group(rows: list[_Row], findings: _Findings) -> tuple[Recording, ...]:
    by_path: dict[str, list[_Row]] = {}
    for row in rows:
        by_path.setdefault(row.path, []).append(row)
    return tuple(_recording(by_path[path], findings) for path in sorted(by_path))


def _recording(rows: list[_Row], findings: _Findings) -> Recording:
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
