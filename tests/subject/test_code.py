"""What a training is made of, and when its digest changes."""

import shutil
from pathlib import Path

import pytest

from ablate.ground.errors import ConfigError
from ablate.subject.code import digest_of, files_of


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A training in ``train.py`` that imports two neighbours, one of them in a package."""
    folder = tmp_path / "project"
    (folder / "nets").mkdir(parents=True)
    (folder / "train.py").write_text("import json, tools\nfrom nets import small\n")
    (folder / "tools.py").write_text("import deep.missing\nRATE = 1\n")
    (folder / "unrelated.py").write_text("1\n")
    (folder / "nets/__init__.py").write_text("")
    (folder / "nets/small.py").write_text("from . import layers\n")
    (folder / "nets/layers.py").write_text("from ..tools import RATE\nimport train\n")
    (folder / "nets/unused.py").write_text("")
    return folder


def test_imported_neighbours_are_part_of_it_however_deep(project: Path) -> None:
    names = {path.relative_to(project).as_posix() for path in files_of(project / "train.py", [])}
    assert names == {"train.py", "tools.py", "nets/__init__.py", "nets/small.py", "nets/layers.py"}


def test_a_digest_has_16_digits_and_does_not_depend_on_the_place(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "deeper/elsewhere"
    shutil.copytree(project, elsewhere)
    digest = digest_of(project / "train.py", [project / "nets"])
    assert digest == digest_of(elsewhere / "train.py", [elsewhere / "nets"])
    assert len(digest) == 16
    assert set(digest) <= set("0123456789abcdef")


@pytest.mark.parametrize("changed", ["train.py", "tools.py", "nets/layers.py"])
def test_a_change_of_any_part_changes_the_digest(project: Path, changed: str) -> None:
    before = digest_of(project / "train.py", [])
    with (project / changed).open("a") as handle:
        handle.write("# more\n")
    assert digest_of(project / "train.py", []) != before


@pytest.mark.parametrize("added", ["unrelated.py", "nets/__pycache__/small.pyc", "nets/.hidden", "notes.txt"])
def test_what_is_no_part_changes_nothing(project: Path, added: str) -> None:
    before = digest_of(project / "train.py", [project / "nets"])
    (project / added).parent.mkdir(exist_ok=True)
    (project / added).write_text("something else")
    assert digest_of(project / "train.py", [project / "nets"]) == before


def test_a_folder_in_use_counts_with_names_and_contents(project: Path) -> None:
    def digest() -> str:
        return digest_of(None, [project / "nets"])

    before = digest()
    (project / "nets/unused.py").rename(project / "nets/renamed.py")
    renamed = digest()
    (project / "nets/renamed.py").write_text("1")
    assert len({before, renamed, digest()}) == 3


def test_files_of_no_python_are_taken_as_they_are(tmp_path: Path) -> None:
    script = tmp_path / "train.sh"
    script.write_text("import tools\n")
    (tmp_path / "tools.py").write_text("")
    assert files_of(script, []) == [script]


def test_a_file_with_a_syntax_error_has_a_digest(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("def (\n")
    assert files_of(tmp_path / "train.py", []) == [tmp_path / "train.py"]


def test_links_that_go_round_end(project: Path) -> None:
    (project / "nets/again").symlink_to(project / "nets", target_is_directory=True)
    assert all("again" not in path.parts for path in files_of(None, [project / "nets"]))


def test_every_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        digest_of(tmp_path / "a.py", [tmp_path / "b", tmp_path / "c"])
    named = [problem.partition(":")[0] for problem in error.value.problems]
    assert named == [str(tmp_path / "a.py"), str(tmp_path / "b"), str(tmp_path / "c")]
