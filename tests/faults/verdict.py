"""What must hold once a study that was disturbed is complete."""

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ablate.ground.errors import AblateError
from ablate.record.rundir import RunFolder, State
from tests.faults.study import Outcome, Study, outcome

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}")


class Kind(StrEnum):
    """What is wrong with a run, or with the study."""

    LOST = "lost"  # planned, and not there in full
    DOUBLED = "doubled"  # trained again though it had finished, or shown twice
    DIFFERS = "differs"  # other numbers than those of the undisturbed study
    ORPHAN = "orphan"  # a process that was left behind
    LITTER = "litter"  # a file that was left behind
    COMMAND = "command"  # did not end, or not with the right exit code


@dataclass(frozen=True)
class Problem:
    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def examine(
    study: Study,
    expected: Mapping[str, Outcome],
    *,
    finished_before: Mapping[str, tuple[int, int]] | None = None,
    spare_attempts: int = 0,
) -> list[Problem]:
    """All that is wrong with a study after its last command, where every run should be as ``expected``.

    ``finished_before`` are the results that were there before that command, ``spare_attempts`` the trainings
    that the faults can have cut off.
    """
    problems = [Problem(Kind.ORPHAN, f"process {pid}: {said}") for pid, said in study.stragglers().items()]
    problems += _status(study)
    problems += _runs(study, expected)
    problems += _trainings(study, finished_before or {}, spare_attempts)
    problems += litter(study.store_path)
    problems += shown(study.database, expected)
    return problems


def _status(study: Study) -> Iterator[Problem]:
    code, said = study.ask("status", "--format", "json")
    expected = {"finished": study.n_runs}
    if code != 0 or json.loads(said)["counts"] != expected:
        yield Problem(Kind.COMMAND, f"ablate status: exit code {code}, not {expected}: {said[:500]}")


def _runs(study: Study, expected: Mapping[str, Outcome]) -> Iterator[Problem]:
    folders = {folder.run_id: folder for folder in study.folders()}
    for run_id in expected.keys() - folders.keys():
        yield Problem(Kind.LOST, f"run {run_id} is not in the study")
    for run_id in folders.keys() - expected.keys():
        yield Problem(Kind.DOUBLED, f"run {run_id} was never asked for")
    for run_id in folders.keys() & expected.keys():
        yield from _run(folders[run_id], expected[run_id])


def _run(folder: RunFolder, expected: Outcome) -> Iterator[Problem]:
    status = folder.status()
    if status.state is not State.FINISHED:
        yield Problem(Kind.LOST, f"run {folder.run_id} is {status.state}: {status.cause}")
        return
    try:
        found = outcome(folder)
    except (OSError, ValueError, AblateError) as error:
        yield Problem(Kind.LOST, f"run {folder.run_id}: {error}")
        return
    for part in ("result", "history", "weights"):
        if getattr(found, part) != getattr(expected, part):
            yield Problem(Kind.DIFFERS, f"run {folder.run_id}: its {part} differs")


def _trainings(
    study: Study, finished_before: Mapping[str, tuple[int, int]], spare_attempts: int
) -> Iterator[Problem]:
    after = study.finished()
    for run_id, file in finished_before.items():
        if after.get(run_id) != file:
            yield Problem(Kind.DOUBLED, f"run {run_id} had finished and was trained again")
    attempts = {folder.run_id: folder.status().attempt for folder in study.folders()}
    if sum(attempts.values()) > study.n_runs + spare_attempts:
        yield Problem(Kind.DOUBLED, f"{attempts}: more attempts than faults")
    if min(attempts.values()) < 1:
        yield Problem(Kind.LOST, f"{attempts}: a run that was never begun")


def litter(store: Path) -> Iterator[Problem]:
    for path in store.rglob("*"):
        if TEMPORARY.fullmatch(path.name) or path.name.startswith("checkpoint"):
            yield Problem(Kind.LITTER, str(path.relative_to(store)))


def shown(database: Path, expected: Mapping[str, Outcome]) -> Iterator[Problem]:
    """What MLflow shows, read from its database."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT tags.value, runs.run_uuid, status, lifecycle_stage FROM runs JOIN tags USING (run_uuid) "
            "WHERE tags.key = 'ablate.run_id'"
        ).fetchall()
        found = {run_id: [row[1:] for row in rows if row[0] == run_id] for run_id in expected}
        for run_id in expected:
            if not found[run_id]:
                yield Problem(Kind.LOST, f"MLflow does not show run {run_id}")
            elif len(found[run_id]) > 1:
                yield Problem(Kind.DOUBLED, f"MLflow has several of run {run_id}: {found[run_id]}")
            for identifier, status, stage in found[run_id]:
                if (status, stage) != ("FINISHED", "active"):
                    yield Problem(Kind.LOST, f"MLflow shows run {run_id} as {status}, {stage}")
                yield from _points(connection, run_id, identifier, expected[run_id])


def _points(
    connection: sqlite3.Connection, run_id: str, identifier: str, expected: Outcome
) -> Iterator[Problem]:
    query = "SELECT key, step, value FROM metrics WHERE run_uuid = ? ORDER BY key, step"
    points = connection.execute(query, (identifier,)).fetchall()
    steps = [(key, step) for key, step, _ in points]
    for step in sorted({step for step in steps if steps.count(step) > 1}):
        yield Problem(Kind.DOUBLED, f"MLflow shows {step} of run {run_id} {steps.count(step)} times")
    curves = {
        (f"curves/{name}", row["epoch"]): value
        for row in expected.history
        for name, value in row.items()
        if name != "epoch" and value is not None
    }
    scores = {
        (name, 0): value
        for name, value in expected.result["metrics"].items()
        if value is not None and "/" not in name
    }
    values = {(key, step): value for key, step, value in points}
    for point, value in (curves | scores).items():
        if point not in values:
            yield Problem(Kind.LOST, f"MLflow lacks {point} of run {run_id}")
        elif values[point] != value:
            yield Problem(
                Kind.DIFFERS, f"MLflow shows {point} of run {run_id} as {values[point]}, not {value}"
            )
