"""Experiments that somebody else logged to MLflow, read as a table."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ablate.ground.errors import DataError
from ablate.tracking.address import VARIABLE
from ablate.tracking.foreign import read_experiment


@pytest.fixture
def foreign(tmp_path: Path, empty_database: Path) -> str:
    """The address of a database with an experiment "digits": three finished runs and a failed one."""
    uri = f"sqlite:///{shutil.copy(empty_database, tmp_path / 'theirs.db')}"
    client = MlflowClient(uri)
    experiment = client.create_experiment("digits", str(tmp_path / "theirs"))
    for index, (lr, seed) in enumerate([("0.1", "0"), ("0.1", "1"), ("0.01", "0"), ("0.01", "1")]):
        run = client.create_run(experiment, 1000 + index, {"team": "blue"}, f"run-{index}").info.run_id
        client.log_param(run, "lr", lr)
        client.log_param(run, "seed", seed)
        client.log_param(run, "size", "3")
        for step in range(3):
            client.log_metric(run, "accuracy", 0.5 + index / 100 + step / 10, step=step)
        client.log_metric(run, "size", 7.0)
        client.set_terminated(run, "FAILED" if index == 3 else "FINISHED", 5500 + index)
    return uri


def test_finished_runs_are_rows_of_params_metrics_and_tags(foreign: str) -> None:
    sheet = read_experiment("mlflow:digits", foreign)
    assert sheet.name == "mlflow:digits"
    assert sheet.columns == ("lr", "seed", "params.size", "accuracy", "metrics.size", "team")
    assert [dict(line.cells) for line in sheet.lines] == [
        {
            "lr": lr,
            "seed": seed,
            "params.size": "3",
            "accuracy": pytest.approx(accuracy),
            "metrics.size": 7.0,
            "team": "blue",
        }
        for lr, seed, accuracy in [("0.1", "0", 0.7), ("0.1", "1", 0.71), ("0.01", "0", 0.72)]
    ]
    assert [line.seconds for line in sheet.lines] == [4.5] * 3
    assert sheet.lines[0].place.startswith("run run-0 (")


def test_runs_that_have_not_finished_are_named(foreign: str) -> None:
    (note,) = read_experiment("mlflow:digits", foreign).notes
    assert note.startswith("run run-3 (")
    assert note.endswith("left out: failed, not finished")


def test_an_experiment_is_found_by_its_id(foreign: str) -> None:
    assert read_experiment("mlflow:1", foreign).name == "mlflow:digits"


def test_an_unknown_experiment_is_refused_with_the_nearest_one(foreign: str) -> None:
    with pytest.raises(DataError, match=r"no experiment 'digit' in MLflow at .*; did you mean 'digits'"):
        read_experiment("mlflow:digit", foreign)


def test_an_experiment_without_finished_runs_is_refused(foreign: str) -> None:
    with pytest.raises(DataError, match="experiment 'Default' has no finished run"):
        read_experiment("mlflow:Default", foreign)


def test_an_experiment_in_the_bin_is_not_read(foreign: str) -> None:
    MlflowClient(foreign).delete_experiment("1")
    with pytest.raises(DataError, match=r"no experiment 'digits' in .*it is in MLflow's bin"):
        read_experiment("mlflow:digits", foreign)


def test_the_address_is_that_of_the_environment(foreign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, foreign)
    assert len(read_experiment("mlflow:digits").lines) == 3


def test_without_an_address_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"where is MLflow[?] .* with --tracking-uri"):
        read_experiment("mlflow:digits")


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file; name MLflow's database"):
        read_experiment("mlflow:digits", f"sqlite:///{tmp_path / 'absent.db'}")
    assert not (tmp_path / "absent.db").exists()


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://127.0.0.1:9", "cannot be read"),
        ("nowhere", "no folder of MLflow's runs"),
        ("ftp://host/x", "cannot be read"),
    ],
)
def test_an_address_without_mlflow_is_refused_with_a_sentence(
    uri: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message):
        read_experiment("mlflow:digits", uri)


def test_a_file_that_is_no_database_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("these are notes\n" * 100)
    with pytest.raises(DataError, match=r"notes.db cannot be read"):
        read_experiment("mlflow:digits", f"sqlite:///{tmp_path / 'notes.db'}")


def test_the_folders_of_an_older_mlflow_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = str(tmp_path / "mlruns")
    client = MlflowClient(uri)
    run = client.create_run(client.create_experiment("old"), 0).info.run_id
    client.log_param(run, "lr", "0.1")
    client.log_metric(run, "accuracy", 0.5)
    client.set_terminated(run)
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    (line,) = read_experiment("mlflow:old", uri).lines
    assert dict(line.cells) == {"lr": "0.1", "accuracy": 0.5}
