"""Which files are meant, and what is called after them."""

from pathlib import Path

import pytest

from ablate.ground.errors import DataError
from ablate.mtl.prediction.recordings import find_recordings


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def called(*paths: Path) -> list[tuple[str, str]]:
    return [(asked.path, asked.name) for asked in find_recordings(paths)]


def test_a_folder_means_all_audio_in_it_and_below(tmp_path: Path) -> None:
    write(tmp_path, "b.wav", "street/a.FLAC", "notes.txt", ".trash/c.wav")
    assert called(tmp_path) == [("b.wav", "b"), ("street/a.FLAC", "street/a")]


def test_of_several_folders_each_keeps_its_name(tmp_path: Path) -> None:
    write(tmp_path, "monday/a.wav", "tuesday/a.wav")
    assert called(tmp_path / "monday", tmp_path / "tuesday") == [
        ("monday/a.wav", "monday/a"),
        ("tuesday/a.wav", "tuesday/a"),
    ]


def test_a_file_is_taken_once_whatever_its_suffix(tmp_path: Path) -> None:
    write(tmp_path, "a.wav", "b.sound")
    paths = [tmp_path / "a.wav", tmp_path / "b.sound", tmp_path]
    assert called(*paths) == [("a.wav", "a"), ("b.sound", "b")]


def test_names_that_would_be_alike_differ(tmp_path: Path) -> None:
    write(tmp_path, "x/a.wav", "y/a.wav", "y/b.wav", "y/b.ogg")
    assert called(*(tmp_path / name for name in ("x/a.wav", "y/a.wav", "y/b.wav", "y/b.ogg"))) == [
        ("a.wav", "a"),
        ("a-2.wav", "a-2"),
        ("b.wav", "b.wav"),
        ("b.ogg", "b.ogg"),
    ]


def test_all_that_is_not_there_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as raised:
        find_recordings([tmp_path / "gone.wav", tmp_path / "empty"])
    assert raised.value.problems[0] == f"{tmp_path}/gone.wav: no such file or folder"
    assert raised.value.problems[1].startswith(f"{tmp_path}/empty: no recording in this folder or below it")
