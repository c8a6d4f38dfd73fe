"""Files that are whole or absent, and those that a power loss cannot take."""

import os
from pathlib import Path

import pytest

from ablate.ground.files import (
    UNFINISHED,
    is_file,
    make_folder,
    read_json,
    replacing,
    sweep,
    write_json,
    write_text,
)

LEFT = "0" * 32  # as names of drafts end


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was flushed, by its name at that moment."""
    found: list[str] = []
    fsync = os.fsync

    def noting(handle: int) -> None:
        found.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noting)
    return found


def test_a_durable_file_is_flushed_before_it_has_its_name_and_then_its_folder(
    tmp_path: Path, flushed: list[str]
) -> None:
    write_json(tmp_path / "a.json", {}, durable=True)
    draft, folder = flushed
    assert draft.startswith(".a.json.")
    assert folder == tmp_path.name


def test_any_other_file_costs_no_flush(tmp_path: Path, flushed: list[str]) -> None:
    write_json(tmp_path / "a.json", {})
    assert not flushed


def test_of_new_folders_the_ones_that_hold_them_are_flushed(tmp_path: Path, flushed: list[str]) -> None:
    make_folder(tmp_path / "a" / "b")
    assert sorted(flushed) == sorted(["a", tmp_path.name])
    make_folder(tmp_path / "a" / "b")
    assert len(flushed) == 2


def test_a_file_stays_what_it_was_when_its_successor_fails(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_json(file, 1)
    with pytest.raises(FileNotFoundError), replacing(file) as draft:
        draft.with_name("another").rename(draft)
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_text() == "1\n"


def test_what_killed_processes_have_left_of_a_file_is_removed(tmp_path: Path) -> None:
    for name in (f".a.json.{LEFT}", f".b.json.{LEFT}", ".a.json.mine", "a.json"):
        (tmp_path / name).touch()
    sweep(tmp_path / "a.json")
    assert {file.name for file in tmp_path.iterdir()} == {f".b.json.{LEFT}", ".a.json.mine", "a.json"}


def test_what_is_broken_off_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_text(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(file, "new \ud800")
    with pytest.raises(TypeError), replacing(file) as temporary:
        temporary.write_text(None)  # type: ignore[arg-type]
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with replacing(file) as temporary:
        temporary.write_text("1")
        assert UNFINISHED.fullmatch(temporary.name)
        assert not file.exists()
    assert file.read_text() == "1"
    assert list(tmp_path.iterdir()) == [file]


def test_json_is_strict_and_ends_with_a_line(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"b": [1.5, None, "é"]})
    assert file.read_text(encoding="utf-8").endswith("}\n")
    assert read_json(file) == {"b": [1.5, None, "é"]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(file, {"b": float("nan")})
    assert read_json(file) == {"b": [1.5, None, "é"]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [("[" * 100_000, "nested too deep"), ('"\\ud800"', "surrogates not allowed"), ("{", "Expecting")],
)
def test_what_no_reader_can_use_is_a_value_error(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=problem):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('"\\ud83d\\ude00"')  # two halves make one
    assert read_json(tmp_path / "a.json") == "😀"


def test_a_name_that_no_file_can_have_is_no_file(tmp_path: Path) -> None:
    assert not is_file(tmp_path / ("x" * 5000))
    assert not is_file(tmp_path / "a\0b")
    assert not is_file(tmp_path)
