"""Scores that no run stores, and those that it does, from the raw counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.analysis.cells import derived, derived_names, score
from ablate.analysis.compare import compare
from ablate.analysis.query import (
    RunRecord,
    frame,
    known_names,
    load_runs,
    sort_runs,
    tidy_columns,
)
from ablate.analysis.where import select
from ablate.ground.errors import ConfigError
from ablate.mtl.metrics.counts import EventCounts
from ablate.mtl.metrics.scores import event_scores, scene_scores
from ablate.record.rundir import State
from ablate.record.store import Store
from ablate.subject.scores import Matrix
from tests.analysis.studies import paper_study

CITY, HOME, OFFICE = [6, 3, 1], [1, 9, 0], [0, 2, 8]
# Of ten packets each, how many three sorters put into two bins or on the floor.
SORTED = Matrix(
    ["left", "right", "(old) belt"], [[7, 2, 1], [0, 10, 0], [5, 5, 0]], ["left", "right", "floor"]
)


def matrices(**named: Matrix) -> dict[str, Any]:
    return {name: matrix.to_json() for name, matrix in named.items()}


@dataclass(frozen=True)
class Counts:
    """Ten clips of each scene, rows the true one; and a matrix whose columns are not its rows."""

    matrices: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: matrices(
            scene_confusion=Matrix(["city center", "home", "office"], [CITY, HOME, OFFICE]), sorted=SORTED
        )
    )


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("scene_confusion/city_center/home", 0.3),
        ("scene_confusion/home/city_center", 0.1),
        ("scene_confusion/city_center+home", 0.2),
        ("scene_confusion/home+city_center", 0.2),
        ("scene_confusion/home+office", (0.0 + 0.2) / 2),
        ("scene_confusion_recall/city_center", 0.6),
        ("scene_confusion_recall/office", 0.8),
        ("scene_confusion/home/home", None),  # the recall of home goes by that name
        ("scene_confusion/home+garden", None),
        ("scene_confusion_recall/garden", None),
        ("scene_confusion/", None),
        ("scene_confusion", None),
        ("loss", None),
        # Columns that are no rows have shares too; only what is both has a recall or makes a pair.
        ("sorted/left/right", 0.2),
        ("sorted/left/floor", 0.1),
        ("sorted/old_belt/left", 0.5),
        ("sorted/left+right", (0.2 + 0.0) / 2),
        ("sorted_recall/left", 0.7),
        ("sorted_recall/right", 1.0),
        ("sorted_recall/old_belt", None),
        ("sorted_recall/floor", None),
        ("sorted/floor/left", None),
        ("sorted/left+floor", None),
        ("sorted/old_belt+left", None),
    ],
)
def test_scores_from_counts_by_hand(metric: str, expected: float | None) -> None:
    assert derived(Counts(), metric) == (None if expected is None else pytest.approx(expected))


def test_every_name_that_is_listed_has_a_value_and_no_other() -> None:
    names = derived_names([Counts(), Counts()])
    assert len(names) == len(set(names))
    assert [name for name in names if derived(Counts(), name) is None] == []
    # Of a square matrix of 3: 6 cells off the diagonal, each pair in either order, and 3 recalls.
    assert sum(name.startswith("scene_confusion") for name in names) == 6 + 6 + 3
    # Of left, right, old belt x left, right, floor: 7 cells of unlike names, one pair in either order,
    # 2 recalls.
    assert sum(name.startswith("sorted") for name in names) == 7 + 2 + 2


def test_a_stored_score_of_a_derived_name_is_not_worked_out_anew() -> None:
    @dataclass(frozen=True)
    class Stored(Counts):
        metrics: Mapping[str, float | None] = field(
            default_factory=lambda: {
                "scene_confusion_recall/office": 0.1,
                "scene_confusion/home/office": None,
            }
        )

    assert score(Stored(), "scene_confusion_recall/office") == 0.1
    assert score(Stored(), "scene_confusion/home/office") is None
    assert score(Stored(), "scene_confusion_recall/home") == 0.9


def test_without_counts_nothing_is_derived() -> None:
    empty = Counts(matrices={})
    assert derived(empty, "scene_confusion/home+office") is None
    assert derived(empty, "scene_confusion_recall/office") is None
    assert derived_names([empty]) == []


def test_shares_of_a_class_that_never_occurs_are_undefined() -> None:
    counts = Counts(matrices(scene_confusion=Matrix(["city", "home", "office"], [CITY, HOME, [0, 0, 0]])))
    assert derived(counts, "scene_confusion/home+office") is None
    assert derived(counts, "scene_confusion_recall/office") is None
    assert derived(counts, "scene_confusion/home/office") == 0.0


def test_classes_that_cannot_be_told_apart_by_name_have_no_scores() -> None:
    counts = Counts(matrices(m=Matrix(["a b", "a_b", "c", "?"], np.eye(4, dtype=int))))
    assert derived_names([counts]) == ["m_recall/c"]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[RunRecord]:
    """The nine systems with two seeds each, as load_runs reads them; one run has failed."""
    store = Store(tmp_path_factory.mktemp("store"))
    paper_study(store, 2, unfinished={("grl_s1", 1): State.FAILED})
    return load_runs(store, "paper")


def scores_from_counts(record: RunRecord) -> dict[str, float | None]:
    """Every score of the paper's network from a record's matrix and table alone."""
    found: dict[str, float | None] = {}
    if "scene_confusion" in record.matrices:
        matrix = record.matrices["scene_confusion"]
        found |= scene_scores(np.array(matrix["counts"]), matrix["rows"])
    if "events" in record.tables:
        rows = record.tables["events"]["rows"]
        counts = (np.array([row[place] for row in rows]) for place in (4, 5, 6))
        found |= event_scores(EventCounts(*counts), [row[0] for row in rows])
    return found


def test_table_3_can_be_rebuilt_from_the_counts(records: list[RunRecord]) -> None:
    """Means over seeds of scores that are worked out from the stored counts alone."""
    table = compare(records, "paper", "mtl")
    assert table.metrics == ("scene_micro_f", "scene_macro_f", "event_micro_f", "event_macro_f")
    assert len(table.conditions) == 9
    for row in table.conditions:
        runs = [record for record in records if record.run_id in row.run_ids]
        assert len(runs) == (1 if row.name == "grl_s1" else 2)
        for metric in table.metrics:
            values = [value for run in runs if (value := scores_from_counts(run).get(metric)) is not None]
            cell = row.metrics[metric]
            if cell is None:
                assert values == []
            else:
                assert cell.summary.mean == pytest.approx(sum(values) / len(values), abs=1e-12)


def test_every_stored_score_follows_from_the_counts(records: list[RunRecord]) -> None:
    for record in records[:3]:
        assert record.metrics == scores_from_counts(record)


def test_the_recall_of_a_row_is_that_of_its_scene(records: list[RunRecord]) -> None:
    mtl = next(record for record in records if record.name == "mtl")
    assert score(mtl, "scene_confusion_recall/office") == mtl.metrics["scene_recall/office"]


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
    assert (failed.matrices, failed.tables, failed.facts, failed.unread) == ({}, {}, {}, ())
    assert failed.values.get("scene_confusion/home+office") is None


def test_a_study_of_two_hundred_runs_loads_and_compares_quickly(tmp_path: Path) -> None:
    """With room for a busy machine; the time is nearly all reading files."""
    import time

    store = Store(tmp_path)
    paper_study(store, 22, epochs=1)
    start = time.perf_counter()
    compare(load_runs(store, "paper"), "paper", "mtl")
    assert time.perf_counter() - start < 1.5
