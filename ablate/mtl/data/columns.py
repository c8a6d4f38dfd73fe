"""Tables of a data set: which column holds what, said by a header or by the documented order.

Columns are separated by tabs; fields can be quoted. A header is known by having neither a number nor a file's
name in it. Its columns can have any of the names below, in any order; others are ignored, with a note.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ablate.ground.errors import brief
from ablate.mtl.data.vocabulary import listed

# What a column holds, and the names that headers give it; the first is the one that we write.
NAMES = {
    "path": (
        "path",
        "file",
        "filename",
        "file_name",
        "filepath",
        "file_path",
        "audio_filename",
        "audio_file",
    ),
    "scene": ("scene_label", "scene", "scene_name", "acoustic_scene"),
    "onset": (
        "event_start_time",
        "onset",
        "event_onset",
        "onset_time",
        "start",
        "start_time",
        "event_start",
        "begin",
    ),
    "offset": (
        "event_end_time",
        "offset",
        "event_offset",
        "offset_time",
        "end",
        "end_time",
        "event_end",
        "stop",
    ),
    "event": (
        "event_label",
        "event",
        "label",
        "class",
        "class_label",
        "class_name",
        "event_class",
        "sound_event",
    ),
}
SCENES_FILE = "scenes.txt"  # the scene of each recording, for annotations that do not say it
HEADER = tuple(names[0] for names in NAMES.values())
_COLUMN_OF = {name: column for column, names in NAMES.items() for name in names}
_UNIT = re.compile(r"(?:_(?:s|sec|secs|seconds)|_?[(\[](?:s|sec|secs|seconds)[)\]])$")

Order = tuple[str, ...]
EVENTS_ORDER: Order = (
    "path",
    "scene",
    "onset",
    "offset",
    "event",
)  # of the columns of a file without a header
SCENES_ORDER: Order = ("path", "scene")
SHORTEST_ROW = 2  # fields


class Fields(NamedTuple):
    """What a row says, as it is written; empty where it says nothing."""

    line: int
    path: str
    scene: str
    onset: str
    offset: str
    event: str


@dataclass
class Findings:
    """What was found in one file. Equal sentences are said once, with all their lines.

    ``counted`` stands between the file's name and the numbers, where they are not those of lines.
    """

    file: str
    counted: str = ":"
    problems: dict[str, list[int]] = field(default_factory=dict)
    notes: dict[str, list[int]] = field(default_factory=dict)
    of_all: list[str] = field(default_factory=list)  # what is wrong with the file as a whole
    remarks: list[str] = field(default_factory=list)  # notes on the file as a whole

    def problem(self, line: int, sentence: str) -> None:
        self.problems.setdefault(sentence, []).append(line)

    def note(self, line: int, sentence: str) -> None:
        self.notes.setdefault(sentence, []).append(line)

    def whole(self, sentence: str) -> None:
        self.of_all.append(sentence)

    def remark(self, sentence: str) -> None:
        self.remarks.append(sentence)

    def problem_sentences(self) -> list[str]:
        return [*(f"{self.file}: {text}" for text in self.of_all), *self._sentences(self.problems)]

    def note_sentences(self) -> list[str]:
        return [*(f"{self.file}: {text}" for text in self.remarks), *self._sentences(self.notes)]

    def _sentences(self, found: dict[str, list[int]]) -> list[str]:
        return [f"{self.file}{self.counted}{line_ranges(lines)}: {text}" for text, lines in found.items()]


def line_ranges(lines: Iterable[int]) -> str:
    """Line numbers in short: 3, 5, 6, 7 -> ``3,5-7``."""
    ranges: list[list[int]] = []
    for line in sorted(set(lines)):
        if ranges and line == ranges[-1][1] + 1:
            ranges[-1][1] = line
        else:
            ranges.append([line, line])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def read_rows(text: str, findings: Findings, order: Order = EVENTS_ORDER) -> list[Fields]:
    """The rows of a table. What is wrong with its form goes to ``findings``.

    ``order`` are the columns that it has, and their order when it has no header. Below a header that is not
    understood, nothing is read.
    """
    lines = list(lines_of(text))
    if not lines:
        return []
    if not _is_header(lines[0][1]):
        places = {column: place for place, column in enumerate(order)}
        expected = f"{len(order)} fields separated by tabs ({', '.join(order)})"
        return _rows(lines, places, len(order), expected, findings, shortest=SHORTEST_ROW)
    (line, header), *lines = lines
    columns = columns_of(header)
    problem = _bad_header(header, columns, order)
    if problem:
        findings.problem(line, problem)
        return []
    ignored = [name for name, column in zip(header, columns, strict=True) if column not in order]
    if ignored:
        findings.note(line, f"ignored columns: {listed([name or 'one without a name' for name in ignored])}")
    places = {column: columns.index(column) for column in order if column in columns}
    expected = f"{len(header)} fields, as in the header"
    return _rows(lines, places, len(header), expected, findings, shortest=1)


def _rows(
    lines: list[tuple[int, list[str]]],
    places: dict[str, int],
    width: int,
    expected: str,
    findings: Findings,
    *,
    shortest: int,
) -> list[Fields]:
    """The rows, with the fields that are left off at their ends, but for those that are too long or short."""
    rows = []
    for line, fields in lines:
        while len(fields) > width and not fields[-1]:
            fields.pop()
        if not shortest <= len(fields) <= width:
            findings.problem(line, f"expected {expected}, found {len(fields)}")
            continue
        fields += [""] * (width - len(fields))
        said = (fields[places[column]] if column in places else "" for column in EVENTS_ORDER)
        rows.append(Fields(line, *said))
    return rows


# ------------------------------------------------------------------------------------------------ headers


def _is_header(fields: list[str]) -> bool:
    """Whether the first line names columns: no file's name, no number, and two known names or any three."""
    fields = _parts(fields)
    named = [name for name in fields if name]
    if (
        not named
        or re.search(r"/|\\|\.\w+$", fields[0])
        or any(re.match(r"[+-]?\.?\d", name) for name in named)
    ):
        return False
    known = [column for column in columns_of(fields) if column]
    return len(known) >= 2 or columns_of(fields)[0] == "path" or len(named) >= 3


