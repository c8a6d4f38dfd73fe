"""Run folders and studies of which some file was damaged, through every command that reads.

A damaged record is named, or the run is shown as interrupted; nothing is written while reading.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ablate.analysis import compare, tables, verdicts
from ablate.analysis.claims import judge
from ablate.analysis.inspect import describe, diff_runs, find_run
from ablate.analysis.query import frame, known_names, load_runs, sort_runs
from ablate.cli import console
from ablate.cli.app import app
from ablate.cli.show import _parts
from ablate.ground.errors import AblateError
from ablate.record.store import Store
from ablate.tracking import Tracker, projection
from tests.analysis.studies import paper_study
from tests.fabricate import CARD
from tests.fuzz.cases import CASES, case, fuzzed, seen
from tests.fuzz.inputs import changed, mutated

FILES = ("config.json", "state.json", "history.jsonl", "result.json", "seal.json", "mlflow.json")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    runs = paper_study(store, 1, systems=("mtl", "grl_s1"), epochs=2)
    note = {
        "paper": {
            "uri": "sqlite:///x.db",
            "mlflow_run_id": "0" * 32,
            "status": "FINISHED",
            "shipped_epochs": 2,
        }
    }
    for run in runs:
        store.folder(run.run_id).mlflow_file.write_text(json.dumps({"paper": note}))
    return store


@pytest.fixture(scope="module")
def damaged(store: Store) -> Path:
    """The folder whose files are damaged, one at a time."""
    return store.study_runs("paper")[0].path


@pytest.fixture(scope="module")
def originals(damaged: Path) -> dict[str, bytes]:
    return {name: (damaged / name).read_bytes() for name in FILES}


def read_records(store: Store) -> None:
    """Every record of every run."""
    tracker = Tracker(store, "paper", "sqlite:///x.db")
    for folder in store.study_runs("paper"):
        tracker.is_current(folder)
        status, result = folder.status(), folder.result()
        run = folder.run()
        projection.params(run, result, CARD)
        projection.tags(run, status, result)
        projection.points(folder.history(), result, 0, CARD.metrics)


def read_everything(store: Store, run_id: str) -> None:
    """What status, runs, show, diff, compare and claims make of a study before they print or write."""
    records = load_runs(store, "paper")
    frame(records)
    for name in known_names(records)[::7]:
        sort_runs(records, name)
    comparison = compare.compare(records, "paper", "mtl")
    for to_text in tables.FORMATS.values():
        to_text(comparison).encode("utf-8")
    details = store.study_details("paper")
    verdicts.FORMATS["json"]("paper", judge(records, details), None).encode("utf-8")
    found = find_run(store, run_id)
    content = describe(store, found)
    "\n".join(_parts(content, CARD.metrics, 40)).encode("utf-8")
    console.as_json(content)
    diff_runs(found, find_run(store, records[-1].run_id))


def check_that_reading_copes(store: Store, damaged: Path, name: str, content: bytes, original: bytes) -> None:
    before = sorted(item.name for item in damaged.iterdir())
    (damaged / name).write_bytes(content)
    try:
        with case(name):
            read_records(store)
            if not CASES or seen[name] % 4 == 0:  # it takes ten times as long
                read_everything(store, damaged.name)
        assert sorted(item.name for item in damaged.iterdir()) == before
    finally:
        (damaged / name).write_bytes(original)


def as_json(content: Any) -> bytes:
    """As Python writes it: with NaN, infinity and halves of characters. What it cannot write is replaced."""
    try:
        return json.dumps(content).encode()
    except (ValueError, RecursionError):
        return b"[" * 2000


@pytest.mark.parametrize("name", FILES)
def test_changed_bytes(name: str, store: Store, damaged: Path, originals: dict[str, bytes]) -> None:
    @fuzzed(quick=10, share=0.5)
    @given(content=mutated([originals[name]]))
    def run(content: bytes) -> None:
        check_that_reading_copes(store, damaged, name, content, originals[name])

    run()


@pytest.mark.parametrize("name", FILES)
def test_valid_json_of_wrong_kinds(
    name: str, store: Store, damaged: Path, originals: dict[str, bytes]
) -> None:
    lines = originals[name].splitlines() if name == "history.jsonl" else [originals[name]]
    content = [json.loads(line) for line in lines]

    @fuzzed(quick=20, share=0.5)
    @given(value=changed(content))
    def run(value: Any) -> None:
        parts = value if isinstance(value, list) else [value]
        text = b"".join(as_json(part) + b"\n" for part in parts)
        check_that_reading_copes(store, damaged, name, text, originals[name])

    run()


@fuzzed(quick=20)
@given(content=st.data())
def test_studies(content: st.DataObject, store: Store, damaged: Path) -> None:
    file = store.root / "studies" / "paper.json"
    original = file.read_bytes()
    record = json.loads(original)
    file.write_bytes(content.draw(mutated([original]) | changed(record).map(as_json)))
    try:
        with case("studies"):
            read_records(store)
            read_everything(store, damaged.name)
            store.study_commands("paper")
            store.study_base("paper")
    finally:
        file.write_bytes(original)


def make_loop(file: Path) -> None:
    file.symlink_to(file)


def make_unreadable(file: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is unreadable to root")
    file.touch(mode=0)


COMMANDS = (
    ("status", "paper"),
    ("runs", "paper"),
    ("compare", "paper"),
    ("compare", "paper", "--layout", "table3"),
    ("claims", "paper"),
    ("show", "RUN"),
    ("diff", "RUN", "mtl seed=0"),
    ("report", "paper", "--no-mlflow", "-o", "REPORT"),
)


MAKERS = {"folder": Path.mkdir, "loop": make_loop, "unreadable": make_unreadable}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("name", [*FILES, "studies"])
def test_something_else_than_a_file(make: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    """Every command names the file or does without it, and writes nothing."""
    store = Store(tmp_path / "store")
    run, *_ = paper_study(store, 1, systems=("mtl", "grl_s1"), epochs=2)
    file = (
        store.root / "studies" / "paper.json" if name == "studies" else store.folder(run.run_id).path / name
    )
    file.unlink(missing_ok=True)
    make(file)
    report = tmp_path / "report.html"
    before = sorted(store.root.rglob("*"))
    for words in COMMANDS:
        named = [{"RUN": run.run_id, "REPORT": str(report)}.get(word, word) for word in words]
        with case("commands on damaged stores"):
            result = CliRunner().invoke(app, named, env={"ABLATE_STORE": str(store.root)})
            if isinstance(result.exception, AblateError):
                raise result.exception
            # 1: the run is damaged, which is told, and everything else is there.
            assert result.exit_code in (0, 1), (words, result.exc_info)
            assert (result.exit_code == 1) == ("is damaged and counts as missing" in result.stderr)
    assert sorted(store.root.rglob("*")) == before
    assert not list(tmp_path.glob(".report*"))
