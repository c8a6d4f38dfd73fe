"""``ablate cancel``, and what ``ablate status`` says of where a study is."""

import json
import time
from pathlib import Path

from ablate.record.rundir import State
from ablate.record.store import Store
from tests.command import ablate_here, output_of, start
from tests.fabricate import fabricate_study, make_run

WALK = Path(__file__).parent.parent / "launch" / "walk.py"


def test_a_study_under_way_is_seen_and_ended_from_elsewhere(tmp_path: Path) -> None:
    store = Store(tmp_path)
    grid = ["grid", "walk", "--subject", WALK, "--levels", "step=1,2", "--seeds", 1, "--set", "pause=0.2"]
    process = start(*grid, "--workers", 2, store=tmp_path)
    deadline = time.monotonic() + 60
    while not store.study_names() or sum(bool(run.history()) for run in store.study_runs("walk")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    content = json.loads(output_of("status", "walk", "--format", "json", store=tmp_path))
    (host,) = content["hosts"]
    assert content["hosts"] == {host: 2}
    assert content["jobs"] == []
    assert f"running on {host} (2)" in output_of("status", "walk", store=tmp_path)

    said = output_of("cancel", "walk", store=tmp_path)
    assert said.splitlines() == [
        "walk: 2 runs saved where they are; the command that trains the study goes on from there"
    ]
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "warning: cancelled; the same command goes on from where the runs were last saved" in output
    states = [run.status().state for run in store.study_runs("walk")]
    assert states == [State.INTERRUPTED] * 2
    before = [len(run.history()) for run in store.study_runs("walk")]

    output_of(*grid, "--set", "pause=0.2", store=tmp_path)  # the wish is not meant for it
    assert [len(run.history()) for run in store.study_runs("walk")] == [20, 20]
    assert all(0 < n < 20 for n in before)


def test_a_study_that_is_not_under_way_has_nothing_to_end(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fabricate_study(store, "s", [make_run()])
    assert ablate_here("cancel", "s", store=store) == "s: no run is under way\n"
