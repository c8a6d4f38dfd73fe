"""What a training is made of, and when its digest changes."""

import os
import shutil
from pathlib import Path

import pytest

from ablate.ground.errors import ConfigError
from ablate.subject.code import PlannedCode, digest_of, files_of


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


def test_a_linked_folder_counts_as_if_it_were_there(project: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/more.py").write_text("")
    (project / "nets/linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert project / "nets/linked/more.py" in files_of(None, [project / "nets"])


@pytest.mark.parametrize("line", ["import nets.small", "from nets.small import x", "from nets import small"])
def test_every_form_of_import_finds_a_neighbour(project: Path, line: str) -> None:
    (project / "train.py").write_text(f"{line}\n")
    names = {path.relative_to(project).as_posix() for path in files_of(project / "train.py", [])}
    assert names == {"train.py", "tools.py", "nets/__init__.py", "nets/small.py", "nets/layers.py"}


def test_a_package_finds_modules_of_the_root_by_their_full_names(project: Path) -> None:
    (project / "train.py").write_text("import nets.small\n")
    (project / "nets/small.py").write_text("from tools import RATE\n")
    assert project / "tools.py" in files_of(project / "train.py", [])


def test_ablate_is_nobodys_neighbour(project: Path) -> None:
    (project / "train.py").write_text("import ablate\n")
    (project / "ablate.py").write_text("")
    assert files_of(project / "train.py", []) == [project / "train.py"]


def test_a_file_in_use_counts_with_name_and_content(project: Path) -> None:
    notes = project / "notes.txt"
    notes.write_text("1")
    assert files_of(None, [notes]) == [notes]
    before = digest_of(None, [notes])
    notes.write_text("2")
    changed = digest_of(None, [notes])
    assert len({before, changed, digest_of(None, [notes.rename(project / "words.txt")])}) == 3


def test_a_digest_is_stable(tmp_path: Path) -> None:
    """It is part of every run id: another one makes every user's finished runs new."""
    (tmp_path / "train.py").write_text("import tools\n")
    (tmp_path / "tools.py").write_text("RATE = 1\n")
    assert digest_of(tmp_path / "train.py", []) == "b5b9d121418ff0fe"


class TestPlannedCode:
    @pytest.fixture
    def script(self, tmp_path: Path) -> Path:
        script = tmp_path / "train.py"
        script.write_text("RATE = 1\n")
        return script

    def test_a_change_is_noticed_after_any_number_of_looks(self, script: Path) -> None:
        code = PlannedCode("train.py", script, [], digest_of(script, []))
        code.require()
        code.require()
        script.write_text("RATE = 10\n")
        with pytest.raises(ConfigError, match=r"train.py, or what it uses, has changed since the study was"):
            code.require()

    def test_what_was_not_touched_is_not_read_again(self, script: Path) -> None:
        code = PlannedCode("train.py", script, [], digest_of(script, []))
        code.require()
        before = script.stat().st_mtime_ns
        with script.open("r+") as handle:
            handle.write("RATE = 2\n")
        os.utime(script, ns=(before, before))  # which nobody does by accident
        code.require()


def test_every_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        digest_of(tmp_path / "a.py", [tmp_path / "b", tmp_path / "c"])
    named = [problem.partition(":")[0] for problem in error.value.problems]
    assert named == [str(tmp_path / "a.py"), str(tmp_path / "b"), str(tmp_path / "c")]
