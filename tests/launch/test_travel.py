"""What of a folder travels, and that it comes home so that it can be gone on from wherever it is cut off."""

import itertools
from pathlib import Path

import pytest

from ablate.launch.travel import Changes, Watched, arrive, blocks, travelling, unpack, whole


def fill(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.*")}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_files_arrive_as_they_were_however_they_are_cut(tmp_path: Path, size: int) -> None:
    sent = fill(tmp_path / "a", x_txt="12345", below__y_txt="678", empty_txt="")
    (sent / "x.txt").chmod(0o755)
    named = [(path.relative_to(sent).as_posix(), path) for path in sent.rglob("*.txt")]
    cut = list(blocks(named, size))
    assert all(sum(len(piece.content) for piece in block) <= size for block in cut)
    for block in cut:
        unpack(block, tmp_path / "b")
    assert contents(tmp_path / "b") == contents(sent)
    assert (tmp_path / "b" / "x.txt").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", ""])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name of a file"):
        arrive(tmp_path, Changes({name: b""}, frozenset({name})))
    assert list(tmp_path.parent.glob("x")) == []


def test_leases_and_what_mlflow_shows_stay_at_home(tmp_path: Path) -> None:
    fill(tmp_path, config_json="{}", mlflow_json="{}", lock="", lock_3="", files__lock="mine")
    (tmp_path / f".state.json.{'0' * 32}").write_text("half")
    assert travelling(tmp_path) == ["config.json", "files/lock"]


def test_only_what_has_changed_travels_again(tmp_path: Path) -> None:
    watched = Watched(fill(tmp_path, config_json="{}", history_jsonl="1\n", checkpoint="a"))
    assert set(whole(tmp_path).files) == {"config.json", "history.jsonl", "checkpoint"}
    watched.changes()
    assert watched.changes() is None
    fill(tmp_path, history_jsonl="1\n2\n")
    assert watched.changes() == Changes(
        {"history.jsonl": b"1\n2\n"}, frozenset({"config.json", "history.jsonl", "checkpoint"})
    )
    (tmp_path / "checkpoint").unlink()
    assert watched.changes() == Changes({}, frozenset({"config.json", "history.jsonl"}))


class Cut(Exception):
    """The controller is killed here."""


@pytest.mark.parametrize("writes", range(7))
def test_a_finished_run_that_is_cut_off_on_its_way_home_can_be_gone_on_from(
    tmp_path: Path, writes: int
) -> None:
    home = fill(tmp_path / "home", config_json="{}", state_json="running", checkpoint="2 of 3", lock_1="we")
    away = fill(
        tmp_path / "away",
        config_json="{}",
        history_jsonl="1 2 3",
        weights_bin="w",
        result_json="r",
        seal_json="s",
        state_json="finished",
    )
    asked = itertools.count()

    def require() -> None:
        if next(asked) == writes:
            raise Cut

    if writes < 6:  # of six files
        with pytest.raises(Cut):
            arrive(home, whole(away), require)
    else:
        arrive(home, whole(away), require)
    found = contents(home)
    assert ("checkpoint" in {path.name for path in home.iterdir()}) or "result.json" in found
    assert found["state.json"] == "running" or found == {**contents(away), "lock.1": "we"}
    assert "result.json" not in found or found["weights.bin"] == "w"
    assert "seal.json" not in found or found["result.json"] == "r"
