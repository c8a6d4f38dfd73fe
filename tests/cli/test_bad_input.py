"""Bad input is one clear sentence a problem on standard error, and exit code 2; never a traceback."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.cli.app import main

Run = Callable[..., list[str]]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The problems that a command names; it must end with exit code 2 and print nothing else."""
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))

    def run(*arguments: object) -> list[str]:
        monkeypatch.setattr("sys.argv", ["ablate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        output, errors = capsys.readouterr()
        assert ended.value.code == 2
        assert output == ""
        assert not (tmp_path / "store" / "runs").exists()
        assert "Traceback" not in errors
        return [line.removeprefix("ablate: ") for line in errors.splitlines() if line.startswith("ablate: ")]

    return run


def test_unknown_factors_and_levels_are_told_together(refused: Run) -> None:
    assert refused("grid", "--factors", "grl_po", "--levels", "lambda=-1", "--levels", "shuffle=scen") == [
        "unknown factor 'grl_po'; did you mean 'grl_pos'?",
        "factor 'lambda': grl.strength = '-1': input should be greater than or equal to 0",
        "factor 'shuffle': labels.shuffle = 'scen': input should be 'none', 'scene', 'event' or 'both'; "
        "did you mean 'scene'?",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["grid"], "name what to vary"),
        (["grid", "--levels", "lambda"], "write FACTOR=LEVEL"),
        (["grid", "--factors", "grl_pos", "--set", "optim.epochs=none"], "optim.epochs = 'none'"),
        (["grid", "--factors", "grl_pos", "--set", "optm.epochs=1"], "did you mean 'optim.epochs'"),
        (["grid", "--factors", "grl_pos", "--profile", "quik"], "did you mean 'quick'"),
        (["grid", "--factors", "grl_pos", "--device", "tpu"], "no such device here"),
        (["grid", "--factors", "grl_pos", "--study", "a/b"], "study name 'a/b'"),
        (["grid", "one", "--factors", "grl_pos", "--study", "two"], "two studies are named"),
        (["grid", "--factors", "grl_pos", "--plugin", "missing.py"], "no such Python file"),
        (["grid", "--factors", "grl_pos", "--store", "/proc/store"], "cannot be written"),
        (["grid", "--factors", "grl_pos", "--data", "nowhere"], "nowhere: no such folder"),
        (["status"], "holds no study yet"),
        (["runs", "any"], "no study 'any'"),
        (["compare", "any"], "no study 'any'"),
        (["ui", "any"], "no study 'any'"),
        (["sync", "any"], "no study 'any'"),
        (["data", "check", "x" * 300], "longer than the name of a file can be"),
        (["factors", "--plugin", "missing.py"], "no such Python file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments_are_refused(refused: Run, arguments: list[str], message: str) -> None:
    (problem,) = refused(*arguments)
    assert message in problem


@pytest.mark.parametrize("part", ["", "runs", "studies"])
def test_a_store_that_is_a_file_is_refused(refused: Run, tmp_path: Path, part: str) -> None:
    store = tmp_path / "other" / part
    store.parent.mkdir(parents=True, exist_ok=True)
    store.write_text("")
    root = tmp_path / "other"
    (problem,) = refused("grid", "--factors", "grl_pos", "--store", root, "--dry-run")
    assert f"{store} is a file" in problem


@pytest.mark.parametrize("text", ["", "{}", "[]"])
def test_a_damaged_study_is_refused(refused: Run, tmp_path: Path, text: str) -> None:
    studies = tmp_path / "store" / "studies"
    studies.mkdir(parents=True)
    (studies / "mine.json").write_text(text)
    for command in (["status", "mine"], ["grid", "mine", "--factors", "grl_pos"]):
        (problem,) = refused(*command)
        assert "mine.json" in problem


def test_an_empty_data_folder_is_refused(refused: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (problem,) = refused("grid", "--factors", "grl_pos", "--data", tmp_path / "empty")
    assert "neither prepared data nor annotations" in problem


def test_bad_annotations_and_missing_audio_are_told_together(refused: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "labels.json").write_text('{"scenes": ["home"], "events": ["car", "dishes"]}')
    (data / "meta_development.txt").write_text("a.wav\thome\t0\t1\tdishs\nb.wav\thme\t0\t1\tcar\n")
    (data / "meta_evaluation.txt").write_text("c.wav\thome\t2\t1\tcar\nd.wav\thome\n")
    problems = "\n".join(refused("grid", "--factors", "grl_pos", "--data", data))
    assert "meta_development.txt:1" in problems
    assert "did you mean 'dishes'" in problems
    assert "meta_development.txt:2" in problems
    assert "meta_evaluation.txt:1" in problems
    assert "d.wav" in problems


@pytest.mark.parametrize("option", [[], ["--dry-run"], ["--calibrate"]])
def test_classes_that_the_data_lack_are_told_before_anything_is_trained(
    refused: Run, tmp_path: Path, tiny_data: Path, option: list[str]
) -> None:
    data = shutil.copytree(tiny_data, tmp_path / "data", ignore=shutil.ignore_patterns("prepared"))
    (data / "labels.json").write_text(
        '{"scenes": ["city_center", "home", "office", "residential_area"], "events": ["car", "dog barking"]}'
    )
    has = "the event classes of the data are car, dog_barking; name these, or take other data"
    levels = ["--levels", "without=none,cra,fan", "--set", "labels.without=zebra"]
    assert refused("grid", *levels, "--data", data, *option) == [
        "setting 'labels.without': the data have no event class 'zebra'",
        "factor 'without': the data have no event class 'cra'; did you mean 'car'?",
        "factor 'without': the data have no event class 'fan'",
        has,
    ]
    file = tmp_path / "mine.toml"
    file.write_text(
        'name = "mine"\n[conditions]\na = {}\nb = { without = "car" }\n[claims.C1]\ntext = "t"\n'
        'metric = "event_f/dog_barks"\nbetter = "a"\nworse = "b"\n'
    )
    assert refused("study", file, "--data", data, *option) == [
        f"{file}:7: claims.C1.metric: the data have no event class 'dog_barks'; did you mean 'dog_barking'?",
        has,
    ]
    assert not (data / "prepared").exists()


def test_a_wrong_option_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["ablate", "grid", "--factor", "grl_pos"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--factors" in capsys.readouterr().err
