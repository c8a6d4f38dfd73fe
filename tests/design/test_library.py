"""Which file the name of a study finds: the user's own, else one that comes with ablate."""

from pathlib import Path

import pytest

from ablate.design.library import OWN, available, find_study, hides_packaged, listing, packaged
from ablate.ground.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]
STUDY = "[conditions]\nmtl = {}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    OWN.mkdir()
    return tmp_path


def write(path: str, text: str = STUDY) -> Path:
    Path(path).write_text(text)
    return Path(path)


def test_the_package_holds_the_studies_of_the_repository() -> None:
    ours = {file.name: file.read_bytes() for file in (REPOSITORY / "experiments").glob("*")}
    theirs = {file.name: file.read_bytes() for file in packaged().glob("*")}
    assert len(ours) >= 4
    assert theirs == ours, "copy them: cp experiments/*.toml ablate/mtl/experiments/"


def test_the_nearest_file_of_a_name_is_found() -> None:
    assert find_study("paper") == find_study("paper.toml") == packaged() / "paper.toml"
    assert write("experiments/paper.toml") == find_study("paper") == find_study("paper.toml")
    assert write("paper.toml") == find_study("paper") == find_study("paper.toml")
    assert find_study("experiments/paper.toml") == Path("experiments/paper.toml")
    assert find_study("lambda") == packaged() / "lambda.toml"
    assert find_study(str(packaged() / "alpha.toml")) == packaged() / "alpha.toml"


def test_a_folder_of_the_name_is_no_study() -> None:
    Path("paper").mkdir()
    Path("lambda.toml").mkdir()
    assert find_study("paper") == packaged() / "paper.toml"
    assert find_study("lambda") == packaged() / "lambda.toml"


@pytest.mark.parametrize("name", ["../experiments/paper", "./paper", "", "PAPER"])
def test_only_a_name_finds_a_study_of_the_package(name: str) -> None:
    with pytest.raises(ConfigError, match="no study file"):
        find_study(name)


def test_the_list_tells_where_each_study_comes_from() -> None:
    write("experiments/paper.toml")
    write("mine.toml")
    write("pyproject.toml", "[project]\n")
    write("broken.toml", "[")
    write("experiments/broken_too.toml", "[")
    assert listing().splitlines()[1:] == [
        "  alpha       comes with ablate",
        "  broken_too  experiments/broken_too.toml",
        "  controls    comes with ablate",
        "  lambda      comes with ablate",
        "  mine        mine.toml",
        "  paper       experiments/paper.toml",
    ]
    assert all(find_study(name) == path for name, path in available().items())


@pytest.mark.parametrize(("name", "meant"), [("papre", "paper"), ("experiments/lamda.toml", "lambda")])
def test_an_unknown_name_is_refused_with_the_nearest_and_all(name: str, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_study(name)
    (problem,) = caught.value.problems
    assert problem.startswith(f"no study file '{name}'; did you mean '{meant}'? There are these")
    assert problem.endswith("  paper     comes with ablate")


def test_a_file_that_hides_another_study_of_ablate_is_noticed() -> None:
    assert hides_packaged(write("paper.toml"))
    assert not hides_packaged(write("mine.toml"))
    assert not hides_packaged(write("paper.toml", (packaged() / "paper.toml").read_text()))
