"""``ablate import`` as a user types it, on a real store and real experiments of MLflow."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ablate.record.store import Store
from tests.command import ablate, answer
from tests.command import output_of as here

TABLE = """lr,dropout,seed,accuracy,loss
0.1,0,0,0.81,1.2
0.1,0,1,0.83,1.1
0.1,0,2,0.82,1.3
0.01,0,0,0.71,1.5
0.01,0,1,0.74,1.4
0.01,0,2,0.72,1.6
"""
TOLD = ["--factors", "lr,dropout", "--metric", "accuracy:max", "--metric", "loss:min", "--unit", "accuracy=%"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "results.csv"
    file.write_text(TABLE)
    return file


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "store"


@pytest.fixture
def shown_store(store: Path, empty_database: Path) -> Path:
    """The store, whose MLflow database is there already."""
    store.mkdir()
    shutil.copy(empty_database, store / "mlflow.db")
    return store


def failing(*arguments: object, store: Path, code: int = 2) -> tuple[str, str]:
    """What a command that must end with ``code`` prints, and says of what is wrong."""
    output, errors = answer(*arguments, store=store, code=code)
    assert "Traceback" not in errors
    return output, errors


def test_a_table_becomes_a_study_that_is_compared_and_shown_in_mlflow(table: Path, store: Path) -> None:
    output = ablate("import", table, *TOLD, "--baseline", "lr=0.01", store=store)
    assert "results.csv -> study 'results': 6 new runs; 2 conditions" in output
    assert "82.0" in output  # accuracy in per cent
    assert "+9.67" in output  # its difference from the baseline, in points
    assert "ablate report results -o report.html" in output
    client = MlflowClient(f"sqlite:///{store / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("results")
    assert experiment is not None
    shown = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.metrics["accuracy"] for run in shown) == [0.71, 0.72, 0.74, 0.81, 0.82, 0.83]
    assert {run.data.params["lr"] for run in shown} == {"0.1", "0.01"}


def test_everything_that_reads_works_with_imported_runs(table: Path, store: Path, tmp_path: Path) -> None:
    here("import", table, *TOLD, "--baseline", "lr=0.01", "--no-mlflow", store=store)
    comparison = json.loads(here("compare", "results", "--format", "json", store=store))
    assert comparison["baseline"] == "lr=0.01 dropout=0"
    assert "lr=0.1 dropout=0" in here("runs", "results", "--where", "lr = 0.1", store=store)
    assert "finished" in here("status", "results", store=store)
    page = tmp_path / "report.html"
    here("report", "results", "-o", page, store=store)
    assert "lr=0.1 dropout=0" in page.read_text()
    run_id = Store(store).study_runs("results")[0].run_id
    assert "results.csv" in here("show", run_id, store=store)
    here("doctor", store=store)
    assert "6 runs sent" in here("sync", "results", store=store)


def test_the_same_command_again_adds_nothing_and_a_new_row_is_added(table: Path, store: Path) -> None:
    here("import", table, *TOLD, "--no-mlflow", store=store)
    assert "0 new runs, 6 there already" in here("import", table, *TOLD, "--no-mlflow", store=store)
    table.write_text(TABLE + "0.01,0,3,0.75,1.5\n")
    output = here("import", table, *TOLD, "--no-mlflow", store=store)
    assert "1 new run, 6 there already" in output
    assert "Note: lr=0.1 dropout=0: seed 3 missing, which other conditions have." in output


def test_a_changed_number_is_refused_until_it_is_said_to_replace(table: Path, shown_store: Path) -> None:
    here("import", table, *TOLD, store=shown_store)
    table.write_text(TABLE.replace("0.81", "0.80"))
    _, errors = failing("import", table, *TOLD, store=shown_store)
    assert "results.csv, row 2: lr=0.1 dropout=0 seed=0: accuracy is 0.8 and was 0.81" in errors
    assert "--replace takes those of the table" in errors
    output = here("import", table, *TOLD, "--replace", store=shown_store)
    assert "0 new runs, 1 replaced, 5 there already" in output
    client = MlflowClient(f"sqlite:///{shown_store / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("results")
    assert experiment is not None
    shown = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.metrics["accuracy"] for run in shown) == [0.71, 0.72, 0.74, 0.80, 0.82, 0.83]


def test_without_roles_the_columns_are_described_and_nothing_is_written(table: Path, store: Path) -> None:
    output, errors = failing("import", table, store=store)
    assert "results.csv: 6 rows" in output
    assert "--metric accuracy:max" in output
    assert "whole numbers" in output
    assert "say which columns were varied (--factors A,B)" in errors
    assert not store.exists()


def test_bad_cells_are_one_line_each_and_nothing_is_written(table: Path, store: Path) -> None:
    table.write_text(TABLE.replace("0.83", "n/a").replace("0.74", '"0,74"'))
    _, errors = failing("import", table, *TOLD, store=store)
    assert [line.split(":")[1] for line in errors.splitlines()] == [
        " results.csv, row 3",
        " results.csv, row 6",
    ]
    assert not store.exists()


def test_an_imported_study_is_not_trained_further(table: Path, store: Path) -> None:
    here("import", table, *TOLD, "--no-mlflow", store=store)
    _, errors = failing("grid", "--study", "results", "--factors", "shuffle", "--dry-run", store=store)
    assert "results" in errors


def test_an_experiment_of_another_tool_becomes_a_study(
    shown_store: Path, tmp_path: Path, empty_database: Path
) -> None:
    uri = f"sqlite:///{shutil.copy(empty_database, tmp_path / 'theirs.db')}"
    client = MlflowClient(uri)
    experiment = client.create_experiment("digits", str(tmp_path / "theirs"))
    for lr in ("0.1", "0.01"):
        for seed in ("0", "1"):
            run = client.create_run(experiment).info.run_id
            client.log_param(run, "lr", lr)
            client.log_param(run, "random_state", seed)
            client.log_metric(run, "acc", float(lr) + int(seed) / 100)
            client.set_terminated(run)
    told = ["--factors", "lr", "--metric", "acc:max", "--seed", "random_state", "--tracking-uri", uri]
    output = here("import", "mlflow:digits", *told, store=shown_store)
    assert "mlflow:digits -> study 'digits': 4 new runs; 2 conditions" in output
    assert "0 new runs, 4 there already" in here("import", "mlflow:digits", *told, store=shown_store)
    assert len(client.search_runs([experiment])) == 4  # theirs are left alone


def test_an_experiment_on_the_server_where_ours_are_shown_keeps_its_name(
    store: Path, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{shutil.copy(empty_database, tmp_path / 'both.db')}"
    client = MlflowClient(uri)
    experiment = client.create_experiment("digits", str(tmp_path / "theirs"))
    run = client.create_run(experiment).info.run_id
    client.log_param(run, "lr", "0.1")
    client.log_param(run, "seed", "0")
    client.log_metric(run, "acc", 0.5)
    client.set_terminated(run)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    output = here("import", "mlflow:digits", "--factors", "lr", "--metric", "acc", store=store)
    assert "'digits'" in output
    assert len(client.search_runs([experiment])) == 1
    assert len(client.search_experiments(filter_string="name LIKE 'digits%'")) == 2


def test_runs_are_imported_though_mlflow_is_away(
    table: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    output, errors = answer("import", table, *TOLD, store=store)
    assert "6 new runs" in output
    assert "the runs are imported, and `ablate sync` shows them later" in errors


def test_importing_loads_no_torch(table: Path, store: Path) -> None:
    code = (
        "import sys; from ablate.cli.app import app\n"
        f"sys.argv = ['ablate', 'import', {str(table)!r}, *{TOLD!r}, '--no-mlflow']\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', [name for name in ('torch', 'librosa', 'mlflow', 'optuna') if name in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "ABLATE_STORE": str(store)},
    ).stdout
    assert "LOADED []" in output
