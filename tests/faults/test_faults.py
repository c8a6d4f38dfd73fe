"""Kill anything at any moment, type the same command, and the study completes with the same numbers.

These are a few moments only. ``make faults`` takes a hundred, of every scenario, and counts.
"""

import itertools
import shutil
from pathlib import Path

import pytest

from tests.faults.scenarios import may_mount, run_trial
from tests.faults.study import Study, Undisturbed, run_undisturbed

EPOCHS = 10


def small_study(folder: Path, data: Path, database: Path, workers: int = 2) -> Study:
    study = Study(folder, data, epochs=EPOCHS, workers=workers)
    shutil.copy(database, study.store.database)
    return study


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, tiny_data: Path, empty_database: Path
) -> Undisturbed:
    return run_undisturbed(small_study(tmp_path_factory.mktemp("undisturbed"), tiny_data, empty_database))


# With one worker where what is disturbed is no worker, as each imports torch, which takes it seconds.
@pytest.mark.timeout(900)  # for a machine that is busy with other things, as every step is waited for
@pytest.mark.parametrize(
    ("name", "workers"),
    [
        pytest.param("worker SIGSTOP", 2, marks=pytest.mark.long),
        ("one of two controllers SIGKILL", 1),
        ("disk full", 1),
        ("files damaged", 1),
    ],
)
def test_the_same_command_completes_the_study(
    name: str, workers: int, tmp_path: Path, tiny_data: Path, empty_database: Path, undisturbed: Undisturbed
) -> None:
    if name == "disk full" and not may_mount(tmp_path / "disk"):
        pytest.skip("a small disk cannot be mounted here; that takes root")
    for seed in itertools.count():
        study = small_study(tmp_path / str(seed), tiny_data, empty_database, workers)
        trial = run_trial(name, study, undisturbed, seed)
        assert not trial.problems, f"seed {seed}: {trial.injections}"
        if trial.injections:  # else the study was faster this time, and over before the moment
            break
