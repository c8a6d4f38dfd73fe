"""Recordings to compare metrics on, and how the libraries take them."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from ablate.mtl.metrics.events import Events, Reference

LABELS = ("car", "dishes", "birds")
GRID_S = 0.05  # a quarter of the collar: exactly on it, or clearly beside it


@st.composite
def events(draw: st.DrawFn, duration_s: float, at_most: int = 8) -> Events:
    """None, few or many; they touch, overlap, coincide, have no length or fill the recording."""
    n_steps = round(duration_s / GRID_S)
    moments = st.integers(0, n_steps)
    spans = st.tuples(moments, moments, st.integers(0, len(LABELS) - 1))
    drawn = draw(st.lists(spans, max_size=at_most))
    return Events.of([(min(a, b) * GRID_S, max(a, b) * GRID_S, label) for a, b, label in drawn])


@st.composite
def recordings(draw: st.DrawFn) -> tuple[list[Events], list[Reference]]:
    """Detected and annotated events of one to three recordings; some have nothing, or last for nothing."""
    durations = draw(st.lists(st.sampled_from((0.0, 0.5, 2.0, 3.35)), min_size=1, max_size=3))
    truth = [Reference(draw(events(duration)), duration) for duration in durations]
    detected = [
        draw(st.one_of(events(duration), st.just(reference.events)))
        for duration, reference in zip(durations, truth, strict=True)
    ]
    return detected, truth


def as_event_list(events: Events) -> list[dict[str, Any]]:
    """As sed_eval takes events."""
    rows = zip(events.onsets_s.tolist(), events.offsets_s.tolist(), events.classes.tolist(), strict=True)
    return [
        {"onset": onset, "offset": offset, "event_label": LABELS[label], "file": "a.wav"}
        for onset, offset, label in rows
    ]


def column(values: list[float | None]) -> np.ndarray:
    """Scores with NaN for what is undefined, as the libraries give it."""
    return np.array([np.nan if value is None else value for value in values])
