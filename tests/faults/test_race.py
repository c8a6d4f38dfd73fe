"""Commands at once on one study: every run is trained once."""

import shutil
from pathlib import Path

import pytest

from tests.faults.race import crowd, race_of_forks


@pytest.mark.long
@pytest.mark.timeout(900)
def test_eight_commands_at_once_train_28_runs_once(
    tmp_path: Path, tiny_data: Path, empty_database: Path
) -> None:
    study = crowd(tmp_path, tiny_data, workers=1)
    shutil.copy(empty_database, study.store.database)
    assert not race_of_forks(study, commands=8)
