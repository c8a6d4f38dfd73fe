"""The groups of scores by name: what each counts of one recording, and how it is declared."""

from typing import Any

import numpy as np
import pytest

from ablate.mtl.metrics.declared import DECLARED
from ablate.mtl.metrics.events import Events, Reference, Track
from ablate.mtl.metrics.named import GROUPS, Found, Heard
from ablate.subject.metrics import Metric

CAR, DISHES = 0, 1
# Seconds                        0      1      2      3      4
# annotated                       car car   dishes
# detected                        car   dishes dishes    car
HEARD = Heard(
    events=["car", "dishes"],
    references=[Reference(Events.of([(0.2, 1.9, CAR), (2.0, 3.0, DISHES)]), 4.0)],
    tracks=[
        Track(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([[0.9, 0.1], [0.8, 0.7], [0.1, 0.9], [0.2, 0.1]]))
    ],
    frame_scores=[np.array([[0.9, 0.1], [0.8, 0.7], [0.1, 0.9], [0.2, 0.1]])],
    detected=[Events.of([(0.5, 0.6, CAR), (1.0, 2.7, DISHES), (3.9, 4.0, CAR)])],
    active=[np.array([[1, 0], [0, 1], [0, 1], [1, 0]], bool)],
    true=[np.array([[1, 0], [1, 0], [0, 1], [0, 0]], bool)],
)


def ratio(found: Found, family: str) -> tuple[Any, Any]:
    return found.ratios[family].above.tolist(), found.ratios[family].below.tolist()


@pytest.mark.parametrize(
    ("group", "above", "below"),
    [
        ("event_f", [[2, 2]], [[4, 3]]),  # of each class one frame is found; a car's missed and one false
        ("event_f_segment", [[2, 2]], [[4, 3]]),  # the same, in seconds
        ("event_f_collar", [[0, 0]], [[3, 2]]),  # nothing begins where it should
        ("event_f_intersection", [[0, 0]], [[2, 2]]),  # the first car is right as far as it goes
    ],
)
def test_a_group_has_f_of_each_class_and_its_means(group: str, above: Any, below: Any) -> None:
    found = GROUPS[group].compute(HEARD)
    kind = group.removeprefix("event_f")
    assert ratio(found, group) == (above, below)
    assert {f"event_micro_f{kind}", f"event_macro_f{kind}"} <= set(found.overall)


def test_error_rates_are_over_all_classes() -> None:
    # In the second segment dishes stand for the car, in the last a car is inserted; three are annotated.
    segments = GROUPS["event_f_segment"].compute(HEARD)
    assert ratio(segments, "event_error_segment") == ([[2]], [[3]])
    assert segments.overall["event_error_segment"].family == "event_error_segment"
    # Three false events, two missed ones, and none of them in another's place.
    collar = GROUPS["event_f_collar"].compute(HEARD)
    assert ratio(collar, "event_error_collar") == ([[5]], [[2]])


def test_scores_over_all_thresholds_are_numbers_by_class() -> None:
    precision = GROUPS["event_map"].compute(HEARD).others
    # The car's two frames have the highest scores; those of the dishes too.
    assert precision == {"event_map": 1.0, "event_ap/car": 1.0, "event_ap/dishes": 1.0}
    for name in ("psds1", "psds2"):
        assert list(GROUPS[name].compute(HEARD).others) == [name, f"{name}/car", f"{name}/dishes"]


def test_the_leading_score_of_a_group_is_one_of_its_own() -> None:
    for name, group in GROUPS.items():
        found = group.compute(HEARD)
        assert group.leading in {**found.overall, **found.others}
        assert group.over_all_thresholds == (not found.ratios) == (name in ("event_map", "psds1", "psds2"))


def declared(name: str) -> Metric:
    """As the harness finds it: by its name, or as one of a family."""
    family, slash, _ = name.partition("/")
    (metric,) = [metric for metric in DECLARED if metric.name == (f"{family}/*" if slash else name)]
    return metric


def test_every_score_is_declared() -> None:
    found = [group.compute(HEARD) for group in GROUPS.values()]
    names = {name for each in found for name in (*each.overall, *each.others)}
    families = {f"{family}/car" for each in found for family in each.ratios if "error" not in family}
    for name in names | families:
        metric = declared(name)
        assert (metric.best, metric.unit) == (("min", "") if "error" in name else ("max", "%"))


def test_what_is_compared_and_closes_a_study_when_none_is_named() -> None:
    headline = [metric.name for metric in DECLARED if metric.headline]
    assert headline == ["scene_micro_f", "scene_macro_f", "event_micro_f", "event_macro_f", "event_f/*"]
    assert [metric.short for metric in DECLARED if metric.closing] == ["scene F", "event F"]


def test_all_but_error_rates_are_fractions_and_only_f_of_classes_has_charts() -> None:
    assert {metric.name for metric in DECLARED if not metric.is_fraction} == {
        "event_error_segment",
        "event_error_collar",
    }
    assert [metric.name for metric in DECLARED if metric.is_family and metric.chart] == [
        "event_f/*",
        "scene_f/*",
    ]
    assert len({metric.name for metric in DECLARED}) == len(DECLARED)
    assert {"event_micro_precision", "event_micro_recall", "event_macro_f_without_fan"} <= {
        metric.name for metric in DECLARED
    }
    assert {"scene_confusion/*", "scene_precision/*", "event_recall/*"} <= {
        metric.name for metric in DECLARED
    }
