"""``ablate report``: the file, the pictures beside it, and the copy in MLflow."""

import shutil
from pathlib import Path

import pytest
import typer
from mlflow import MlflowClient
from typer.testing import CliRunner, Result

from ablate.cli.report import report
from ablate.ground.errors import ConfigError
from ablate.record.store import Store
from ablate.tracking import Tracker
from tests.analysis.studies import paper_study

app = typer.Typer()
app.command()(report)


@pytest.fixture(scope="module")
def made_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    from ablate.tracking.client import Client

    store = Store(tmp_path_factory.mktemp("made") / "store")
    paper_study(store, seeds=2, systems=("mtl", "grl_s1"))
    Client.open(f"sqlite:///{store.database}")
    return store


@pytest.fixture
def store(made_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(made_store.root, tmp_path / "store")
    return Store(tmp_path / "store")


def ablate_report(store: Store, *arguments: object) -> Result:
    command = [*map(str, arguments), "--store", str(store.root)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_the_report_is_one_file(store: Store, tmp_path: Path) -> None:
    result = ablate_report(store, "paper", "-o", tmp_path / "page.html", "--no-mlflow")
    assert result.stdout == f"wrote {tmp_path / 'page.html'}\n"
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_without_a_name_it_is_called_after_the_study(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ablate_report(store, "--no-mlflow")
    assert (tmp_path / "paper-report.html").is_file()


def test_pictures_are_written_for_use_elsewhere(store: Store, tmp_path: Path) -> None:
    ablate_report(store, "-o", tmp_path / "r.html", "--figures", tmp_path / "figures", "--no-mlflow")
    names = {file.name for file in (tmp_path / "figures").iterdir()}
    assert {"differences.svg", "differences.png", "scene_confusion.svg", "learning.png"} <= names


def test_a_file_that_cannot_be_written_is_an_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--output .*nowhere.r.html: cannot be written \(No such file"):
        ablate_report(store, "-o", tmp_path / "nowhere" / "r.html", "--no-mlflow")


def test_mlflow_holds_the_latest_report_once_and_apart_from_the_runs(store: Store, tmp_path: Path) -> None:
    tracker = Tracker(store, "paper")
    tracker.ship_all(store.study_runs("paper"))
    for _ in range(2):
        ablate_report(store, "-o", tmp_path / "r.html")
    client = MlflowClient(tracker.uri)
    experiment = client.get_experiment_by_name("paper")
    runs = client.search_runs([experiment.experiment_id])
    (shown,) = [run for run in runs if run.data.tags.get("ablate.kind") == "report"]
    assert len(runs) == 5
    assert (shown.info.run_name, shown.info.status) == ("report", "FINISHED")
    assert (shown.data.params, shown.data.metrics) == ({}, {})
    folder = client.download_artifacts(shown.info.run_id, "", str(tmp_path))
    assert (Path(folder) / "report.html").read_text() == (tmp_path / "r.html").read_text()
    assert tracker.ship_all(store.study_runs("paper")).current == 4


def test_a_server_that_is_away_is_a_warning(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    result = ablate_report(store, "-o", tmp_path / "r.html")
    assert (tmp_path / "r.html").is_file()
    assert "the report is not in MLflow: MLflow at http://127.0.0.1:9" in result.stderr
