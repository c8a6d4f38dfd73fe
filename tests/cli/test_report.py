"""``ablate report``: the file, the pictures beside it, and the copy in MLflow."""

import json
import re
import shutil
from pathlib import Path

import pytest
import typer
from mlflow import MlflowClient
from mlflow.entities import Run
from typer.testing import CliRunner, Result

from ablate.cli.report import report
from ablate.ground.errors import ConfigError
from ablate.record.store import Store
from ablate.tracking import Tracker
from ablate.tracking.summary import Summary
from tests.analysis.studies import paper_study
from tests.command import ablate_here
from tests.fabricate import add_runs, make_run

NOTE = "mlflow.note.content"

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
    folder = Path(client.download_artifacts(shown.info.run_id, "", str(tmp_path)))
    assert (folder / "report.html").read_text() == (tmp_path / "r.html").read_text()
    assert tracker.ship_all(store.study_runs("paper")).current == 4
    trainings = client.search_runs([experiment.experiment_id], "params.condition != ''")
    assert len(trainings) == 4  # what a filter by any param leaves


def summary_of(store: Store, study: str = "paper") -> tuple[Run, dict[str, bytes]]:
    """The run that holds a study's summary, and its files."""
    client = MlflowClient(f"sqlite:///{store.database}")
    experiment = client.get_experiment_by_name(study)
    (shown,) = client.search_runs([experiment.experiment_id], "tags.`ablate.kind` = 'report'")
    folder = store.artifacts / study / shown.info.run_id / "artifacts"
    return shown, {file.name: file.read_bytes() for file in folder.iterdir()}


def test_mlflow_holds_the_comparison_with_all_digits_and_rounded(store: Store, tmp_path: Path) -> None:
    ablate_report(store, "-o", tmp_path / "r.html")
    shown, files = summary_of(store)
    assert set(files) == {"report.html", "comparison.csv", "comparison.json", "differences.png"}
    assert files["comparison.csv"].decode() == ablate_here("compare", "--format", "csv", store=store)
    table = json.loads(files["comparison.json"])
    assert table["columns"][:4] == ["condition", "n", "scene micro F (%)", "scene micro F (%): Δ [95 % CI]"]
    assert [row[0] for row in table["data"]] == ["mtl", "grl_s1"]
    assert re.fullmatch(r"\d\d\.\d\d ± \d+\.\d\d", table["data"][0][2])
    listed = json.loads(shown.data.tags["mlflow.loggedArtifacts"])
    assert listed == [{"path": "comparison.json", "type": "table"}]
    assert files["differences.png"].startswith(b"\x89PNG")


def test_its_description_says_how_fresh_it_is(store: Store, tmp_path: Path) -> None:
    ablate_report(store, "-o", tmp_path / "r.html")
    before = summary_of(store)[0]
    assert "when 4 of 4 runs had finished" in before.data.tags[NOTE]
    add_runs(store, "paper", [make_run("late", 7)])
    store.folder(make_run("late", 7).run_id).create(make_run("late", 7))
    ablate_report(store, "-o", tmp_path / "r.html")
    after = summary_of(store)[0]
    assert after.info.run_id == before.info.run_id
    assert "when 4 of 5 runs had finished" in after.data.tags[NOTE]


def test_pictures_that_are_no_longer_drawn_go_and_a_user_s_words_stay(store: Store, tmp_path: Path) -> None:
    ablate_report(store, "-o", tmp_path / "r.html")
    client, shown = MlflowClient(f"sqlite:///{store.database}"), summary_of(store)[0]
    client.set_tag(shown.info.run_id, NOTE, "for the talk")
    client.log_text(shown.info.run_id, "a user's", "notes.txt")
    Tracker(store, "paper").ship_summary(Summary({"report.html": b"new"}, (), "ours"))
    after, files = summary_of(store)
    assert files == {"report.html": b"new", "notes.txt": b"a user's"}
    assert after.data.tags[NOTE] == "for the talk"


def test_a_server_that_is_away_is_a_warning(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    result = ablate_report(store, "-o", tmp_path / "r.html")
    assert (tmp_path / "r.html").is_file()
    assert "the report is not in MLflow: MLflow at http://127.0.0.1:9" in result.stderr
