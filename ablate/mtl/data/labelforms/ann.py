"""Annotations of the TUT corpora: ``onset <TAB> offset <TAB> label`` a line, a file ``.ann`` a recording.

Some have the recording's path and its scene before these three, as our own annotations do.
"""

from ablate.mtl.data.columns import EVENTS_ORDER, Fields, Findings, lines_of, read_rows
from ablate.mtl.data.times import times_of

ORDER = ("onset", "offset", "event")


def read(text: str, path: str, findings: Findings) -> list[Fields]:
    """The rows of a file, all of the recording ``path``."""
    first = next((fields for _, fields in lines_of(text)), [""])
    is_short = times_of(first[:1]).seconds(first[0]) is not None
    rows = read_rows(text, findings, ORDER if is_short else EVENTS_ORDER)
    return [row._replace(path=path, scene="") for row in rows]
