"""``ablate study`` from the outside."""

import json
import os
from pathlib import Path

import pytest

from ablate.cli.app import main
from ablate.design.library import packaged
from ablate.design.studyfile import read_study_file
from ablate.record.store import Store
from tests.command import SMALL, ablate, output_of

STUDY = """\
name = "mine"
question = "What is fan worth?"
seeds = 1
baseline = "mtl"
[conditions]
mtl = {}
no_fan = { without = "fan" }
[claims.C1]
text = "t"
metric = "scene_micro_f"
better = "mtl"
worse = "no_fan"
[published]
source = "a paper"
[published.table]
metrics = ["scene_micro_f"]
mtl = [50]
"""


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What a command that must end with exit code 2 says."""
    monkeypatch.setattr("sys.argv", ["ablate", "study", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    output, errors = capsys.readouterr()
    assert (ended.value.code, output) == (2, "")
    return errors


def test_a_study_trains_once_grows_by_seeds_and_keeps_its_names(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("experiments").mkdir()
    Path("experiments/fan.toml").write_text(STUDY)
    store = tmp_path / "store"
    data = os.path.relpath(tiny_data)
    words = ["study", "fan", "--data", data, *SMALL, "--workers", "1"]
    first = ablate(*words, store=store)
    assert first.startswith("What is fan worth?")
    assert "Study mine: 2 conditions x 1 seed = 2 runs" in first
    assert "ablate claims mine" in first

    more = output_of(*words, "--seeds", "2", store=store)
    assert "2 pending, 2 finished" in more
    runs = {(run.name, run.run().seed) for run in Store(store).study_runs("mine")}
    assert runs == {("mtl", 0), ("mtl", 1), ("no_fan", 0), ("no_fan", 1)}
    details = Store(store).study_details("mine")
    assert details == read_study_file(Path("experiments/fan.toml")).details

    for run in Store(store).study_runs("mine"):
        recorded = run.run().dataset.path  # which is read from other folders too, as by `ablate doctor`
        assert recorded.is_absolute()
        assert recorded.samefile(tiny_data / "prepared")
        result = run.result()
        assert result is not None
        classes = [row[0] for row in result["tables"]["events"]["rows"]]
        assert ("fan" in classes) == (run.name == "mtl")
        assert ("event_f/fan" in result["metrics"]) == (run.name == "mtl")
        if run.name == "no_fan":  # what is scored without fan is all that is scored
            assert result["metrics"]["event_micro_f_without_fan"] == result["metrics"]["event_micro_f"]
            assert result["metrics"]["event_macro_f_without_fan"] == result["metrics"]["event_macro_f"]

    # The same training under another name is not trained again.
    grid = ["grid", "--levels", "without=none,fan", "--data", tiny_data, "--seeds", "2", *SMALL]
    plan = json.loads(output_of(*grid, "--dry-run", "--format", "json", store=store))
    assert [run["name"] for run in plan["runs"]] == ["baseline", "without=fan"] * 2
    assert plan["counts"] == {"finished": 4}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("experiments/paper.toml", "Study file: {}, not the study of that name that comes with ablate\n"),
        ("experiments/mine.toml", "Study file: {}\n"),
        ("mine.toml", "Study file: {}\n"),
    ],
)
def test_the_command_says_which_file_a_name_has_found(
    path: str,
    said: str,
    tmp_path: Path,
    tiny_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("experiments").mkdir()
    Path(path).write_text(STUDY)
    for name, expected in ((Path(path).stem, said.format(path)), (path, "")):
        monkeypatch.setattr("sys.argv", ["ablate", "study", name, "--data", str(tiny_data), "--dry-run"])
        with pytest.raises(SystemExit):
            main()
        assert capsys.readouterr().err == expected


@pytest.mark.parametrize("name", ["paper", "lambda", "alpha", "controls"])
def test_a_dry_run_plans_a_shipped_study_and_writes_nothing(
    name: str,
    tmp_path: Path,
    tiny_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "store"
    arguments = [
        "study",
        name,
        "--data",
        str(tiny_data),
        "--dry-run",
        "--format",
        "json",
        "--store",
        str(store),
    ]
    monkeypatch.setattr("sys.argv", ["ablate", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    output, errors = capsys.readouterr()
    assert errors == f"Study file: {packaged() / name}.toml, which comes with ablate\n"
    plan = json.loads(output)
    assert plan["study"] == name
    assert len(plan["runs"]) == plan["n_conditions"] * len(plan["seeds"])
    assert not store.exists()


def test_the_plan_shows_what_is_excluded_and_why(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.toml"
    file.write_text(
        'name = "x"\n[factors]\nlambda = [0, 1, 10]\ngrl_pos = ["S1", "E1"]\n'
        '[[exclude]]\nlevels = { lambda = 10, grl_pos = "E1" }\nreason = "diverges"\n'
    )
    arguments = [
        "study",
        str(file),
        "--data",
        str(tiny_data),
        "--dry-run",
        "--store",
        str(tmp_path / "store"),
    ]
    monkeypatch.setattr("sys.argv", ["ablate", *arguments])
    with pytest.raises(SystemExit):
        main()
    assert "1 combination excluded: diverges\n    grl_pos=E1 lambda=10\n" in capsys.readouterr().out


def test_init_writes_a_study_that_can_be_planned_and_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["ablate", "study", "--init", "mine"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "ablate study experiments/mine.toml --dry-run" in capsys.readouterr().out
    path = Path("experiments/mine.toml")
    before = path.read_text()
    assert read_study_file(path).plan().name == "mine"
    assert "exists already" in refused(capsys, monkeypatch, "--init", "mine")
    assert path.read_text() == before


def test_what_cannot_be_a_study_file_is_one_clear_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("experiments").mkdir()
    Path("experiments/paper.toml").write_text('name = "paper"\n[condition]\na = {}\n')
    assert "no study file 'papre'; did you mean 'paper'?" in refused(capsys, monkeypatch, "papre")
    assert refused(capsys, monkeypatch).splitlines() == [
        "ablate: name a study. There are these, and --init NAME writes a new one:",
        "  alpha     comes with ablate",
        "  controls  comes with ablate",
        "  lambda    comes with ablate",
        "  paper     experiments/paper.toml",
    ]
    assert refused(capsys, monkeypatch, "paper").splitlines() == [
        "ablate: experiments/paper.toml:1: nothing is varied: list factors in [factors], or named conditions "
        "in [conditions]",
        "ablate: experiments/paper.toml:2: unknown key 'condition'; did you mean 'conditions'?",
    ]
    assert "leave out 'paper'" in refused(capsys, monkeypatch, "paper", "--init", "x")
    assert "study name 'a/b'" in refused(capsys, monkeypatch, "--init", "a/b")
    assert not Path("experiments/a").exists()


def test_init_says_when_experiments_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("experiments").write_text("")
    assert "experiments/x.toml cannot be written" in refused(capsys, monkeypatch, "--init", "x")
