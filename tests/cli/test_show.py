import json
import math
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ablate.cli.diff import diff
from ablate.cli.show import show
from ablate.ground.errors import ConfigError, StudyError
from ablate.mtl.remarks import TITLE
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.analysis.studies import paper_study, system_run

app = typer.Typer()
app.command()(show)
app.command()(diff)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("show") / "store")
    paper_study(store, seeds=2, unfinished={("grl_e1", 1): State.FAILED, ("grl_e2", 1): State.PENDING})
    return store


def run(store: Store, *arguments: object) -> str:
    command = [*map(str, arguments), "--store", str(store.root)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_run_is_found_by_its_id_by_the_beginning_of_it_and_by_name_and_seed(store: Store) -> None:
    run_id = system_run("grl_s1", 1).run_id
    for asked in (run_id, run_id[:10], "grl_s1 seed=1"):
        assert json.loads(run(store, "show", asked, "--format", "json"))["run_id"] == run_id


def test_json_has_everything(store: Store) -> None:
    content = json.loads(run(store, "show", "grl_s1 seed=1", "paper", "--format", "json"))
    assert content["condition"]["grl_pos"] == "S1"
    assert content["config"]["grl.position"] == "S1"
    assert content["remarks"] == {
        TITLE: {f"epoch {epoch}": "cosine -1, norm below / above 1" for epoch in (1, 12)}
    }
    assert [row["epoch"] for row in content["history_tail"]] == [8, 9, 10, 11, 12]
    assert sum(map(sum, (row[1:] for row in content["matrices"]["scene_confusion"]["data"]))) == 440
    assert len(content["tables"]["events"]["data"]) == 25
    assert (content["facts"], content["unread"]) == ({"n_parameters": 12345}, [])
    assert Path(content["files"]["log"]).is_file()
    assert content["mlflow"] is None


def test_the_page_has_scores_classes_and_files(store: Store) -> None:
    text = run(store, "show", "grl_s1 seed=1")
    for part in ("scene micro F", "keyboard typing", "true \\ predicted", "cosine -1", "optim.lr", "log.txt"):
        assert part in text


def test_a_task_that_is_not_trained_has_no_tables(store: Store) -> None:
    text = run(store, "show", "single_sed seed=0")
    assert "scene confusion" not in text
    assert "gradient reversal" not in text
    assert "event micro F" in text


def test_a_failed_run_says_why_and_a_pending_one_has_no_scores(store: Store) -> None:
    assert "failed: CUDA out of memory" in run(store, "show", "grl_e1 seed=1")
    pending = json.loads(run(store, "show", "grl_e2 seed=1", "--format", "json"))
    assert (pending["state"], pending["metrics"], pending["history_tail"]) == ("pending", {}, [])


def test_what_is_no_number_is_null_in_json(tmp_path: Path) -> None:
    store = Store(tmp_path)
    paper_study(store, seeds=1, systems=("grl_s1",), epochs=1, unfinished={("grl_s1", 0): State.FAILED})
    (folder,) = store.study_runs("paper")
    folder.append_history({"epoch": 2, "loss": math.inf, "grl_ratio": math.nan, "seconds": 1.0})
    content = json.loads(run(store, "show", "grl_s1 seed=0", "--format", "json"))
    assert content["history_tail"][-1] == {"epoch": 2, "loss": None, "grl_ratio": None, "seconds": 1.0}


def test_pictures_are_drawn_on_demand(store: Store, tmp_path: Path) -> None:
    text = run(store, "show", "mtl seed=0", "--pictures", tmp_path / "pictures")
    files = sorted(file.name.partition("-")[2] for file in (tmp_path / "pictures").iterdir())
    assert files == ["curves.png", "curves.svg", "scene_confusion.png", "scene_confusion.svg"]
    assert str(tmp_path / "pictures") in text


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ("ffffffffffff", r"no run 'ffffffffffff' in study 'paper'; `ablate runs` lists them"),
        ("grl_s1", r"'grl_s1' is a condition; name one of its runs with 'grl_s1 seed=0'"),
        ("grl_s9 seed=0", r"no condition 'grl_s9'; did you mean 'grl_s"),
        ("mtl seed=7", r"has no seed 7; it has 0, 1"),
        ("", r"is the beginning of 18 run ids: .* and 10 more"),
    ],
)
def test_a_run_that_cannot_be_told_is_an_error_that_helps(store: Store, asked: str, problem: str) -> None:
    with pytest.raises(StudyError, match=problem):
        run(store, "show", asked)


def test_an_empty_store_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="holds no study yet"):
        run(Store(tmp_path / "none"), "show", "abc")


def test_diff_has_the_settings_that_differ_and_the_change_of_each_metric(store: Store) -> None:
    content = json.loads(run(store, "diff", "mtl seed=0", "grl_s2 seed=0", "--format", "json"))
    assert content["settings"] == {"grl.position": ["none", "S2"]}
    score = content["metrics"]["scene_micro_f"]
    assert score["difference"] == pytest.approx(score["values"][1] - score["values"][0])
    assert score["difference"] < -0.4


def test_diff_prints_both_sides(store: Store) -> None:
    lines = run(store, "diff", "mtl seed=0", "single_sed seed=1").splitlines()
    assert lines[0].startswith("A  mtl seed=0")
    assert ["tasks", "both", "event"] in [line.split() for line in lines]
    assert ["seed", "0", "1"] in [line.split() for line in lines]
    scene = next(line for line in lines if line.startswith("scene micro F"))
    assert scene.split()[-1] == "-"  # no score, so no difference


def test_a_run_does_not_differ_from_itself(store: Store) -> None:
    assert "The two are one run." in run(store, "diff", "mtl seed=0", "mtl seed=0")


def test_two_studies_named_is_an_error(store: Store) -> None:
    with pytest.raises(ConfigError, match="two studies are named"):
        run(store, "show", "mtl seed=0", "paper", "--study", "other")
