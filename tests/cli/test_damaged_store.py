"""One file of a store is damaged, removed or altered: every command answers with everything else."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ablate.cli.app import app
from ablate.ground.errors import AblateError
from ablate.mtl.scoring import WEIGHTS
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.analysis.studies import paper_study

COMMANDS = (("status",), ("runs",), ("compare",), ("compare", "--layout", "table3"), ("claims",))


def damage(file: Path) -> None:
    file.write_bytes(b'\x00{"half a')


def alter(file: Path) -> None:
    """The digit in the middle of the file's digits becomes another one, or its last byte if it has none."""
    content = bytearray(file.read_bytes())
    digits = [place for place, byte in enumerate(content) if chr(byte).isdigit()]
    content[digits[len(digits) // 2] if digits else -1] ^= 1
    file.write_bytes(content)


CHANGES: dict[str, Callable[[Path], None]] = {"damaged": damage, "removed": Path.unlink, "altered": alter}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two systems with three seeds each, with weights, and another study beside them."""
    store = Store(tmp_path_factory.mktemp("whole") / "store")
    paper_study(store, 3, systems=("mtl", "grl_s1"), epochs=2)
    for folder in store.study_runs("paper"):
        (folder.path / WEIGHTS).write_bytes(b"weights")
        folder.mlflow_file.write_text("{}")
        folder.end(State.FINISHED)
    shutil.copy(store.root / "studies" / "paper.json", store.root / "studies" / "other.json")
    return store


@pytest.fixture
def store(whole: Store, tmp_path: Path) -> Store:
    return Store(Path(shutil.copytree(whole.root, tmp_path / "store")))


def call(store: Store, *words: str) -> tuple[int, str, str]:
    """Exit code, output, and what a user would read on standard error."""
    result = CliRunner().invoke(app, [*words, "--store", str(store.root)])
    if isinstance(result.exception, AblateError):
        return result.exception.exit_code, result.stdout, "\n".join(result.exception.problems)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def content(store: Store, *words: str) -> Any:
    return json.loads(call(store, *words, "--format", "json")[1])


FOUND = "is damaged and counts as missing"
# What is wrong with the run, where it is known to be damaged; else the state that it is in then.
NOTICED = {
    ("config.json", "damaged"): "config.json: ",
    ("config.json", "removed"): "config.json: ",
    ("config.json", "altered"): "config.json: ",
    ("state.json", "damaged"): State.INTERRUPTED,
    ("state.json", "removed"): State.PENDING,
    ("state.json", "altered"): "state.json was changed after the run had finished",
    ("history.jsonl", "damaged"): "history.jsonl was changed after the run had finished",
    ("history.jsonl", "removed"): "history.jsonl is gone",
    ("history.jsonl", "altered"): "history.jsonl was changed after the run had finished",
    ("result.json", "damaged"): "result.json was changed after the run had finished",
    ("result.json", "removed"): State.INTERRUPTED,
    ("result.json", "altered"): "result.json was changed after the run had finished",
    ("weights.safetensors", "damaged"): "weights.safetensors was changed after the run had finished",
    ("weights.safetensors", "removed"): "weights.safetensors is gone",
    ("seal.json", "damaged"): "seal.json is unreadable",
    ("seal.json", "removed"): "seal.json is gone",
    ("seal.json", "altered"): "was changed after the run had finished",
}


@pytest.mark.parametrize(("file", "change"), NOTICED)
def test_one_bad_file_of_a_run_costs_that_run_alone(file: str, change: str, store: Store) -> None:
    bad = store.study_runs("paper")[0]
    CHANGES[change](bad.path / file)
    noticed = NOTICED[file, change]
    is_damaged = not isinstance(noticed, State)
    for words in COMMANDS:
        code, output, errors = call(store, *words, "paper")
        assert code == (1 if is_damaged else 0), words
        assert output
        if is_damaged:
            (line,) = errors.strip().splitlines()
            assert f"mtl, seed 0 {FOUND} (" in line
            assert noticed in line
            assert f"move {bad.path} away and type `" in line
        else:
            assert errors == ""
    assert_numbers_are_of_the_others(store, bad.run_id)
    states = {run["run_id"]: run["state"] for run in content(store, "runs", "paper")["runs"]}
    assert states.pop(bad.run_id) == (State.DAMAGED if is_damaged else noticed)
    assert set(states.values()) == {State.FINISHED}


def assert_numbers_are_of_the_others(store: Store, bad: str) -> None:
    """The mean over the two seeds that are left, worked out from their files."""
    scores = [
        json.loads((folder.path / "result.json").read_text())["metrics"]["event_micro_f"]
        for folder in store.study_runs("paper")
        if folder.name == "mtl" and folder.run_id != bad
    ]
    assert len(scores) == 2
    (row,) = (row for row in content(store, "compare", "paper")["conditions"] if row["name"] == "mtl")
    assert row["metrics"]["event_micro_f"]["mean"] == pytest.approx(sum(scores) / 2)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("file", ["log.txt", "mlflow.json"])
def test_what_no_number_comes_from_is_not_missed(file: str, change: str, store: Store) -> None:
    CHANGES[change](store.study_runs("paper")[0].path / file)
    for words in COMMANDS:
        assert call(store, *words, "paper")[0] == 0, words


def test_a_byte_of_the_weights_is_found_by_doctor(store: Store) -> None:
    """The others look only whether the weights are there in full size."""
    bad = store.study_runs("paper")[0]
    (bad.path / WEIGHTS).write_bytes(b"weighty")
    assert call(store, "compare", "paper")[0] == 0
    code, output, _ = call(store, "doctor")
    assert code == 1
    assert "weights.safetensors was changed after the run had finished" in re.sub(r"\s+", " ", output)


def test_a_folder_that_is_gone_is_named_and_comes_back_by_the_same_command(store: Store) -> None:
    bad = store.study_runs("paper")[0]
    shutil.rmtree(bad.path)
    code, _, errors = call(store, "status", "paper")
    assert code == 1
    assert f"mtl, seed 0 {FOUND} (its folder is gone); type `" in errors
    assert_numbers_are_of_the_others(store, bad.run_id)


def test_several_damages_are_a_line_each(store: Store) -> None:
    first, second, *_ = store.study_runs("paper")
    shutil.rmtree(first.path)
    alter(second.path / "result.json")
    code, _, errors = call(store, "claims", "paper")
    assert code == 1
    assert [line.partition(" is damaged")[0] for line in errors.splitlines()] == [
        f"ablate: {folder.name}, seed {folder.seed}" for folder in (first, second)
    ]


def test_a_damaged_run_is_in_the_report_without_its_numbers(store: Store, tmp_path: Path) -> None:
    bad = store.study_runs("paper")[0]
    alter(bad.path / "result.json")
    file = tmp_path / "report.html"
    code, _, errors = call(store, "report", "paper", "--no-mlflow", "-o", str(file))
    assert code == 1
    assert FOUND in errors
    text = file.read_text(encoding="utf-8")
    assert "result.json was changed after the run had finished" in text


def test_a_damaged_run_is_shown_as_far_as_it_can_be_trusted(store: Store) -> None:
    bad = store.study_runs("paper")[0]
    alter(bad.path / "result.json")
    code, output, errors = call(store, "show", bad.run_id)
    assert code == 1
    assert "damaged: result.json was changed after the run had finished" in output
    assert "optim.lr" in output
    assert "micro F" not in output
    assert FOUND in errors


@pytest.mark.parametrize("change", ["damaged", "removed"])
def test_a_bad_study_file_costs_that_study_alone(change: str, store: Store) -> None:
    CHANGES[change](store.root / "studies" / "paper.json")
    for words in COMMANDS:
        code, output, errors = call(store, *words, "paper")
        assert (code, output) == (2, ""), words
        assert "paper" in errors
        assert call(store, *words, "other")[0] == 0, words
    run = store.study_runs("other")[0]
    assert call(store, "show", run.run_id)[0] == 0
