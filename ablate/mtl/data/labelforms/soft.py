"""Soft labels of MAESTRO: ``onset <TAB> offset <TAB> label <TAB> value`` a segment and label.

A value is the share of (weighted) annotators who heard the event in that second, 0 to 1 (Martin-Morato and
Mesaros, "Strong Labeling of Sound Events Using Crowdsourced Weak Labels and Annotator Competence Estimation",
2023). From a threshold on it counts as an event, and segments that touch are one event.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from ablate.ground.errors import brief
from ablate.mtl.data.columns import Fields, Findings, lines_of
from ablate.mtl.data.times import times_of

ORDER = ("onset", "offset", "event_label", "soft_label")
THRESHOLD = 0.5
TOUCHING_S = 1e-6

Span = Callable[[Fields], tuple[float, float]]


def read(text: str, path: str, findings: Findings, threshold: float = THRESHOLD) -> list[Fields]:
    """The events of a file of segments, all of the recording ``path``."""
    segments = []
    for line, fields in lines_of(text):
        if line == 1 and fields[0].lower() == ORDER[0]:
            continue
        if len(fields) != len(ORDER):
            expected = f"{len(ORDER)} fields separated by tabs ({', '.join(ORDER)})"
            findings.problem(line, f"expected {expected}, found {len(fields)}")
            continue
        value = times_of(fields[3:]).seconds(fields[3])
        if value is None:
            findings.problem(line, f"'{brief(fields[3])}' is no soft label, a number from 0 to 1")
        elif value >= threshold:
            segments.append(Fields(line, path, "", fields[0], fields[1], fields[2]))
    return list(_joined(segments))


def _joined(segments: list[Fields]) -> Iterator[Fields]:
    """Segments of one label that touch as one; those whose times are none as they are."""
    times = times_of(text for segment in segments for text in (segment.onset, segment.offset))

    def span(segment: Fields) -> tuple[float, float]:
        onset, offset = times.seconds(segment.onset), times.seconds(segment.offset)
        return (-1.0, -1.0) if onset is None or offset is None else (onset, offset)

    ordered = sorted(segments, key=lambda segment: (segment.event, span(segment)))
    for _, alike in groupby(ordered, key=lambda segment: segment.event):
        yield from _runs(alike, span)


def _runs(segments: Iterable[Fields], span: Span) -> Iterator[Fields]:
    last: Fields | None = None
    for segment in segments:
        if last is not None and span(last)[1] >= 0 and span(segment)[0] - span(last)[1] <= TOUCHING_S:
            last = last._replace(offset=max(last, segment, key=lambda each: span(each)[1]).offset)
            continue
        if last is not None:
            yield last
        last = segment
    if last is not None:
        yield last
