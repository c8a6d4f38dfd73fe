"""Scores that no run stores, and those that it does, from the raw counts."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ablate.analysis.cells import derived, derived_names, score
from ablate.analysis.compare import compare
from ablate.analysis.query import (
    HEADLINE_METRICS,
    RunRecord,
    frame,
    known_names,
    load_runs,
    sort_runs,
    tidy_columns,
)
from ablate.analysis.where import select
from ablate.ground.errors import ConfigError
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.analysis.studies import paper_study


@dataclass(frozen=True)
class Counts:
    """Ten clips of each scene; (hits, false alarms, misses) of two events are (3, 1, 1) and (1, 0, 3)."""

    scenes: tuple[str, ...] = ("city center", "home", "office")
    events: tuple[str, ...] = ("car", "(object) impact")
    scene_confusion: list[list[int]] | None = field(default_factory=lambda: [[6, 3, 1], [1, 9, 0], [0, 2, 8]])
    event_counts: dict[str, list[int]] | None = field(
        default_factory=lambda: {
            "true_positives": [3, 1],
            "false_positives": [1, 0],
            "false_negatives": [1, 3],
        }
    )


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("scene_confusion/city_center/home", 0.3),
        ("scene_confusion/home/city_center", 0.1),
        ("scene_confusion/city_center+home", 0.2),
        ("scene_confusion/home+city_center", 0.2),
        ("scene_confusion/home+office", (0.0 + 0.2) / 2),
        ("scene_recall/office", 0.8),
        ("scene_precision/city_center", 6 / 7),
        ("scene_micro_f", 23 / 30),
        ("event_f/car", 6 / 8),
        ("event_f/object_impact", 2 / 5),
        ("event_micro_f", 8 / 13),
        ("event_macro_f", (6 / 8 + 2 / 5) / 2),
        ("scene_confusion/home/home", None),  # the recall of home goes by that name
        ("scene_confusion/home+garden", None),
        ("scene_confusion/", None),
        ("loss", None),
    ],
)
def test_scores_from_counts_by_hand(metric: str, expected: float | None) -> None:
    assert derived(Counts(), metric) == (None if expected is None else pytest.approx(expected))


def test_without_counts_nothing_is_derived() -> None:
    empty = Counts(scenes=(), events=(), scene_confusion=None, event_counts=None)
    assert derived(empty, "scene_confusion/home+office") is None
    assert derived(empty, "scene_micro_f") is None
    assert derived(empty, "event_micro_f") is None
    assert derived_names([empty]) == []


def test_confusion_with_a_scene_that_never_occurs_is_undefined() -> None:
    counts = Counts(scene_confusion=[[6, 3, 1], [1, 9, 0], [0, 0, 0]])
    assert derived(counts, "scene_confusion/home+office") is None
    assert derived(counts, "scene_confusion/home/office") == 0.0


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[RunRecord]:
    """The nine systems with two seeds each, as load_runs reads them; one run has failed."""
    store = Store(tmp_path_factory.mktemp("store"))
    paper_study(store, 2, unfinished={("grl_s1", 1): State.FAILED})
    return load_runs(store, "paper")


def test_table_3_can_be_rebuilt_from_the_counts(records: list[RunRecord]) -> None:
    """Means over seeds of scores that are worked out from the stored counts alone."""
    rows = compare(records, "paper", "mtl").conditions
    assert len(rows) == 9
    for row in rows:
        runs = [record for record in records if record.run_id in row.run_ids]
        assert len(runs) == (1 if row.name == "grl_s1" else 2)
        for metric in HEADLINE_METRICS:
            values = [value for run in runs if (value := derived(run, metric)) is not None]
            cell = row.metrics[metric]
            if cell is None:
                assert values == []
            else:
                assert cell.summary.mean == pytest.approx(sum(values) / len(values), abs=1e-12)


def test_every_stored_score_follows_from_the_counts(records: list[RunRecord]) -> None:
    for record in records[:3]:
        for metric, value in record.metrics.items():
            assert derived(record, metric) == value, metric


def test_a_stored_score_wins(records: list[RunRecord]) -> None:
    mtl = next(record for record in records if record.name == "mtl")
    assert score(mtl, "scene_micro_f") == mtl.metrics["scene_micro_f"]
    assert score(mtl, "scene_confusion/home+office") is not None


def test_derived_scores_filter_sort_and_compare_by_name(records: list[RunRecord]) -> None:
    metric = "scene_confusion/home+office"
    confused = select(records, f"{metric} > 0.2")
    assert {run.name for run in confused} == {"grl_s2", "fake_scene"}
    assert sort_runs(records, f"-{metric}")[0].name in ("grl_s2", "fake_scene")
    table = compare(records, "paper", "mtl", [metric])
    assert [row.name for row in table.conditions if row.metrics[metric] is None] == ["single_sed"]
    with pytest.raises(ConfigError, match=r"did you mean 'scene_confusion/home\+office'"):
        compare(records, "paper", "mtl", ["scene_confusion/home+ofice"])


def test_derived_scores_do_not_crowd_what_is_listed(records: list[RunRecord]) -> None:
    assert not [name for name in tidy_columns(records) if name.startswith("scene_confusion")]
    assert "scene_confusion/home+office" in known_names(records)
    assert len(frame(records)) == 18


def test_a_run_that_has_not_finished_has_no_counts(records: list[RunRecord]) -> None:
    (failed,) = [record for record in records if record.state is State.FAILED]
    assert (failed.scenes, failed.scene_confusion, failed.event_counts) == ((), None, None)
    assert failed.values.get("scene_confusion/home+office") is None


def test_a_study_of_two_hundred_runs_loads_and_compares_quickly(tmp_path: Path) -> None:
    """With room for a busy machine; the time is nearly all reading files."""
    import time

    store = Store(tmp_path)
    paper_study(store, 22, epochs=1)
    start = time.perf_counter()
    compare(load_runs(store, "paper"), "paper", "mtl")
    assert time.perf_counter() - start < 1.5
