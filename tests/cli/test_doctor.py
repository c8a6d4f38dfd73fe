"""``ablate doctor``: one line a check, the commands that mend, and an exit code."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ablate.cli.app import app
from ablate.ground.errors import StudyError
from ablate.ground.files import read_json
from ablate.record.rundir import State
from ablate.record.store import Store
from ablate.subject.interface import Dataset
from ablate.upkeep import doctor
from tests.command import ablate
from tests.command import ablate_here as here
from tests.fabricate import add_runs, fabricate_run, fabricate_study, make_run
from tests.terminal import on_screen

SLOW = ("torch", "subject")  # seconds each, and not of the store


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {name: check for name, check in doctor.CHECKS.items() if name not in SLOW}
    monkeypatch.setattr(doctor, "CHECKS", checks)


@pytest.fixture(autouse=True)
def away_from_other_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def levels(store: Store, *arguments: str, code: int = 0) -> dict[str, set[str]]:
    """The levels of what each check finds."""
    result = CliRunner().invoke(
        app, ["doctor", *arguments, "--format", "json", "--store", str(store.root)], catch_exceptions=False
    )
    assert result.exit_code == code, result.output
    content: dict[str, Any] = json.loads(result.stdout)
    assert content["ok"] == (code == 0)
    found: dict[str, set[str]] = {}
    for finding in content["checks"]:
        found.setdefault(finding["check"], set()).add(finding["level"])
    return found


def test_a_fresh_machine_has_no_problem_and_gets_no_store(store: Store) -> None:
    output = ablate("doctor", store=store.root)
    lines = output.splitlines()
    assert lines[0] == (
        f"warning  store      {store.root} does not exist yet; the first study makes it, "
        "or choose another with --store DIR or ABLATE_STORE"
    )
    assert [line.split()[:2] for line in lines[1:-2]] == [
        ["ok", name] for name in doctor.CHECKS if name not in ("store", "failed", "runs", "shipping")
    ]
    assert lines[-1] == "0 problems, 1 warning"
    assert not store.root.exists()


@pytest.mark.usefixtures("quick")
def test_a_warning_names_the_command_that_mends(store: Store) -> None:
    fabricate_study(store, "first", [make_run()], state=State.FAILED, cause="out of memory")
    output = here("doctor", store=store)
    assert f"  $ ablate grid --store {store.root} --retry\n" in output
    assert f"  $ ablate sync first --store {store.root}\n" in output


@pytest.mark.usefixtures("quick")
def test_one_study_is_looked_at_alone(store: Store, tiny_data: Path) -> None:
    manifest = read_json(tiny_data / "prepared" / "manifest.json")
    dataset = Dataset("tiny", manifest["digest"], tiny_data / "prepared")
    fabricate_run(store, make_run(dataset=dataset))
    add_runs(store, "good", [make_run(dataset=dataset)])
    fabricate_study(store, "bad", [make_run(seed=1)])
    (store.folder(make_run(seed=1).run_id).path / "result.json").write_text("{")
    assert levels(store, "good")["runs"] == {"ok"}
    assert levels(store, "--study", "good")["runs"] == {"ok"}
    assert levels(store, code=1)["runs"] == {"ok", "problem"}
    with pytest.raises(StudyError, match=r"no study 'goo'.*did you mean 'good'"):
        here("doctor", "goo", store=store)


@pytest.mark.usefixtures("quick")
def test_everything_broken_at_once_is_told_without_a_traceback(store: Store) -> None:
    fabricate_study(store, "first", [make_run(), make_run(seed=1)])
    (store.root / "studies" / "second.json").write_text("{")
    (store.folder(make_run().run_id).path / "config.json").write_bytes(b"\xff\xfe")
    (store.folder(make_run(seed=1).run_id).path / "history.jsonl").write_text("{\n{\n")
    store.database.write_text("garbage" * 100)
    store.data.write_text("a file")
    found = levels(store, code=1)
    assert {name for name, found_levels in found.items() if "problem" in found_levels} == {
        "store",
        "studies",
        "runs",
        "mlflow",
    }


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("content", ["file", "empty folder", "folders of others"])
def test_a_store_that_is_none(store: Store, content: str) -> None:
    if content == "file":
        store.root.write_text("a file")
    else:
        store.root.mkdir()
    if content == "folders of others":
        (store.root / "runs" / "mine").mkdir(parents=True)
        (store.root / "studies").mkdir()
        (store.root / "studies" / "notes.txt").touch()
    found = levels(store, code=1 if content == "file" else 0)
    assert found["store"] == {"problem" if content == "file" else "ok"}
    assert found["studies"] == {"ok"}


def test_a_check_that_fails_itself_is_told_and_the_others_go_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_inventory: object) -> Any:
        raise ModuleNotFoundError("No module named 'numpy'")

    monkeypatch.setattr(doctor, "CHECKS", {"data": broken, "store": doctor.CHECKS["store"]})
    assert levels(store, code=1) == {"data": {"problem"}, "store": {"warning"}}


def test_texts_wrap_on_a_terminal_and_commands_do_not(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", {"failed": doctor.CHECKS["failed"]})
    fabricate_study(store, "first", [make_run()], state=State.FAILED, cause="word " * 30)
    *lines, _blank, _total = on_screen("doctor", "--store", store.root, columns=60)
    commands = [line for line in lines if line.lstrip().startswith("$ ")]
    assert len(commands) == 2
    assert max(len(line) for line in lines if line not in commands) <= 60
    text = lines[: -len(commands)]
    assert text[0].startswith("warning  failed  baseline")
    assert {line[:17].strip() for line in text[1:]} == {""}
