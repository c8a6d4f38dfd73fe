from pathlib import Path

import pytest

from ablate.record.rundir import RunFolder
from ablate.record.store import Store
from tests.command import ablate_here as ablate
from tests.fabricate import fabricate_study, make_run


def test_each_run_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    fabricate_study(store, "s", [make_run(seed=seed) for seed in range(3)])
    read: list[str] = []
    run_of = RunFolder.run
    monkeypatch.setattr(RunFolder, "run", lambda folder: read.append(folder.run_id) or run_of(folder))
    output = ablate("status", store=store)
    assert output.splitlines()[-1].split() == ["baseline", *["finished"] * 3]
    assert len(read) == len(set(read)) == 3
