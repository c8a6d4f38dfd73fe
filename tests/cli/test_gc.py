"""``ablate gc``: shows what no study needs, asks, and removes it."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.ground.errors import ConfigError, StoreError, StudyError
from ablate.record.rundir import RunFolder
from ablate.record.store import Store
from tests.command import ablate_here as ablate
from tests.fabricate import fabricate_run, fabricate_study, make_run
from tests.upkeep.test_garbage import age


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Study ``first`` of one finished run."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = Store(tmp_path / "store")
    fabricate_study(store, "first", [make_run()])
    return store


@pytest.fixture
def old(store: Store) -> RunFolder:
    """A finished run of no study, which two files of 1000 bytes make easy to measure."""
    folder = fabricate_run(store, make_run(seed=1))
    for file in folder.path.iterdir():
        if file.name not in ("config.json", "result.json", "state.json"):
            file.unlink()
    state = sum(file.stat().st_size for file in folder.path.iterdir())
    folder.log_file.write_bytes(b"l" * (12_000 - state))
    age(folder.path)
    return folder


def test_a_store_without_garbage(store: Store) -> None:
    assert ablate("gc", store=store) == f"{store.root}: nothing to remove\n"


def test_a_dry_run_shows_and_removes_nothing(store: Store, old: RunFolder) -> None:
    before = sorted(store.root.rglob("*"))
    output = ablate("gc", "--dry-run", store=store)
    lines = [line.split() for line in output.splitlines()]
    assert ["run", "folders", "of", "no", "study", "1", "12", "kB"] in lines
    assert ["total", "1", "12", "kB"] in lines
    assert "1 run among these had finished; training took" in output
    assert output.endswith("Nothing was removed. Leave out --dry-run to remove it.\n")
    assert sorted(store.root.rglob("*")) == before
    assert old.path.exists()


def test_yes_removes_it(store: Store, old: RunFolder) -> None:
    assert "Removed 12 kB." in ablate("gc", "--yes", store=store)
    assert not old.path.exists()
    assert len(store.finished_runs()) == 1


def test_without_a_terminal_it_wants_yes(store: Store, old: RunFolder) -> None:
    with pytest.raises(ConfigError, match=r"nothing was removed, .*; add --yes to remove it"):
        ablate("gc", store=store)
    assert old.path.exists()


@pytest.mark.parametrize(("answer", "is_removed"), [("y", True), ("n", False)])
def test_at_a_terminal_it_asks(store: Store, old: RunFolder, answer: str, *, is_removed: bool) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ablate.cli.app", "gc", "--store", str(store.root)]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        os.write(ours, f"{answer}\n".encode())
        output, errors = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0
    assert "Remove all this? [y/N]" in errors
    assert ("Removed 12 kB." in output) == is_removed
    assert old.path.exists() != is_removed


def test_json_names_every_path(store: Store, old: RunFolder) -> None:
    content = json.loads(ablate("gc", "--dry-run", "--format", "json", store=store))
    assert content == {
        "schema": "ablate.garbage/1",
        "store": str(store.root),
        "bytes": 12_000,
        "items": [{"kind": "run folders of no study", "path": str(old.path), "bytes": 12_000}],
        "notes": [],
        "removed": False,
    }
    assert json.loads(ablate("gc", "--yes", "--format", "json", store=store))["removed"] is True
    assert not old.path.exists()


def test_forgetting_a_study(store: Store) -> None:
    output = ablate("gc", "--study", "first", "--yes", store=store)
    assert "the study first will be forgotten" in output
    assert "If MLflow has an experiment 'first', it is left as it is." in output
    assert store.study_names() == []
    assert list(store.runs.iterdir()) == []


def test_a_store_that_cannot_be_written(store: Store, old: RunFolder) -> None:
    shutil.rmtree(store.root / "studies")
    (store.root / "studies").symlink_to("/proc/studies")
    with pytest.raises(StoreError, match="studies: cannot be written"):
        ablate("gc", "--yes", store=store)
    assert old.path.exists()


def test_a_study_that_there_is_not(store: Store) -> None:
    with pytest.raises(StudyError, match=r"no study 'frist'.*did you mean 'first'"):
        ablate("gc", "--study", "frist", "--yes", store=store)
