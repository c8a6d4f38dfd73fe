"""A seal: which later change of a finished run's files is noticed, and by whom."""

from pathlib import Path

import pytest

from ablate.record.seals import broken, seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "state.json").write_text('{"state": "finished"}')
    (tmp_path / "result.json").write_text("{}")
    (tmp_path / "model.bin").write_bytes(b"weights")
    seal(tmp_path, '{"state": "finished"}', ["model.bin", "never-written.bin"])
    return tmp_path


def test_an_untouched_run_is_whole(folder: Path) -> None:
    contents: dict[str, bytes] = {}
    assert broken(folder, files=True, contents=contents) is None
    assert contents == {
        "state.json": b'{"state": "finished"}',
        "result.json": b"{}",
        "model.bin": b"weights",
    }


def test_of_the_trainings_files_only_the_size_is_looked_at_unless_they_are_asked_for(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"WEIGHTS")
    assert broken(folder) is None
    assert broken(folder, files=True) == "model.bin was changed after the run had finished"
    (folder / "model.bin").write_bytes(b"less")
    assert broken(folder) == "model.bin was changed after the run had finished"


def test_one_character_of_a_record_and_a_file_that_is_gone_are_noticed(folder: Path) -> None:
    (folder / "result.json").write_text("[]")
    assert broken(folder) == "result.json was changed after the run had finished"
    (folder / "result.json").unlink()
    assert broken(folder) == "result.json is gone"
    (folder / "seal.json").unlink()
    assert "seal.json is gone" in (broken(folder) or "")
