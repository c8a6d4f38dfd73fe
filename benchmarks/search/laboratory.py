"""Searches whose trainings are a formula: all of a search but the processes, in this one."""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from ablate.campaign.searching import Searching, Target
from ablate.design.runs import Run
from ablate.design.space import Space, make_space, parse_ranges
from ablate.launch.base import Event, Kind
from ablate.record.rundir import State
from ablate.record.searches import Plan, SearchFolder
from ablate.record.store import Store
from ablate.schedule.search import SAMPLERS, VERSION, pruner_options
from ablate.subject.interface import Dataset
from benchmarks.search.surfaces import EPOCHS, SUBJECT, Config, Surface
from tests.no_scores import NO_SCORES

SLOTS = 2  # runs under way at the same time, an epoch of each in turn
DATA = Dataset("none", "none", Path("none"))


@dataclass(frozen=True)
class Found:
    """What a search has come to: its best condition's score without noise, and the epochs it has trained."""

    best: float
    is_found: bool
    epochs: int
    trials: int


@dataclass
class Search:
    """One search of a surface. ``pruner``: curves are looked at only when there is one."""

    surface: Surface
    sampler: str
    seed: int
    pruner: str = "none"
    epochs: int = 0
    finished: list[tuple[float, Run]] = field(default_factory=list)

    def run(self, n_trials: int) -> Found:
        with TemporaryDirectory() as name:
            store = Store(Path(name))
            folder = SearchFolder.of(store, "search")
            folder.path.mkdir(parents=True)
            searching = self._searching(store, folder, n_trials)
            for run in self._under_way(searching):
                run.train(store, self, searching)
            trials = len(folder.trials())
        _, best = max(self.finished, key=lambda each: each[0])
        of = best.config.get
        return Found(self.surface.score(of), self.surface.is_found(of), self.epochs, trials)

    def _searching(self, store: Store, folder: SearchFolder, n_trials: int) -> Searching:
        space = self._space()
        plan = Plan(
            objectives={"score": "max"},
            space=tuple(dimension.to_json() for dimension in space.dimensions),
            sampler=self.sampler,
            sampler_options=SAMPLERS[self.sampler],
            pruner=self.pruner,
            pruner_options=pruner_options(self.pruner, EPOCHS),
            seed=self.seed,
            seeds=1,
            validation=0.0,
            on_evaluation=False,
            base=space.base.flat(),
            dataset=DATA.digest,
            subject=SUBJECT.name,
            optuna=VERSION,
        )
        target = Target(store, "search", SUBJECT, DATA, "")
        return Searching(target, folder, plan, space, n_trials=n_trials, until=math.inf, retry=(), warn=print)

    def _space(self) -> Space:
        ranges = parse_ranges(self.surface.ranges)
        return make_space(Config(), SUBJECT.known_factors, [], self.surface.levels, ranges)

    def _under_way(self, searching: Searching) -> Iterator["_Training"]:
        """Trainings in turn, each until it has ended."""
        line: deque[_Training] = deque()
        while True:
            line.extend(_Training(run) for run in searching.next_runs(SLOTS - len(line)))
            if not line:
                return
            training = line.popleft()
            yield training
            if not training.has_ended:
                line.append(training)


@dataclass
class _Training:
    run: Run
    epoch: int = 0
    curve: list[float] = field(default_factory=list)
    has_ended: bool = False

    def train(self, store: Store, search: Search, searching: Searching) -> None:
        """An epoch; all of them at once where no curve is looked at."""
        folder = store.folder(self.run.run_id)
        if not self.curve:
            folder.begin()
            self.curve = search.surface.curve(self.run)
        if search.pruner == "none":
            self.epoch = EPOCHS
            search.epochs += EPOCHS
        else:
            self.epoch += 1
            search.epochs += 1
            folder.append_history({"epoch": self.epoch, "score": self.curve[self.epoch - 1]})
        if self.epoch == EPOCHS:
            folder.write_result({**NO_SCORES, "metrics": {"score": self.curve[-1]}})
            search.finished.append((self.curve[-1], self.run))
            self._end(store, searching, State.FINISHED, Kind.FINISHED)
        elif searching.on_event(self.run, Event(Kind.EPOCH, self.run.run_id, epoch=self.epoch)):
            self._end(store, searching, State.PRUNED, Kind.PRUNED)

    def _end(self, store: Store, searching: Searching, state: State, kind: Kind) -> None:
        self.has_ended = True
        store.folder(self.run.run_id).end(state)
        searching.on_event(self.run, Event(kind, self.run.run_id))