def _parts(fields: list[str]) -> list[str]:
    """The names of a header, also of one that is separated by something else than tabs."""
    return re.split(r"[,;|\s]+", fields[0]) if len(fields) == 1 else fields


def columns_of(header: list[str]) -> list[str]:
    """What each column of a header holds; empty where its name is unknown."""
    return [_COLUMN_OF.get(_UNIT.sub("", re.sub(r"[\s-]+", "_", _bare(name))), "") for name in header]


def _bare(name: str) -> str:
    return name.lower().strip("\"'# ")


def _bad_header(header: list[str], columns: list[str], order: Order) -> str:
    """What is wrong with a header, in a sentence; empty if nothing is."""
    if len(header) == 1 and len(_parts(header)) > 1:
        return f"the header '{brief(header[0])}' has no tabs; separate columns by tabs"
    needed = [column for column in order if column not in columns]
    if needed == ["scene"] and "event" in order:  # events do without scenes
        needed = []
    if not {"onset", "offset", "event"} & set(columns) and "scene" in columns:
        needed = [column for column in needed if column == "path"]  # a list of recordings without events
    if needed:
        known = "; ".join(f"{column}: {', '.join(NAMES[column])}" for column in needed)
        return (
            f"the header ({listed([name or '-' for name in header])}) has no column for {', '.join(needed)}; "
            f"known names are {known}"
        )
    for column in order:
        if columns.count(column) > 1:
            same = [name for name, found in zip(header, columns, strict=True) if found == column]
            return f"the columns {' and '.join(same)} both name the {column}; keep one of them"
    return ""


# ------------------------------------------------------------------------------------------------ fields


def lines_of(text: str) -> Iterator[tuple[int, list[str]]]:
    """The fields of every line that is not blank, with its number."""
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if line.strip():
            yield number, [_unquoted(value.strip()) for value in line.split("\t")]


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1].replace('""', '"').strip()
    return value


def quoted(value: str) -> str:
    """``value`` as a field that reads as it: only what looks like a quoted field has to be quoted."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return '"' + value.replace('"', '""') + '"'
    return value
