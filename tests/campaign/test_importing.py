"""Rows become finished runs, once each, and never in silence other ones than before."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ablate.campaign.importing import Imported, import_rows, study_name
from ablate.design.claims import Claim, StudyDetails
from ablate.ground.errors import ConfigError, StoreError, StudyError
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from ablate.subject.interface import Card
from ablate.subject.registry import open_subject
from ablate.subject.results import ResultsSubject
from ablate.subject.settings import Settings

TABLE = """lr,dropout,seed,accuracy,loss
0.1,0,0,0.81,1.2
0.1,0,1,0.83,1.1
0.01,0.5,0,0.71,1.5
0.01,0.5,1,,1.4
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def imported(
    store: Store, text: str = TABLE, study: str = "results", name: str = "results.csv", **told: Any
) -> Imported:
    file = store.root.parent / name
    file.write_text(text)
    metrics = told.pop("metrics", ["accuracy:max"])
    return import_rows(store, study, str(file), ["lr,dropout"], metrics, **told)


def numbers(store: Store, study: str = "results") -> dict[tuple[str | None, int | None], dict[str, Any]]:
    """The metrics of each run by condition and seed."""
    found = {}
    for folder in store.study_runs(study):
        result = folder.result()
        assert folder.status().state is State.FINISHED
        assert result is not None
        found[folder.name, folder.seed] = result["metrics"]
    return found


def test_each_row_is_a_finished_run_with_its_number(store: Store) -> None:
    done = imported(store)
    assert (done.n_new, done.n_same, done.n_replaced, done.n_conditions) == (4, 0, 0, 2)
    assert numbers(store) == {
        ("lr=0.1 dropout=0", 0): {"accuracy": 0.81},
        ("lr=0.1 dropout=0", 1): {"accuracy": 0.83},
        ("lr=0.01 dropout=0.5", 0): {"accuracy": 0.71},
        ("lr=0.01 dropout=0.5", 1): {"accuracy": None},
    }
    assert "row 5: metric 'accuracy' has no value and counts as undefined" in done.notes


def test_a_run_says_where_it_came_from(store: Store) -> None:
    imported(store)
    folder = store.study_runs("results")[0]
    result = folder.result()
    assert result is not None
    assert result["facts"] == {"source": "results.csv", "place": "row 2"}
    run = folder.run()
    assert run.config.flat() == {"lr": 0.1, "dropout": 0, "seed": 0}
    assert (run.dataset.name, run.dataset.path) == ("results.csv", store.root.parent / "results.csv")


def test_the_study_says_that_nothing_can_be_trained_in_it(store: Store) -> None:
    imported(store)
    subject = open_subject(store.study_card("results").spec)
    assert isinstance(subject, ResultsSubject)
    with pytest.raises(ConfigError, match="nothing can be trained"):
        subject.trainer("cpu")


def test_the_same_file_again_adds_and_changes_nothing(store: Store) -> None:
    imported(store)
    before = {file: file.stat().st_mtime_ns for file in store.runs.rglob("*.json")}
    done = imported(store)
    assert (done.n_new, done.n_same, done.n_replaced) == (0, 4, 0)
    assert {file: file.stat().st_mtime_ns for file in store.runs.rglob("*.json")} == before


def test_the_rows_may_move_and_be_written_otherwise(store: Store) -> None:
    imported(store)
    lines = TABLE.replace("0.1,0,1,0.83", "1e-1,0.0,1.0,.83").splitlines()
    done = imported(store, "\n".join([lines[0], *reversed(lines[1:])]))
    assert (done.n_new, done.n_same) == (0, 4)


def test_new_rows_are_added_and_keep_the_identity_of_the_others(store: Store) -> None:
    imported(store)
    before = [folder.run_id for folder in store.study_runs("results")]
    done = imported(store, TABLE + "0.25,none,0,0.9,1\n")
    assert (done.n_new, done.n_same) == (1, 4)
    assert [folder.run_id for folder in store.study_runs("results")][:4] == before


