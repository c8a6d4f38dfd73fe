"""Tables of many recordings as DESED and DCASE have them: ``filename, onset, offset, event_label``.

Tabs separate the columns, and a row whose last three are empty is a recording without events. The lengths of
the recordings stand in a table of their own: ``filename, duration``.
"""

from collections.abc import Iterable, Sequence

from ablate.mtl.data.columns import EVENTS_ORDER, Fields, Findings, columns_of, lines_of, quoted, read_rows
from ablate.mtl.data.labelforms.labelled import Labelled, time_text
from ablate.mtl.data.times import times_of

ORDER = ("path", "onset", "offset", "event")
HEADER = ("filename", "onset", "offset", "event_label")
DURATIONS_HEADER = ("filename", "duration")


def read(text: str, path: str, findings: Findings) -> list[Fields]:  # noqa: ARG001 - each row says its own
    """The rows of a table, with their scenes where it has a column of them."""
    header = next((fields for _, fields in lines_of(text)), [])
    return read_rows(text, findings, EVENTS_ORDER if "scene" in columns_of(header) else ORDER)


def write(recordings: Sequence[Labelled]) -> str:
    """The table of recordings."""
    return _table(HEADER, (row for recording in recordings for row in _rows(recording)))


def write_durations(recordings: Sequence[Labelled]) -> str:
    """The lengths of the recordings, in seconds."""
    rows = ((quoted(recording.path), time_text(recording.duration_s)) for recording in recordings)
    return _table(DURATIONS_HEADER, rows)


def read_durations(text: str) -> dict[str, float]:
    """The recordings whose lengths a table says, in seconds; rows without a length are left out."""
    lines = [fields for _, fields in lines_of(text)]
    names = [name.lower() for name in lines[0]] if lines else []
    if not set(DURATIONS_HEADER) <= set(names):
        return {}
    path, duration = (names.index(name) for name in DURATIONS_HEADER)
    rows = [fields for fields in lines[1:] if len(fields) > max(path, duration)]
    times = times_of(fields[duration] for fields in rows)
    lengths = {fields[path]: times.seconds(fields[duration]) for fields in rows}
    return {name: length for name, length in lengths.items() if length is not None}


def _rows(recording: Labelled) -> list[tuple[str, ...]]:
    path = quoted(recording.path)
    return [
        (path, time_text(event.onset_s), time_text(event.offset_s), quoted(event.label))
        for event in recording.events
    ] or [(path, "", "", "")]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in (header, *rows))
