"""Selection tables of Raven: a header, tabs, a selection a row, a file a recording or a sequence of them.

See the Raven Pro User's Manual (Cornell Lab of Ornithology) on selection tables. A selection stands in the
table once for each view and channel of it (waveform, spectrogram): one of them is read. Which column holds
the label is the user's choice in Raven: the first of ``LABELS`` that there is, or the one that is named.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from ablate.ground.errors import brief
from ablate.mtl.data.columns import Fields, Findings, lines_of, quoted
from ablate.mtl.data.labelforms.labelled import Labelled, time_text
from ablate.mtl.data.times import Times, times_of
from ablate.mtl.data.vocabulary import listed

NUMBER, ONSET, OFFSET = "selection", "begin time (s)", "end time (s)"
FILES = ("begin path", "begin file")
IN_FILE = "file offset (s)"  # where in its own file a selection begins; times count from the sequence's start
LABELS = ("annotation", "species", "common name", "label", "class", "event_label", "tags")
SUFFIX = ".Table.1.selections.txt"
NAMED_AFTER = re.compile(r"(?:\.Table\.\d+)?(?:\.BirdNET)?\.selections?(?:\.table)?$", re.IGNORECASE)

HEADER = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)")
LABEL_HEADER = "Annotation"
# A box in the spectrogram has frequencies, and events have none: it covers those of a recording at 44.1 kHz.
WHOLE_BAND = ("0.0", "22050.0")


def read(text: str, path: str, findings: Findings, label_column: str = "") -> list[Fields]:
    """The rows of a selection table; of the recording ``path`` where it names none.

    ``label_column`` is the column of the labels, by default the first of ``LABELS`` that there is.
    """
    lines = list(lines_of(text))
    if not lines:
        return []
    (number, header), *lines = lines
    places = {name.lower(): place for place, name in reversed(list(enumerate(header)))}
    label = _label_column(places, label_column)
    problem = _bad_header(header, places, label, label_column)
    if problem:
        findings.problem(number, problem)
        return []
    rows = list(_rows(lines, len(header), places, findings))
    return _fields(_each_once(rows, label), path, label, findings)


def write(recording: Labelled) -> str:
    """The selection table of a recording."""
    rows = [(*HEADER, LABEL_HEADER)]
    for number, event in enumerate(recording.events, start=1):
        span = (time_text(event.onset_s), time_text(event.offset_s))
        rows.append((str(number), "Spectrogram 1", "1", *span, *WHOLE_BAND, quoted(event.label)))
    return "".join("\t".join(row) + "\n" for row in rows)


def recording_of(stem: str) -> str:
    """The recording that a table is named after: ``a.Table.1.selections`` -> ``a``."""
    return NAMED_AFTER.sub("", stem)


def _label_column(places: Mapping[str, int], wanted: str) -> str:
    """The column of the labels, in lower case; empty if there is none."""
    names = (wanted.lower(),) if wanted else LABELS
    return next((name for name in names if name in places), "")


def _bad_header(header: Sequence[str], places: Mapping[str, int], label: str, wanted: str) -> str:
    """What is wrong with a header, in a sentence; empty if nothing is."""
    missing = [name for name in (HEADER[3], HEADER[4]) if name.lower() not in places]
    has = f"the header ({listed([name or '-' for name in header])}) has"
    if missing:
        return f"{has} no column {' and '.join(missing)}; is this a selection table of Raven?"
    if not label:
        known = f"'{brief(wanted)}'" if wanted else f"of labels, such as {listed(LABELS[:3])}"
        return f"{has} no column {known}; name it with --label-column"
    return ""


def _rows(
    lines: Sequence[tuple[int, list[str]]], width: int, places: Mapping[str, int], findings: Findings
) -> Iterator[tuple[int, dict[str, str]]]:
    for line, fields in lines:
        while len(fields) > width and not fields[-1]:
            fields.pop()
        if len(fields) > width:
            findings.problem(line, f"expected {width} fields, as in the header, found {len(fields)}")
            continue
        fields += [""] * (width - len(fields))
        yield line, {name: fields[place] for name, place in places.items()}


def _each_once(rows: Sequence[tuple[int, dict[str, str]]], label: str) -> list[tuple[int, dict[str, str]]]:
    """The first row of each selection; those that differ in time or label are selections of their own."""
    first: dict[tuple[str, ...], tuple[int, dict[str, str]]] = {}
    for line, row in rows:
        number = row.get(NUMBER) or f"line {line}"
        first.setdefault((number, row[ONSET], row[OFFSET], row[label]), (line, row))
    return list(first.values())


def _fields(
    rows: Sequence[tuple[int, dict[str, str]]], path: str, label: str, findings: Findings
) -> list[Fields]:
    column = next((name for name in FILES if rows and name in rows[0][1]), "")
    files = {row[column] for _, row in rows} if column else set()
    if len(files) > 1 and IN_FILE not in rows[0][1]:
        findings.problem(
            rows[0][0],
            f"these selections are of {len(files)} files, and their times count from the start of the first; "
            "add the column File Offset (s) in Raven and save the table again",
        )
        return []
    times = times_of(row[name] for _, row in rows for name in (ONSET, OFFSET))
    found = []
    for line, row in rows:
        onset, offset = _span(row, times) if column and IN_FILE in row else (row[ONSET], row[OFFSET])
        file = re.split(r"[/\\]", row[column])[-1] if column else ""
        found.append(Fields(line, file or path, "", onset, offset, row[label]))
    return found


def _span(row: Mapping[str, str], times: Times) -> tuple[str, str]:
    """Onset and offset in a selection's own file."""
    begins, ends, inside = (times.seconds(row[name]) for name in (ONSET, OFFSET, IN_FILE))
    if begins is None or ends is None or inside is None:
        return (row[ONSET] if inside is not None else row[IN_FILE], row[OFFSET])
    return time_text(inside), time_text(inside + ends - begins)
