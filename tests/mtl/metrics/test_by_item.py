"""F of recordings as ratios: what is above and below the line, and which classes have a score."""

import numpy as np

from ablate.mtl.metrics.by_item import f_overall, f_ratios
from ablate.mtl.metrics.counts import EventCounts
from ablate.subject.items import Overall


def test_f_has_two_hits_of_hits_alarms_and_misses_and_a_class_that_never_sounds_has_none() -> None:
    # Two recordings; the second class never sounds, and has one false alarm.
    counts = EventCounts(
        true_positives=np.array([[3, 0], [1, 0]]),
        false_positives=np.array([[1, 1], [0, 0]]),
        false_negatives=np.array([[0, 0], [2, 0]]),
    )
    found = f_ratios(counts, ["(object) impact", "car"])
    assert list(found.parts) == ["object_impact", "car"]
    assert found.above.tolist() == [[6, 0], [2, 0]]
    assert found.below.tolist() == [[7, 1], [4, 0]]
    assert found.occurs.tolist() == [[3, 0], [3, 0]]


def test_means_are_named_by_task_and_kind_and_what_they_leave_out() -> None:
    assert f_overall("event", "_segment") == {
        "event_micro_f_segment": Overall("event_f_segment", "micro"),
        "event_macro_f_segment": Overall("event_f_segment", "macro"),
    }
    assert list(f_overall("event", without=["car"])) == [
        "event_micro_f_without_car",
        "event_macro_f_without_car",
    ]
    assert f_overall("event", without=["car"])["event_macro_f_without_car"].without == ["car"]