def test_rows_that_are_gone_stay_in_the_study_and_are_noted(store: Store) -> None:
    imported(store)
    done = imported(store, "\n".join(TABLE.splitlines()[:3]))
    assert "2 runs of the study are not in results.csv; they stay in the study" in done.notes
    assert len(store.study_runs("results")) == 4


def test_a_changed_number_is_a_contradiction_that_changes_nothing(store: Store) -> None:
    imported(store)
    changed = TABLE.replace("0.81", "0.82").replace("1,,", "1,0.7,") + "0.25,0,0,0.9,1\n"
    with pytest.raises(StudyError) as caught:
        imported(store, changed)
    assert caught.value.problems == [
        "results.csv, row 2: lr=0.1 dropout=0 seed=0: accuracy is 0.82 and was 0.81",
        "results.csv, row 5: lr=0.01 dropout=0.5 seed=1: accuracy is 0.7 and was undefined",
        "study 'results' has other numbers for these rows, and nothing was imported; --replace takes "
        "those of the table, --study NAME makes another study of it",
    ]
    assert len(numbers(store)) == 4
    assert numbers(store)["lr=0.1 dropout=0", 0] == {"accuracy": 0.81}


def test_replace_takes_the_numbers_of_the_table(store: Store) -> None:
    imported(store)
    before = {folder.run_id: folder.status().attempt for folder in store.study_runs("results")}
    done = imported(store, TABLE.replace("0.81", "0.82"), replace=True)
    assert (done.n_new, done.n_same, done.n_replaced) == (0, 3, 1)
    assert numbers(store)["lr=0.1 dropout=0", 0] == {"accuracy": 0.82}
    after = {folder.run_id: folder.status().attempt for folder in store.study_runs("results")}
    assert sorted(after[run] - before[run] for run in before) == [0, 0, 0, 1]  # MLflow is told by it


def test_another_study_has_runs_of_its_own(store: Store) -> None:
    imported(store)
    done = imported(store, TABLE.replace("0.81", "0.82"), study="second")
    assert done.n_new == 4
    assert numbers(store)["lr=0.1 dropout=0", 0] == {"accuracy": 0.81}
    assert numbers(store, "second")["lr=0.1 dropout=0", 0] == {"accuracy": 0.82}


def test_another_metric_is_added_when_told_and_the_first_one_stays(store: Store) -> None:
    imported(store)
    with pytest.raises(StudyError, match=r"loss is 1\.2 and was not imported before"):
        imported(store, metrics=["loss:min"])
    done = imported(store, metrics=["loss:min"], replace=True)
    assert done.n_replaced == 4
    assert numbers(store)["lr=0.1 dropout=0", 0] == {"accuracy": 0.81, "loss": 1.2}
    assert [metric.name for metric in store.study_card("results").declared] == ["loss", "accuracy"]
    assert imported(store).n_same == 4


def test_a_metric_keeps_its_unit_and_never_changes_its_direction(store: Store) -> None:
    imported(store, metrics=["accuracy", "loss:min"], units=["accuracy=%"])
    imported(store)
    assert [(m.name, m.unit) for m in store.study_card("results").declared] == [
        ("accuracy", "%"),
        ("loss", ""),
    ]
    with pytest.raises(StudyError, match="metric 'loss' was imported as loss:min, not loss:max"):
        imported(store, metrics=["loss"])


def test_other_factors_or_seeds_make_another_study(store: Store) -> None:
    imported(store)
    file = str(store.root.parent / "results.csv")
    with pytest.raises(StudyError, match="was imported with the factors lr, dropout, not lr; name the same"):
        import_rows(store, "results", file, ["lr"], ["accuracy"], no_seed=True)
    with pytest.raises(StudyError, match="was imported with the seeds of column 'seed'"):
        import_rows(store, "results", file, ["lr,dropout"], ["accuracy"], no_seed=True)


