"""Folds put together: counts are added up, seeds are what n counts, and nothing is left out in silence.

Worked by hand: fold 1 has TP 8, FP 0, FN 0, so F = 1; fold 2 has TP 1, FP 6, FN 2, so F = 2/10. Their mean is
0.6; of the sums TP 9, FP 6, FN 2 it is 18/26.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from ablate.analysis import query, tables, verdicts
from ablate.analysis.claims import judge
from ablate.analysis.compare import compare, group_runs
from ablate.analysis.effects import effects
from ablate.analysis.evidence import learning
from ablate.analysis.folds import pooled
from ablate.analysis.noise import noise_of_groups
from ablate.analysis.query import RunRecord
from ablate.design.claims import Claim, StudyDetails
from ablate.ground.errors import StudyError
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.analysis.folded import CARD, finish, fold_run, plan, records

FIRST, SECOND = {"x": (5, 0, 0), "y": (3, 0, 0)}, {"z": (1, 6, 2)}
MATRIX = {"confusion": {"rows": ["a", "b"], "columns": ["a", "b"], "counts": [[1, 2], [3, 4]]}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def one_seed(store: Store) -> RunRecord:
    (record,) = pooled(records(store))
    return record


def two_folds(store: Store, seed: int = 0, name: str = "baseline", lr: float = 0.1) -> None:
    runs = [fold_run(name, seed, fold, lr=lr) for fold in (1, 2)]
    for run, counts in zip(runs, (FIRST, SECOND), strict=True):
        finish(store, run, counts, metrics={"loss": float(seed + (run.fold or 0))})
    plan(store, *runs)


# ------------------------------------------------------------------------------------------------ the scores


def test_what_follows_from_counts_is_the_score_of_their_sums(store: Store) -> None:
    two_folds(store)
    record = one_seed(store)
    assert [run.metrics["f"] for run in records(store)] == [1.0, 0.2]
    assert record.metrics["f"] == pytest.approx(18 / 26)
    assert (record.state, record.seed, record.fold) == (State.FINISHED, 0, None)


def test_anything_else_is_the_mean_over_folds_and_known_to_be(store: Store) -> None:
    two_folds(store)
    record = one_seed(store)
    assert record.metrics["loss"] == 1.5
    assert record.averaged == ("loss",)


def test_without_counts_of_items_all_is_a_mean(store: Store) -> None:
    runs = [fold_run("baseline", 0, fold) for fold in (1, 2)]
    finish(store, runs[0], metrics={"f": 1.0})
    finish(store, runs[1], metrics={"f": 0.2})
    plan(store, *runs)
    record = one_seed(store)
    assert record.metrics == {"f": pytest.approx(0.6)}
    assert record.averaged == ("f",)
    assert record.items is None


def test_items_that_two_folds_have_are_not_counted_twice(store: Store) -> None:
    runs = [fold_run("baseline", 0, fold) for fold in (1, 2)]
    finish(store, runs[0], FIRST)
    finish(store, runs[1], {"x": (1, 6, 2)})
    plan(store, *runs)
    record = one_seed(store)
    assert record.items is None
    assert record.averaged == ("f",)


def test_a_mean_lacks_what_a_fold_lacks(store: Store) -> None:
    runs = [fold_run("baseline", 0, fold) for fold in (1, 2)]
    finish(store, runs[0], metrics={"loss": 1.0, "auc": None})
    finish(store, runs[1], metrics={"loss": 2.0, "auc": 0.5})
    plan(store, *runs)
    assert one_seed(store).metrics == {"loss": 1.5, "auc": None}


def test_the_items_are_those_of_all_folds(store: Store) -> None:
    two_folds(store)
    items = one_seed(store).items
    assert items is not None
    assert (list(items.names), items.kind) == (["x", "y", "z"], "clip")


def test_matrices_are_added_up_and_tables_left_to_the_runs(store: Store) -> None:
    runs = [fold_run("baseline", 0, fold) for fold in (1, 2)]
    table = {"t": {"columns": ["class", "TP"], "rows": [["a", 1]]}}
    for run in runs:
        finish(store, run, FIRST if run.fold == 1 else SECOND, matrices=MATRIX, tables=table)
    plan(store, *runs)
    record = one_seed(store)
    assert record.matrices["confusion"]["counts"] == [[2, 4], [6, 8]]
    assert record.values["confusion/a/b"] == pytest.approx(4 / 6)
    assert record.tables == {}
    assert record.folds[0].tables == table


def test_facts_are_those_that_all_folds_share_and_times_add_up(store: Store) -> None:
    runs = [fold_run("baseline", 0, fold) for fold in (1, 2)]
    finish(store, runs[0], FIRST, facts={"weights": 7, "step": 3}, duration_s=2.0, unread=["lr", "width"])
    finish(store, runs[1], SECOND, facts={"weights": 7, "step": 4}, duration_s=3.0, unread=["lr"])
    plan(store, *runs)
    record = one_seed(store)
    assert (record.facts, record.duration_s, record.unread) == ({"weights": 7}, 5.0, ("lr",))
    assert record.run_id == f"{runs[0].run_id}+{runs[1].run_id}"


def test_curves_of_a_seed_are_means_over_its_folds(store: Store) -> None:
    two_folds(store)
    folders = {folder.run_id: folder for folder in store.study_runs("s")}
    curves = learning(group_runs(records(store)), folders)["baseline"].curves["loss"]
    assert curves.tolist() == [[1.5]]


# ------------------------------------------------------------------------------------------ what is missing


@pytest.mark.parametrize("state", [State.FAILED, State.INTERRUPTED, State.PENDING])
def test_a_seed_without_a_fold_is_a_missing_seed(store: Store, state: State) -> None:
    two_folds(store, seed=0)
    done, lacking = fold_run("baseline", 1, 1), fold_run("baseline", 1, 2)
    finish(store, done, FIRST)
    folder = store.folder(lacking.run_id)
    folder.create(lacking)
    if state is not State.PENDING:
        folder.begin()
        folder.end(state, "no luck")
    plan(store, done, lacking)
    (group,) = group_runs(records(store))
    assert [seed.seed for seed in group.finished()] == [0]
    assert [(seed.seed, seed.state) for seed in group.missing()] == [(1, state)]
    assert group.scores("f") == {0: pytest.approx(18 / 26)}
    assert group.runs[1].metrics == {}
    assert group.runs[1].cause == f"fold 2 {state}" + ("" if state is State.PENDING else ": no luck")


def test_what_failed_is_told_before_what_waits(store: Store) -> None:
    failed, waits = fold_run("baseline", 0, 1), fold_run("baseline", 0, 2)
    folder = store.folder(failed.run_id)
    folder.create(failed)
    folder.begin()
    folder.end(State.FAILED, "no memory")
    store.folder(waits.run_id).create(waits)
    plan(store, failed, waits)
    assert (one_seed(store).state, one_seed(store).cause) == (State.FAILED, "fold 1 failed: no memory")


def test_a_fold_whose_folder_is_gone_damages_its_seed(store: Store) -> None:
    two_folds(store)
    folder = store.folder(fold_run("baseline", 0, 2).run_id).path
    folder.rename(folder.with_name("away"))
    found = records(store)
    assert [(run.fold, run.state) for run in found] == [(1, State.FINISHED), (2, State.DAMAGED)]
    assert found[1].config["fold"] == 2
    assert one_seed(store).cause == "fold 2 damaged: its folder is gone"


def test_a_fold_that_is_no_run_of_the_study_damages_its_seed(store: Store) -> None:
    run = fold_run("baseline", 0, 2)
    finish(store, run, SECOND)
    plan(store, run)
    assert (one_seed(store).state, one_seed(store).cause) == (State.DAMAGED, "fold 1: nothing is known of it")


def test_damaged_counts_damage_their_seed_and_no_other(store: Store) -> None:
    two_folds(store, seed=0)
    two_folds(store, seed=1)
    file = store.folder(fold_run("baseline", 1, 2).run_id).path / "items.npz"
    file.write_bytes(b"x" * file.stat().st_size)
    states = [record.state for record in pooled(records(store))]
    assert states == [State.FINISHED, State.DAMAGED]


# --------------------------------------------------------------------------------------------- what n counts


def test_n_counts_seeds_wherever_it_is_counted(store: Store) -> None:
    for seed in range(3):
        two_folds(store, seed)
        two_folds(store, seed, name="lr=0.2", lr=0.2)
    found = records(store)
    assert len(found) == 12
    comparison = compare(found, "s")
    assert [(row.name, row.seeds) for row in comparison.conditions] == [
        ("baseline", (0, 1, 2)),
        ("lr=0.2", (0, 1, 2)),
    ]
    cell = comparison.conditions[1].metrics["f"]
    assert cell is not None
    assert cell.difference is not None
    assert (cell.summary.n, cell.difference.n) == (3, 3)
    claim = Claim("C1", "t", "loss", ("lr=0.2",), ("baseline",))
    (verdict,) = judge(found, StudyDetails(claims=(claim,)))
    assert verdict.comparisons[0].seeds == (0, 1, 2)
    (effect,) = effects(found, "s", None)
    assert {metric.seeds for metric in effect.metrics} == {(0, 1, 2)}
    groups = [group for group in group_runs(found) if group.name == "baseline"]
    (noise,) = noise_of_groups(found, groups, query.units_of(found), ["loss"])["baseline"]
    assert (noise.n, noise.mean) == (3, pytest.approx(2.5))


def test_putting_together_what_is_together_changes_nothing(store: Store) -> None:
    two_folds(store)
    together = pooled(records(store))
    assert pooled(together) == together


def test_a_run_without_folds_stays_as_it_is(store: Store) -> None:
    two_folds(store)
    alone = replace(records(store)[0], run_id="0" * 16, fold=None, n_folds=0, condition_id="another")
    assert pooled([alone]) == [alone]


# --------------------------------------------------------------------------------------------- what is said


def test_a_table_says_what_was_added_up_and_what_averaged(store: Store) -> None:
    two_folds(store)
    two_folds(store, name="lr=0.2", lr=0.2)
    how = "Each seed is 2 trainings, each without one of 2 folds of the training data and scored on it. "
    found = records(store)

    def said(*metrics: str) -> str:
        (line,) = [line for line in tables.notes(compare(found, "s", metrics=metrics)) if "folds" in line]
        return line

    assert said("f") == how + "A score is that of the counts of all folds."
    assert said("loss") == how + "A score is the mean over the folds."
    assert said("f", "loss") == how + (
        "A score is that of the counts of all folds, but for loss: the mean over the folds."
    )
    claim = Claim("C1", "t", "f", ("lr=0.2",), ("baseline",))
    assert said("f") in verdicts.notes(judge(found, StudyDetails(claims=(claim,))))


def test_folds_that_the_training_has_not_read_are_suspect(store: Store) -> None:
    runs = [fold_run("baseline", 0, fold) for fold in (1, 2)]
    for run in runs:
        finish(store, run, FIRST if run.fold == 1 else SECOND, unread=["fold"])
    plan(store, *runs)
    assert compare(records(store), "s").suspects == (
        "The training never read fold in baseline: nothing can have been held out there.",
    )


def test_json_says_it_too(store: Store) -> None:
    two_folds(store)
    assert '"folds": {\n  "n": 2,\n  "averaged": [\n   "loss"\n  ]' in tables.json_text(
        compare(records(store), "s")
    )


def test_a_study_has_one_number_of_folds(store: Store) -> None:
    two_folds(store)
    other = fold_run("baseline", 0, 1, n_folds=3)
    with pytest.raises(
        StudyError, match=r"study 's' has 2 folds, and this command asks for 3 folds.*--folds 2"
    ):
        plan(store, other)
    assert len(records(store)) == 2
    assert store.study_card("s") == CARD
