"""Whatever a crash or a power loss leaves of a study, the same command completes it with the same numbers.

These are 300 states of one recording; ``make faults`` takes 10,000.
"""

from pathlib import Path

import pytest

from tests.faults.crash.campaign import prepared
from tests.faults.crash.disk import Disk, Flush, Operation
from tests.faults.crash.recording import Recording, why_not
from tests.faults.crash.recovery import Laboratory, Told
from tests.faults.crash.states import crashes

N_STATES = 300

Prepared = tuple[Recording, Laboratory]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Prepared:
    if (reason := why_not()) is not None:
        pytest.skip(f"no file operations can be recorded: {reason}")
    return prepared("one run more", tmp_path_factory.mktemp("crash"), empty_database)


@pytest.mark.timeout(900)  # for a machine that is busy with other things
def test_the_same_command_completes_the_study_after_any_crash(recorded: Prepared) -> None:
    recording, laboratory = recorded
    operations, n_states = recording.operations, 0
    for crash, disk in crashes(operations, recording.n_before, N_STATES, seed=0):
        found = laboratory.recover(disk, crash.model, Told.by(operations[: crash.after]))
        assert not found.problems, f"{crash}: {found.said}"
        n_states += 1
    assert n_states == N_STATES


def without_flushes(recording: Recording, part: str) -> tuple[list[Operation], int]:
    """What a program had done that flushes nothing whose path has the part, and since when it differs."""
    disk = Disk()
    kept: list[Operation] = []
    left_out_at: list[int] = []
    for index, operation in enumerate(recording.operations):
        is_ours = index >= recording.n_before and isinstance(operation, Flush)
        if is_ours and any(part in path for path, inode in disk.walk("") if inode == operation.inode):
            left_out_at.append(len(kept))
            continue
        disk.apply(operation)
        kept.append(operation)
    return kept, left_out_at[0]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ("history.jsonl", "differs: run"),  # half a history, sealed as the whole
        ("store/runs/", "had finished and was trained again"),  # its files have lost their names
        ("store/artifacts/", "MLflow does not show"),
        ("mlflow.db", "MLflow's database"),  # a transaction that is there in part
    ],
)
def test_a_program_that_does_not_flush_is_found_out(recorded: Prepared, part: str, problem: str) -> None:
    recording, laboratory = recorded
    operations, start = without_flushes(recording, part)
    problems: list[str] = []
    for crash, disk in crashes(operations, start, 150, seed=0):
        found = laboratory.recover(disk, crash.model, Told.by(operations[: crash.after]))
        problems += map(str, found.problems)
        if any(problem in text for text in problems):
            return
    pytest.fail(f"not found out, but {problems}")