def test_a_study_that_was_trained_here_is_left_alone(store: Store) -> None:
    store.add_to_study("results", [], "ablate grid", card=Card("mine"), base=Settings({"seed": 0}))
    with pytest.raises(StudyError, match="has runs of 'mine' that were trained here; import into another"):
        imported(store)
    assert store.study_card("results").name == "mine"


@pytest.mark.parametrize("wanted", ["lr=0.1 dropout=0", "dropout=0.0,lr=1e-1", "lr=0.1"])
def test_a_baseline_is_named_or_described(store: Store, wanted: str) -> None:
    done = imported(store, baseline=wanted)
    assert done.baseline == "lr=0.1 dropout=0"
    assert store.study_details("results").baseline == "lr=0.1 dropout=0"
    assert imported(store).baseline == "lr=0.1 dropout=0"


@pytest.mark.parametrize("wanted", ["lr=1", "nothing", "optimizer=adam"])
def test_an_unknown_baseline_is_refused_before_anything_is_written(store: Store, wanted: str) -> None:
    with pytest.raises(ConfigError, match=f"--baseline '{wanted}': no such condition"):
        imported(store, baseline=wanted)
    assert not store.root.exists()


def test_a_baseline_that_is_several_is_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match="2 conditions are so"):
        imported(store, TABLE + "0.1,0.5,0,0.9,1\n", baseline="lr=0.1")


def test_the_details_of_a_study_file_are_kept(store: Store) -> None:
    claim = Claim("c", "more helps", "accuracy", ("lr=0.1 dropout=0",), ("lr=0.01 dropout=0.5",))
    imported(store, details=StudyDetails(question="Does it?", claims=(claim,)))
    imported(store, baseline="lr=0.1")
    details = store.study_details("results")
    assert (details.question, details.claims, details.baseline) == ("Does it?", (claim,), "lr=0.1 dropout=0")


def test_a_damaged_run_is_written_again(store: Store) -> None:
    imported(store)
    folder = store.study_runs("results")[0]
    file = folder.path / "result.json"
    file.write_text(file.read_text().replace("0.81", "0.99"))
    assert folder.status().state is State.DAMAGED
    assert imported(store).n_new == 1
    assert numbers(store)["lr=0.1 dropout=0", 0] == {"accuracy": 0.81}


def _import_until_killed(store: Store, text: str, n_runs: int) -> None:
    """As ``kill -9`` does it, in the middle of writing the run after ``n_runs``."""
    write = RunFolder.write_result
    left = [n_runs]

    def dying(self: RunFolder, result: dict[str, Any]) -> None:
        write(self, result)
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    RunFolder.write_result = dying  # type: ignore[method-assign]
    imported(store, text, replace=True)


@pytest.mark.parametrize("has_earlier", [False, True], ids=["new runs", "replaced runs"])
def test_what_was_killed_halfway_is_completed_by_the_same_command(store: Store, has_earlier: bool) -> None:
    changed = TABLE.replace("0.8", "0.9")
    if has_earlier:
        imported(store)
    process = multiprocessing.get_context("fork").Process(
        target=_import_until_killed, args=(store, changed, 1)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    states = [folder.status().state for folder in store.study_runs("results")]
    assert State.INTERRUPTED in states
    imported(store, changed, replace=True)
    assert numbers(store)["lr=0.1 dropout=0", 0] == {"accuracy": 0.91}
    assert numbers(store)["lr=0.1 dropout=0", 1] == {"accuracy": 0.93}
    assert len(numbers(store)) == 4


def test_two_imports_at_once_do_not_mix(store: Store) -> None:
    imported(store)
    folder = store.study_runs("results")[0]
    with folder.claim(), pytest.raises(StoreError, match="is being imported by another process"):
        imported(store, TABLE.replace("0.81", "0.82"), replace=True)


def test_a_study_is_called_as_its_source_is() -> None:
    assert study_name("runs/My results (2).csv") == "My_results_2"
    assert study_name("mlflow:digits/first") == "digits_first"
    assert study_name("°.csv") == "imported"
