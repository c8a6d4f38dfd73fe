"""Studies that are recorded, and recovered from some hundred crashes each."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.faults.crash.recording import Recording, record
from tests.faults.crash.recovery import (
    SENDS_THE_REST,
    STUDY,
    SUBJECT,
    WEIGHTS,
    Laboratory,
    Recovered,
    Told,
    age_s,
)
from tests.faults.crash.states import Crash, Model, crashes
from tests.faults.study import outcome

GRID = ("grid", "--subject", str(SUBJECT), "--seeds", "1", "--levels")

# What is typed, of which the last is recorded: each trains on two workers what the one before it did not.
SCENARIOS = {
    "a new study": (("step=1,2",),),
    "one run more": (("step=1,2",), ("step=1,2,3",)),
}

N_TRIES = 5  # to record a study
OWN_PROCESS = 200  # one in so many is recovered by a command in a process of its own
COLUMNS = ("scenario", "model", "operations", "states", "by commands", "violations")


@dataclass
class Batch:
    """One recording, and the crashes that were recovered from."""

    scenario: str
    seed: int
    operations: int
    states: Counter[str] = field(default_factory=Counter)  # by model
    own: Counter[str] = field(default_factory=Counter)  # of these, by a command in a process of its own
    cpu_s: float = 0.0
    problems: list[dict[str, Any]] = field(default_factory=list)

    def add(self, crash: Crash, recovered: Recovered, *, own_process: bool) -> None:
        self.states[crash.model] += 1
        self.own[crash.model] += own_process
        self.cpu_s += recovered.cpu_s
        if recovered.problems:
            told = [str(problem) for problem in recovered.problems]
            self.problems.append({"crash": str(crash), "problems": told})

    def to_json(self) -> dict[str, Any]:
        return {
            **vars(self),
            "states": dict(self.states),
            "own": dict(self.own),
            "cpu_s": round(self.cpu_s, 1),
        }


def prepared(scenario: str, folder: Path, database: Path) -> tuple[Recording, Laboratory]:
    """The recording of a scenario, and where to recover from it. ``database`` is an empty one of MLflow's."""
    *before, last = [(*GRID, *levels) for levels in SCENARIOS[scenario]]
    laboratory = Laboratory(folder / "root", last)
    for _ in range(N_TRIES):
        laboratory.set_up_new(database)
        for words in before:
            replace(laboratory, words=words).run_here()
        recording, said = record([*last, "--workers", "2"], laboratory.root, laboratory.environment)
        if SENDS_THE_REST not in said:  # else the machine is too busy, and MLflow's part is missing
            break
    else:
        raise RuntimeError(said)
    expected = {run.run_id: outcome(run, WEIGHTS) for run in laboratory.store.study_runs(STUDY)}
    return recording, replace(laboratory, expected=expected)


def run_batch(scenario: str, seed: int, n: int, folder: Path, database: Path) -> Batch:
    """What the disk held where anything was wrong is kept in ``folder``."""
    recording, laboratory = prepared(scenario, folder / f"{scenario} {seed}".replace(" ", "-"), database)
    batch = Batch(scenario, seed, len(recording.operations) - recording.n_before)
    for number, (crash, disk) in enumerate(crashes(recording.operations, recording.n_before, n, seed)):
        told = Told.by(recording.operations[: crash.after])
        own_process = number % OWN_PROCESS == OWN_PROCESS - 1
        recovered = laboratory.recover(disk, crash.model, told, own_process=own_process)
        batch.add(crash, recovered, own_process=own_process)
        if recovered.problems:
            kept = folder / f"{scenario} {seed} {crash}".replace(" ", "-")
            disk.write_to(kept, "store", age_s(crash.model))
            (kept / "said.txt").write_text(recovered.said)
    shutil.rmtree(laboratory.root.parent)
    return batch


def table(batches: list[dict[str, Any]]) -> str:
    """Markdown, a row for each scenario and model, and one for all."""
    rows = [list(COLUMNS), ["---"] * 2 + ["--:"] * 4]
    for scenario in SCENARIOS:
        mine = [batch for batch in batches if batch["scenario"] == scenario]
        rows += [[scenario, model, *_counts(mine, model)] for model in Model]
    return "\n".join(f"| {' | '.join(row)} |" for row in [*rows, ["all", "", *_counts(batches, None)]])


def _counts(batches: list[dict[str, Any]], model: Model | None) -> Iterator[str]:
    models = list(Model) if model is None else [model]
    yield f"{sum(batch['operations'] for batch in batches):,}"
    for key in ("states", "own"):
        yield f"{sum(batch[key].get(one, 0) for batch in batches for one in models):,}"
    wrong = [found["crash"].split()[0] for batch in batches for found in batch["problems"]]
    yield f"{sum(one in models for one in wrong):,}"
