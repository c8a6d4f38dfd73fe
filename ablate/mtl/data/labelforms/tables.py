"""Tables of many recordings as DESED and DCASE have them: ``filename, onset, offset, event_label``.

Tabs separate the columns, and a row whose last three are empty is a recording without events. The lengths of
the recordings stand in a table of their own: ``filename, duration``.
"""

from collections.abc import Iterable, Sequence

from ablate.mtl.data.columns import Fields, Findings, quoted, read_rows
from ablate.mtl.data.labelforms.labelled import Labelled, time_text

ORDER = ("path", "onset", "offset", "event")
HEADER = ("filename", "onset", "offset", "event_label")
DURATIONS_HEADER = ("filename", "duration")


def read(text: str, path: str, findings: Findings) -> list[Fields]:  # noqa: ARG001 - each row says its own
    """The rows of a table."""
    return read_rows(text, findings, ORDER)


def write(recordings: Sequence[Labelled]) -> str:
    """The table of recordings."""
    return _table(HEADER, (row for recording in recordings for row in _rows(recording)))


def write_durations(recordings: Sequence[Labelled]) -> str:
    """The lengths of the recordings, in seconds."""
    rows = ((quoted(recording.path), time_text(recording.duration_s)) for recording in recordings)
    return _table(DURATIONS_HEADER, rows)


def _rows(recording: Labelled) -> list[tuple[str, ...]]:
    path = quoted(recording.path)
    return [
        (path, time_text(event.onset_s), time_text(event.offset_s), quoted(event.label))
        for event in recording.events
    ] or [(path, "", "", "")]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in (header, *rows))
