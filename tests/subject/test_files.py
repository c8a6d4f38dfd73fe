"""Data that are a folder of the user's."""

import shutil
from pathlib import Path

import pytest

from ablate.ground.errors import DataError
from ablate.subject.files import FolderData, folder_of
from ablate.subject.interface import Dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "leaves"
    (folder / "train").mkdir(parents=True)
    (folder / "train/a.csv").write_text("1,2\n")
    (folder / "b.csv").write_text("3\n")
    return folder


def identify(folder: Path | None) -> Dataset:
    return FolderData("mine").identify(folder, Path("store"), print, ())


def test_a_folder_is_named_and_digested(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = identify(Path("leaves"))
    assert data.name == "leaves"
    assert data.path == folder
    assert len(data.digest) == 32
    assert folder_of(data) == folder
    assert FolderData("mine").provide(folder, Path("store"), print, ()) == data
    assert FolderData("mine").digest(data.path) == data.digest


def test_the_digest_is_that_of_names_and_contents_wherever_they_lie(folder: Path, tmp_path: Path) -> None:
    before = identify(folder).digest
    shutil.copytree(folder, tmp_path / "copy")
    assert identify(tmp_path / "copy").digest == before
    (folder / ".hidden").write_text("")
    assert identify(folder).digest == before
    (folder / "b.csv").rename(folder / "c.csv")
    renamed = identify(folder).digest
    (folder / "c.csv").write_text("4\n")
    assert len({before, renamed, identify(folder).digest}) == 3


def test_without_a_folder_there_are_no_data() -> None:
    data = identify(None)
    assert (data.name, data.digest) == ("mine", "none")
    assert folder_of(data) is None
    assert data.path == data.path.absolute()
    assert FolderData("mine").digest(data.path) == "none"


def test_a_folder_that_is_none_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"elsewhere: no such folder; name the folder of the data with --data"
    ):
        identify(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="a file, not a folder"):
        identify(folder / "b.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no files in it"):
        identify(tmp_path / "empty")
    (folder / "broken").symlink_to(folder / "nowhere")
    with pytest.raises(DataError, match="broken: cannot be read"):
        identify(folder)
