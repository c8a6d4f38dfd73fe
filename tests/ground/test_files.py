"""Files that are whole or absent."""

import os
from pathlib import Path

import pytest

from ablate.ground.files import UNFINISHED, is_file, read_json, replacing, write_json, write_text


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with replacing(file) as temporary:
        temporary.write_text("1")
        assert UNFINISHED.fullmatch(temporary.name)
        assert not file.exists()
    assert file.read_text() == "1"
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_broken_off_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_text(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(file, "new \ud800")
    with pytest.raises(TypeError), replacing(file) as temporary:
        temporary.write_text(None)  # type: ignore[arg-type]
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("write", [write_text, write_json])
def test_a_durable_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object
) -> None:
    flushed = []
    flush = os.fsync

    def watched(descriptor: int) -> None:
        flushed.append((tmp_path / "a.json").exists())
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write(tmp_path / "a.json", "x", durable=True)  # type: ignore[operator]
    assert flushed[:1] == [False]
    flushed.clear()
    write(tmp_path / "a.json", "y")  # type: ignore[operator]
    assert flushed == []


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
