"""What sed_scores_eval says to a case. Needs the environment of ``packages.txt``.

It takes no class that never occurs, no events of a class that touch, and no recording without a frame. So it
is given the classes that occur, events as ``Events.united`` makes them, and recordings that have frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sed_scores_eval import intersection_based
from sed_scores_eval.base_modules.scores import create_score_dataframe

from ablate.mtl.metrics.events import Events, Reference, Track
from ablate.mtl.metrics.intersection_based import Criteria
from ablate.mtl.metrics.psds import PsdsSettings
from benchmarks.metrics.cases import CRITERIA, SETTINGS, THRESHOLDS, Case

Answer = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """Recordings in the form of sed_scores_eval, by name. ``classes`` are those that it is asked about."""

    classes: list[int]
    n_classes: int
    scores: dict[str, Any]
    truth: dict[str, list[tuple[float, float, str]]]
    durations: dict[str, float]

    @classmethod
    def of(cls, tracks: Sequence[Track], references: Sequence[Reference]) -> "Asked":
        pairs = [pair for pair in zip(tracks, references, strict=True) if len(pair[0].scores)]
        united = [reference.events.united() for _, reference in pairs]
        classes = sorted({int(label) for events in united for label in events.classes})
        names = [f"r{index}" for index in range(len(pairs))]
        tables = [
            create_score_dataframe(
                track.scores[:, classes].astype(np.float64),
                track.boundaries_s,
                [str(label) for label in classes],
            )
            for track, _ in pairs
        ]
        return cls(
            classes,
            tracks[0].n_classes,
            dict(zip(names, tables, strict=True)),
            dict(zip(names, map(_tuples, united), strict=True)),
            {name: reference.duration_s for name, (_, reference) in zip(names, pairs, strict=True)},
        )


def _tuples(events: Events) -> list[tuple[float, float, str]]:
    rows = zip(events.onsets_s.tolist(), events.offsets_s.tolist(), events.classes.tolist(), strict=True)
    return [(onset, offset, str(label)) for onset, offset, label in rows]


def psds(asked: Asked, settings: PsdsSettings) -> Answer | None:
    """The score and each class's; None for cross triggers of one class alone, where it fails."""
    if settings.alpha_ct and len(asked.classes) == 1:
        return None
    score, of_class, *_ = intersection_based.psds(
        asked.scores,
        asked.truth,
        asked.durations,
        dtc_threshold=settings.criteria.detection,
        gtc_threshold=settings.criteria.reference,
        cttc_threshold=settings.cross_trigger,
        alpha_ct=settings.alpha_ct,
        alpha_st=settings.alpha_st,
        max_efpr=settings.max_efpr,
    )
    classes = [float(of_class[str(k)]) if k in asked.classes else None for k in range(asked.n_classes)]
    return {"score": float(score), "classes": classes}


def counts(asked: Asked, threshold: float, criteria: Criteria) -> list[list[int] | None]:
    """[TP, FP, FN] of each class; None for one that never occurs."""
    *_, statistics = intersection_based.fscore(
        asked.scores,
        asked.truth,
        threshold,
        dtc_threshold=criteria.detection,
        gtc_threshold=criteria.reference,
    )
    found = {
        int(label): [int(of["tps"]), int(of["fps"]), int(of["n_ref"] - of["tps"])]
        for label, of in statistics.items()
    }
    return [found.get(label) for label in range(asked.n_classes)]


def answers(case: Case) -> Answer:
    """All that is compared; nothing where it has no answer."""
    asked = Asked.of([recording.track() for recording in case], [recording.reference() for recording in case])
    nothing: Answer = {"psds": {}, "counts": {}}
    if not asked.classes:
        return nothing
    try:
        return {
            "psds": {name: psds(asked, settings) for name, settings in SETTINGS.items()},
            "counts": {
                name: {str(threshold): counts(asked, threshold, criteria) for threshold in THRESHOLDS}
                for name, criteria in CRITERIA.items()
            },
        }
    except IndexError:  # no threshold finds an event of some class or detects it falsely
        return nothing
