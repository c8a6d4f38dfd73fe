"""Runs that other controllers train are looked at the less often, the more there are."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ablate.campaign import campaign
from ablate.campaign.campaign import Campaign
from ablate.launch.inline import InlineLauncher
from ablate.record.rundir import RunFolder
from ablate.record.store import Store
from ablate.tracking import Tracker
from tests.fabricate import make_run


@dataclass(frozen=True)
class CountingStore(Store):
    """Notes which runs are asked for."""

    asked: list[str] = field(default_factory=list, compare=False)

    def folder(self, run_id: str) -> RunFolder:
        self.asked.append(run_id)
        return super().folder(run_id)


class Silent:
    def on_event(self, *_: object) -> None:
        pass

    def on_warning(self, message: str) -> None:
        pass


def test_all_are_looked_at_once_in_as_many_seconds_as_they_are_tens(tmp_path: Path) -> None:
    store = CountingStore(tmp_path)
    runs = [make_run(seed=seed) for seed in range(30)]
    launcher = InlineLauncher(lambda *_: None, "cpu")
    waiting = Campaign(store, launcher, Tracker(store, "s"), Silent())
    waiting._elsewhere = {run.run_id: run for run in runs}
    with ExitStack() as held:
        for run in runs:
            folder = RunFolder(store.runs / run.run_id)
            folder.create(run)
            held.enter_context(folder.claim())
            folder.begin()
        for _ in range(100):
            waiting._look_elsewhere()
        assert len(store.asked) == 30
        waiting._look_elsewhere_at -= 30 / campaign.LOOKS_PER_S
        waiting._look_elsewhere()
        assert len(store.asked) == 60
    assert len(waiting._elsewhere) == 30
