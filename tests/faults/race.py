"""Eight workers on 28 runs make 28 runs: nobody trains what somebody else has, and nobody leaves one out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults.lightstudy import LightStudy
from tests.faults.study import Attempt, Outcome, Study, outcomes
from tests.faults.verdict import Kind, Problem, examine

PATIENCE_S = 600
# Commands at once, and workers of each.
SHAPES = [(1, 8), (2, 4), (4, 2), (8, 1)]


def crowd(folder: Path, data: Path, workers: int) -> Study:
    """28 runs of one epoch: there is always somebody who asks for the next one."""
    return Study(folder, data, positions="none,S1,S2,E1", seeds=7, epochs=1, workers=workers)


def light_crowd(folder: Path, database: Path, workers: int) -> LightStudy:
    """As ``crowd``, of runs that take milliseconds; ``database`` is MLflow's with nothing in it."""
    return LightStudy(
        folder, folder, workers=workers, seeds=7, epochs=2, pause_s=0.005, empty_database=database
    )


def race(study: Study, commands: int, expected: Mapping[str, Outcome] | None) -> list[Problem]:
    """Type the command several times at once. Every one of them ends when the whole study is complete.

    ``expected`` are the outcomes of another race, if there was one.
    """
    return _judge(study, [study.start() for _ in range(commands)], expected)


def race_of_forks(study: Study, commands: int) -> list[Problem]:
    """As ``race``, with commands that share the seconds of their imports and train in their own process."""
    words = [str(commands), *study.command, "--launcher", "inline"]
    return _judge(study, [study.type(*words, program="tests.faults.forks")], None)


def _judge(
    study: Study, attempts: Sequence[Attempt], expected: Mapping[str, Outcome] | None
) -> list[Problem]:
    codes = [attempt.code(PATIENCE_S) for attempt in attempts]
    problems = [
        Problem(Kind.COMMAND, f"exit code {code}: {attempt.said()[-1500:]}")
        for code, attempt in zip(codes, attempts, strict=True)
        if code != 0
    ]
    if problems:
        return problems
    if any("`ablate sync` sends the rest" in attempt.said() for attempt in attempts):
        study.ask("sync")  # on a busy machine MLflow may be too slow for a command, which then says so
    found = outcomes(study)
    if len(found) != study.n_runs:
        return [Problem(Kind.LOST, f"{len(found)} runs, not {study.n_runs}")]
    return examine(study, expected or found)
