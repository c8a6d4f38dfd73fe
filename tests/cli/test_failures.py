"""Failed runs of a real study: grouped by what they failed of, with their logs, and retried by cause."""

import json
from pathlib import Path

import pytest

from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from tests.cli import failing
from tests.command import ablate_here, answer, output_of
from tests.fabricate import fabricate_study, make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script, and its study in the store, of which 4 of 6 runs have failed."""
    folder = tmp_path_factory.mktemp("failing")
    (folder / "train.py").write_text(failing.SCRIPT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        printed = failing.grid(folder, code=1)
    assert "4 of 6 runs failed:" in printed
    assert "error of the training, alike in 2 runs, at train.py:10 in step:" in printed
    return folder


def groups(folder: Path) -> dict[str, dict[str, object]]:
    told = json.loads(output_of("failures", "s", "--format", "json", store=folder / "store"))
    return {group["cause"]: group for group in told["groups"]}


def attempts(folder: Path) -> dict[str, int]:
    store = Store(folder / "store")
    found = {f"{run.name} {run.seed}": run.status().attempt for run in store.study_runs("s")}
    return dict(sorted(found.items()))


def test_runs_that_failed_of_the_same_thing_are_told_once(folder: Path) -> None:
    found = groups(folder)
    assert {cause: group["n_runs"] for cause, group in found.items()} == {
        "error": 2,
        "memory": 1,
        "killed": 1,
    }
    assert found["error"]["where"] == "train.py:10 in step"
    assert str(found["error"]["message"]).startswith("ValueError: loss is nan in step 20")
    assert found["memory"]["message"] == "MemoryError"
    assert found["killed"]["message"] == "train.py was ended by SIGTERM"
    assert "ValueError: loss is nan in step 20" in "\n".join(found["error"]["log_tail"])  # type: ignore[arg-type]


def test_the_table_says_which_runs_and_what_to_type(folder: Path) -> None:
    printed = output_of("failures", "s", store=folder / "store")
    assert "4 of 6 runs failed" in printed
    assert "lr=1 seeds 0-1" in printed
    assert "--retry --cause memory" in printed
    only = output_of("failures", "s", "--cause", "killed", store=folder / "store")
    assert "1 of 6 runs failed (killed)" in only
    assert "MemoryError" not in only


def test_show_prints_a_log_whole_or_its_last_lines(folder: Path) -> None:
    run = groups(folder)["error"]["runs"][0]  # type: ignore[index]
    whole = output_of("show", run["run_id"], "--log", store=folder / "store")
    assert whole == Path(run["log"]).read_text()
    last = output_of("show", run["run_id"], "--log", "--lines", "2", store=folder / "store")
    assert last == "".join(line + "\n" for line in whole.splitlines()[-2:])
    told = json.loads(output_of("show", run["run_id"], "--log", "--format", "json", store=folder / "store"))
    assert told["logs"] == [{"name": "log", "path": run["log"], "lines": whole.splitlines()}]


def test_only_runs_of_the_cause_are_trained_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    before = attempts(folder)
    assert set(before.values()) == {1}
    (folder / "mended").touch()
    failing.grid(folder, "--retry", "--cause", "error", code=1)
    after = attempts(folder)
    assert {run for run in after if after[run] > before[run]} == {"lr=1 0", "lr=1 1"}
    assert set(groups(folder)) == {"memory", "killed"}


def test_a_cause_without_retry_and_one_that_is_none_are_sentences(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    _, said = answer(*failing.GRID, "--cause", "memory", store=folder / "store", code=2)
    assert said == "ablate: --cause memory says which failed runs to train again; add --retry\n"
    _, said = answer("show", "abc", "--lines", "3", store=folder / "store", code=2)
    assert said == "ablate: --lines 3 says how much of a log to print; add --log\n"
    assert "'mice' is not one of" in answer("failures", "--cause", "mice", store=folder / "store", code=2)[1]


def test_records_that_know_no_kind_are_told_by_their_words(tmp_path: Path) -> None:
    store = Store(tmp_path)
    runs = [make_run(seed=seed) for seed in range(12)]
    fabricate_study(store, "old", runs, state=State.FAILED, cause="CUDA out of memory")
    for run in runs:
        file = RunFolder(store.folder(run.run_id).path).path / "state.json"
        content = json.loads(file.read_text())
        del content["failure"]
        file.write_text(json.dumps(content))
    printed = ablate_here("failures", "old", store=store)
    assert "out of memory, the same in 12 runs:" in printed
    assert "baseline seeds 0-11" in printed


def test_a_study_in_which_nothing_failed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fabricate_study(store, "good", [make_run()])
    assert ablate_here("failures", store=store) == f"Study good in {tmp_path}: no run failed\n"
