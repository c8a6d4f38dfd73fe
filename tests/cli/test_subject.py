"""``ablate subject``: a module to start from, and the check of one."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ablate.cli.subject import subject
from ablate.ground.errors import ConfigError, DataError
from ablate.subject.module import open_module

app = typer.Typer()
app.command()(subject)


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return " ".join(result.stdout.split())


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    path = tmp_path / "my-leaves.py"
    run("--init", path)
    return path


def edited(path: Path, part: str, instead: str) -> Path:
    text = path.read_text()
    assert part in text
    path.write_text(text.replace(part, instead))
    return path


def test_a_starter_is_short_and_a_subject_named_after_its_file(starter: Path) -> None:
    assert len(starter.read_text().splitlines()) <= 40
    assert open_module(starter).name == "my_leaves"


def test_a_starter_is_as_clean_as_what_it_is_an_example_of(starter: Path) -> None:
    for words in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *words, "--isolated", "--line-length", "110", str(starter)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_nothing_is_overwritten(starter: Path, tmp_path: Path) -> None:
    edited(starter, "300", "400")
    with pytest.raises(ConfigError, match=r"my-leaves\.py: is there already; choose another name"):
        run("--init", starter)
    assert "400" in starter.read_text()
    with pytest.raises(ConfigError, match="a Python module's name ends with"):
        run("--init", tmp_path / "leaves")
    with pytest.raises(ConfigError, match="cannot be written"):
        run("--init", tmp_path / "nowhere/leaves.py")


@pytest.mark.parametrize("arguments", [[], ["--init", "a.py", "--check", "b.py"]])
def test_one_thing_is_asked_for(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"say --init FILE\.py for a module to start from, or --check"):
        run(*arguments)


def test_a_check_shows_what_the_module_says_and_what_a_run_of_it_gives(starter: Path) -> None:
    text = run("--check", starter, "--set", "epochs=6", "--set", "rate=1")
    for part in (
        "Subject 'my_leaves' of",
        "momentum 0.9 share of a step that the next one repeats",
        "accuracy higher %",
        "Training one run with rate=1, momentum=0.9, epochs=6, seed=0 on cpu ...",
        "6 epochs, with curves of error.",
        "Interrupted after 3 of 6 epochs and resumed, it gives the same numbers to the bit.",
        f"Next: ablate grid --subject {starter} --levels rate=0.5,0.25 --levels momentum=0.9,0.45",
    ):
        assert part in text
    assert "Never read" not in text


def test_what_is_never_read_is_told(starter: Path) -> None:
    edited(starter, "config.momentum", "0.9")
    assert "Never read: momentum." in run("--check", starter)


def test_a_run_that_forgets_part_of_its_state_is_told(starter: Path) -> None:
    edited(starter, "dict.update", "lambda self, state: self.update(weights=state['weights'])")
    text = run("--check", starter, code=1)
    assert (
        "Interrupted after 10 of 20 epochs and resumed, it gives other numbers: error of epoch 12 is" in text
    )
    assert "Give all that changes while it trains to run.epochs(n, save=...)" in text


@pytest.mark.parametrize(
    ("part", "instead", "words"),
    [
        (", save=model", "", "It saves nothing, so an interrupted run starts over"),
        ("run.epochs(config.epochs, save=model)", "range(1)", "an interrupted run starts over"),
        ("run.epochs(config.epochs, save=model)", "range(4)", "It does not stop when it is asked to"),
    ],
)
def test_what_an_interruption_costs_is_told(starter: Path, part: str, instead: str, words: str) -> None:
    edited(starter, part, instead)
    assert words in run("--check", starter)


def test_a_run_that_fails_is_told_with_what_it_printed(starter: Path) -> None:
    edited(
        starter,
        "    right = ",
        "    print('at the end of my wits')\n    raise KeyError('right')\n    right = ",
    )
    text = run("--check", starter, code=1)
    assert "at the end of my wits" in text
    assert "line 34" in text
    assert text.endswith("The run failed: KeyError: 'right'")


def test_what_it_returns_is_checked(starter: Path) -> None:
    edited(starter, "Scores(accuracy=", "Scores(acuracy=")
    text = run("--check", starter, code=1)
    assert "The run failed: train returned metric 'acuracy', which is not declared; did you mean" in text


def test_profiles_factors_and_all_else_are_shown(starter: Path) -> None:
    edited(
        starter,
        "metrics=[accuracy]",
        "metrics=[accuracy], factors=[ablate.Factor('lr', 'rate', (0.1, 0.2))], "
        "profiles={'quick': {'epochs': 2}}",
    )
    edited(
        starter, "right.mean()", "right.mean(), sure=ablate.Matrix('ab', [[1, 2], [3, 4]]), facts={'n': 3}"
    )
    text = run("--check", starter, "--set", "lr=0.3")
    for part in (
        "lr rate 0.1, 0.2 never",
        "quick epochs=2",
        "Profile quick is used where none is named.",
        "rate=0.3, momentum=0.9, epochs=2",
        "Beside: sure (2 labels), n=3.",
        "--factors lr",
    ):
        assert part in text


def test_bad_words_are_sentences(starter: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown setting 'rat'; did you mean 'rate'"):
        run("--check", starter, "--set", "rat=1")
    with pytest.raises(ConfigError, match="rate = '-1': input should be greater than 0"):
        run("--check", starter, "--set", "rate=-1")
    with pytest.raises(DataError, match="no such folder"):
        run("--check", starter, "--data", tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no such file"):
        run("--check", tmp_path / "nowhere.py")


def test_data_are_handed_to_the_training(starter: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").write_text("")
    edited(starter, "right.mean()", "right.mean(), facts={'files': len(list(run.data.iterdir()))}")
    assert "files=1" in run("--check", starter, "--data", tmp_path / "data")
