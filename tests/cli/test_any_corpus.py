"""Corpora of other scenes and events, with events alone, and with scenes alone: from labels to a report."""

import shutil
from pathlib import Path

import pytest

from ablate.mtl.data.prepared import prepare
from ablate.record.store import Store
from tests.command import SMALL, answer
from tests.mtl.data import corpora
from tests.mtl.data.folders import write_folder

HERE = ["--launcher", "inline", *SMALL, "--set", "optim.epochs=1"]


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    return folder


def said(*words: object, store: Path) -> str:
    return answer(*words, store=store)[0]


def refused(*words: object, store: Path) -> str:
    return answer(*words, store=store, code=2)[1]


def conditions(output: str) -> list[str]:
    """The conditions in the table of a plan."""
    rows = output[output.index("─\n") + 2 :].split("\n\n")[0].splitlines()
    return [row.split("  ")[0] for row in rows]


def events_only(folder: Path) -> Path:
    rows = ["a.wav\t\t1.0\t2.0\tdog", "b.wav\t\t0.0\t3.0\tbell"]
    prepare(write_folder(folder, rows, ["c.wav\t\t0.5\t1.5\tdog"]), workers=1)
    return folder


def scenes_only(folder: Path) -> Path:
    prepare(write_folder(folder, ["a.wav\tpark", "b.wav\tbus"], ["c.wav\tpark", "d.wav\tbus"]), workers=1)
    return folder


def one_scene(folder: Path) -> Path:
    return write_folder(folder, ["a.wav\tpark\t1.0\t2.0\tdog"], ["c.wav\tpark\t0.5\t1.5\tdog"])


def test_a_corpus_of_ones_own_goes_from_labels_to_a_report(tmp_path: Path, store: Path) -> None:
    source, data, report = corpora.label_tracks(tmp_path / "labels"), tmp_path / "own", tmp_path / "own.html"
    imported = said("data", "import", "audacity", source, data, store=store)
    assert imported.splitlines()[:5] == [
        f"{data}: imported from {source} (label tracks of Audacity)",
        "development: 6 recordings, 6 events, 0.5 min",
        "evaluation: 2 recordings, 2 events, 0.2 min",
        "2 scenes: bakery, forêt",
        "2 event classes: bell, oven",
    ]
    trained = said("grid", "--levels", "grl_pos=none,S1", "--data", data, "--seeds", "1", *HERE, store=store)
    assert "Study grid: 2 conditions x 1 seed = 2 runs on own data" in trained
    (record,) = {frozenset(folder.look()[1]["metrics"]) for folder in Store(store).study_runs("grid")}
    assert {"event_f/bell", "event_f/oven", "scene_f/bakery", "scene_f/forêt"} <= record
    said("report", "grid", "-o", report, store=store)
    assert all(word in report.read_text() for word in ("bakery", "forêt", "bell", "oven"))


def test_events_without_scenes_are_trained_alone(tmp_path: Path, store: Path) -> None:
    data = events_only(tmp_path / "own")
    trained = said(
        "grid",
        "--factors",
        "tasks",
        "--levels",
        "grl_pos=none,E1,S1",
        "--data",
        data,
        "--seeds",
        "2",
        *HERE,
        store=store,
    )
    assert "Study grid: 2 conditions x 2 seeds = 4 runs on own data" in trained
    assert "the data have no scenes: tasks=event in all runs" in trained
    assert "grl_pos=S1 -> baseline, since tasks=both is inert: the data have no scenes" in trained
    metrics = {name for folder in Store(store).study_runs("grid") for name in folder.look()[1]["metrics"]}
    assert {"event_micro_f", "event_f/dog", "event_f/bell"} <= metrics
    assert not [name for name in metrics if name.startswith("scene")]
    for command in (["compare", "grid"], ["effects", "grid"], ["compare", "grid", "--layout", "table3"]):
        shown = said(*command, store=store)
        assert "event" in shown
        assert "scene" not in shown
    said("report", "grid", "-o", tmp_path / "own.html", store=store)
    assert "Event instances" in (tmp_path / "own.html").read_text()


def test_scenes_without_events_are_trained_alone(tmp_path: Path, store: Path) -> None:
    data = scenes_only(tmp_path / "own")
    trained = said(
        "grid", "--levels", "grl_pos=none,E1,S1", "--data", data, "--seeds", "1", *HERE, store=store
    )
    assert "Study grid: 2 conditions x 1 seed = 2 runs on own data" in trained
    assert "the data have no events: tasks=scene in all runs" in trained
    metrics = {name for folder in Store(store).study_runs("grid") for name in folder.look()[1]["metrics"]}
    assert {"scene_micro_f", "scene_f/park"} <= metrics
    assert not [name for name in metrics if name.startswith("event")]


def test_one_scene_is_as_none(tmp_path: Path, store: Path) -> None:
    data = one_scene(tmp_path / "own")
    plan = said("grid", "--factors", "tasks,shuffle", "--data", data, "--dry-run", store=store)
    assert "the data have but one scene, 'park': tasks=event in all runs" in plan
    assert conditions(plan) == ["baseline", "shuffle=event"]


def test_what_the_data_settle_is_in_the_plan_of_every_command(tmp_path: Path, store: Path) -> None:
    data = events_only(tmp_path / "own")
    study = tmp_path / "mine.toml"
    study.write_text('name = "mine"\n[conditions]\nplain = {}\ne1 = {grl_pos = "E1"}\n')
    for command in (["study", study], ["search", "--factors", "grl_pos", "--maximize", "event_micro_f"]):
        plan = said(*command, "--data", data, "--dry-run", store=store)
        assert "the data have no scenes: tasks=event in all runs" in plan


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set", "tasks=scene"], "tasks=scene: the data have no scenes; leave it out, or take other data"),
        (["--set", "labels.without=cat"], "setting 'labels.without': the data have no event class 'cat'"),
    ],
    ids=["a task", "a class"],
)
def test_what_the_data_cannot_do_is_refused(
    tmp_path: Path, store: Path, words: list[str], sentence: str
) -> None:
    data = events_only(tmp_path / "own")
    assert sentence in refused(
        "grid", "--factors", "grl_pos", "--data", data, *words, "--dry-run", store=store
    )


def test_a_study_is_refused_whose_claims_are_of_what_the_data_lack(tmp_path: Path, store: Path) -> None:
    study = tmp_path / "mine.toml"
    study.write_text(
        'name = "mine"\n[conditions]\nplain = {}\ne1 = {grl_pos = "E1"}\n[claims.C1]\ntext = "it helps"\n'
        'metric = "scene_micro_f"\nbetter = "plain"\nworse = ["e1"]\n'
    )
    data = events_only(tmp_path / "own")
    assert (
        f"{study}:7: claims.C1.metric: the data have no scenes, so that no scenes are trained; leave it out, "
        "or take other data" in refused("study", study, "--data", data, "--dry-run", store=store)
    )
    search = ["search", "--factors", "grl_pos", "--maximize", "scene_micro_f", "--data", data, "--dry-run"]
    assert "objective scene_micro_f: the data have no scenes" in refused(*search, store=store)


def test_data_with_nothing_to_learn_are_refused(tmp_path: Path, store: Path) -> None:
    data = write_folder(tmp_path / "own", ["a.wav\tpark"], ["b.wav\tpark"])
    error = refused("grid", "--factors", "grl_pos", "--data", data, "--dry-run", store=store)
    assert "the data have but one scene, 'park' and no events, so that there is nothing to learn" in error
