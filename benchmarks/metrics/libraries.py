"""What sed_scores_eval says to a case. Needs the environment of ``packages.txt``.

It takes no class that never occurs, no events of a class that touch, and no recording without a frame. So it
is given the classes that occur, events as ``Events.united`` makes them, and recordings that have frames.
"""

from typing import Any

import numpy as np
from sed_scores_eval import intersection_based
from sed_scores_eval.base_modules.scores import create_score_dataframe

from ablate.mtl.metrics.intersection_based import Criteria
from ablate.mtl.metrics.psds import PsdsSettings
from benchmarks.metrics.cases import CRITERIA, N_CLASSES, SETTINGS, THRESHOLDS, Case

Answer = dict[str, Any]


class Asked:
    """A case in the form of sed_scores_eval; ``classes`` are those that it is asked about."""

    def __init__(self, case: Case) -> None:
        recordings = {f"r{index}": recording for index, recording in enumerate(case) if recording.scores}
        truth = {name: recording.reference().events.united() for name, recording in recordings.items()}
        self.classes = sorted({int(label) for events in truth.values() for label in events.classes})
        self.truth = {
            name: [
                (float(onset), float(offset), str(label))
                for onset, offset, label in zip(
                    events.onsets_s, events.offsets_s, events.classes, strict=True
                )
            ]
            for name, events in truth.items()
        }
        self.scores = {
            name: create_score_dataframe(
                recording.track().scores[:, self.classes],
                np.array(recording.boundaries_s),
                [str(label) for label in self.classes],
            )
            for name, recording in recordings.items()
        }
        self.durations = {name: recording.duration_s for name, recording in recordings.items()}


def psds(asked: Asked, settings: PsdsSettings) -> Answer | None:
    """The score and each class's; None for cross triggers of one class alone, which are NaN there."""
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
    classes = [float(of_class[str(k)]) if k in asked.classes else None for k in range(N_CLASSES)]
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
    return [found.get(label) for label in range(N_CLASSES)]


def answers(case: Case) -> Answer:
    """All that is compared; nothing where it has no answer."""
    asked = Asked(case)
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
