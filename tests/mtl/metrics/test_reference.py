"""PSDS and intersection-based counts beside those of sed_scores_eval, which fails with our numpy.

``python -m benchmarks.metrics.reference`` asked it, in an environment of its own, and wrote down its answers.
``make metrics`` compares with it live, on thousands of cases.
"""

import gzip
import json
from typing import Any

import pytest

from ablate.mtl.metrics.intersection_based import intersection_counts
from ablate.mtl.metrics.psds import psds
from benchmarks.metrics.cases import CRITERIA, N_CLASSES, SETTINGS, THRESHOLDS, Case, Recording, cases
from benchmarks.metrics.reference import N_RANDOM, REFERENCE

CASES: list[dict[str, Any]] = json.loads(gzip.decompress(REFERENCE.read_bytes()))["cases"]
ANSWERED = [case for case in CASES if case["psds"]]


def recordings(case: dict[str, Any]) -> Case:
    return [Recording(**fields) for fields in case["recordings"]]


def test_the_file_has_all_kinds_of_cases_and_an_answer_to_most() -> None:
    assert {case["name"] for case in CASES} == set(cases(N_RANDOM))
    assert len(ANSWERED) > 0.8 * len(CASES)
    scores = [case["psds"]["psds1 at high rates"]["score"] for case in ANSWERED]
    assert min(scores) == 0
    assert max(scores) > 0.9
    assert len(set(scores)) > len(scores) / 2


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case["name"])
def test_psds_equals_sed_scores_evals(case: dict[str, Any]) -> None:
    tracks = [recording.track() for recording in recordings(case)]
    references = [recording.reference() for recording in recordings(case)]
    for name, expected in case["psds"].items():
        if expected is not None:
            ours = psds(tracks, references, SETTINGS[name])
            assert ours.score == pytest.approx(expected["score"], abs=1e-9), name
            assert list(ours.classes) == pytest.approx(expected["classes"], abs=1e-9), name


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case["name"])
def test_intersection_based_counts_equal_sed_scores_evals(case: dict[str, Any]) -> None:
    references = [recording.reference() for recording in recordings(case)]
    for name, criteria in CRITERIA.items():
        for threshold in THRESHOLDS:
            detected = [recording.track().above(threshold) for recording in recordings(case)]
            ours = intersection_counts(detected, references, N_CLASSES, criteria).total()
            for label, expected in enumerate(case["counts"][name][str(threshold)]):
                if expected is not None:
                    assert [
                        ours.true_positives[label],
                        ours.false_positives[label],
                        ours.false_negatives[label],
                    ] == expected, (name, threshold, label)
