"""A search under way: trials become runs, and what comes out of the runs is told.

The ledger (``record.searches``) says which trials were asked and in which order, the run folders what came of
them. Optuna is told from both, so that a search that was broken off goes on as if it had not been.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablate.analysis.cells import means
from ablate.design.conditions import Condition
from ablate.design.runs import Run
from ablate.design.space import Space
from ablate.design.study import run_of
from ablate.ground.errors import ConfigError
from ablate.ground.failures import FailureKind
from ablate.ground.wording import suggest
from ablate.launch.base import Event, Kind
from ablate.record.rundir import RunFolder, State, Status
from ablate.record.searches import Plan, SearchFolder, Trial
from ablate.record.store import Store
from ablate.schedule.dashboard import Ended
from ablate.schedule.search import Asker
from ablate.schedule.twins import weights_for
from ablate.subject.interface import Dataset, Subject
from ablate.subject.metrics import brief_value
from ablate.subject.settings import Settings

ENROL_EVERY_S = 5.0  # new runs are added to the study's record, which is written whole each time
MOST_REPEATS = 50  # asked one after the other that are known already, or refused: little else is left to try


@dataclass(frozen=True)
class Target:
    """Whose trials a search trains, on what, and the study that records them. ``command`` was typed."""

    store: Store
    study: str
    subject: Subject
    dataset: Dataset
    command: str


@dataclass(frozen=True)
class Outcome:
    """What came of a trial: its scores; else it was pruned, or it has failed."""

    values: Sequence[float] | None = None
    pruned: bool = False


@dataclass
class _Trial:
    """A trial, and how far its runs are."""

    asked: Trial
    runs: list[Run]
    open: set[str] = field(default_factory=set)  # runs that have not ended
    held_back: list[Run] = field(default_factory=list)  # until the first has survived the pruner
    repeats: list["_Trial"] = field(default_factory=list)  # later ones of the same condition
    is_told: bool = False

    @property
    def number(self) -> int:
        return self.asked.number

    @property
    def first(self) -> Run:
        """The run of the first seed, by whose curve a trial is pruned: that seed is the same in all."""
        return self.runs[0]


_Again = Callable[[Status], bool]  # whether an ended run is to be trained on


def _not_again(_: Status) -> bool:
    return False


class Searching:
    """The feed of a campaign (``campaign.Feed``) that searches, until ``n_trials`` conditions were tried.

    ``until``: from when on (``time.monotonic()``) nothing more is asked. ``retry``: of what runs have
    failed that are trained again, if their trials were asked before. Use it within ``SearchFolder.claim``.
    """

    def __init__(
        self,
        target: Target,
        folder: SearchFolder,
        plan: Plan,
        space: Space,
        *,
        n_trials: int,
        until: float,
        retry: Collection[FailureKind],
        warn: Callable[[str], None],
    ) -> None:
        self._target = target
        self._folder = folder
        self._plan = plan
        self._space = space
        self._n_trials = n_trials
        self._until = until
        self._warn = warn
        self._asker = Asker(plan, space, target.study)
        self._trials: list[_Trial] = []
        self._by_condition: dict[str, _Trial] = {}
        self._by_run: dict[str, _Trial] = {}
        self._waiting: deque[Run] = deque()
        self._told: list[int] = []  # since the last trial was asked
        self._unenrolled: list[Run] = []
        self._enrol_at = 0.0
        self._n_repeats = 0  # in a row, and of conditions that the subject refuses
        self._is_curve_known = False
        self._restore(retry)

    may_go_on = False

    @property
    def n_conditions(self) -> int:
        """Different ones that were asked."""
        return len(self._by_condition)

    @property
    def is_exhausted(self) -> bool:
        """Whether the last trials were all known before or refused: little is left that was not tried."""
        return self._n_repeats >= MOST_REPEATS

    @property
    def n_to_come(self) -> int:
        """Runs that are still to be trained, at most."""
        left = sum(len(trial.open) for trial in self._by_condition.values())
        return left + max(0, self._n_trials - self.n_conditions) * self._plan.seeds

    def folders(self) -> list[RunFolder]:
        """Those of all runs so far, with the search's names for them."""
        runs = (run for trial in self._by_condition.values() for run in trial.runs)
        return [
            RunFolder(self._target.store.folder(run.run_id).path, run.name, run.condition) for run in runs
        ]

    def ended(self) -> Iterator[Ended]:
        """The trials that have ended and lie in the space, with what came of them."""
        for trial in self._trials:
            first = trial if trial.asked.same_as is None else self._trials[trial.asked.same_as]
            outcome = self._outcome(first) if trial.is_told else None
            if outcome is None or trial.asked.draws is None:
                continue
            yield Ended(
                trial.number,
                trial.asked.name,
                trial.asked.draws,
                trial.asked.runs,
                outcome.values,
                outcome.pruned,
                self._curve_of(trial.first) if self._prunes and trial is first and trial.runs else {},
            )

    # What the campaign asks.

    def next_runs(self, room: int) -> Sequence[Run]:
        while len(self._waiting) < room and self._may_ask():
            self._ask()
        self.enrol(now=False)
        return [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]

    def weights(self, runs: Sequence[Run]) -> Mapping[str, Path]:
        scoring = self._target.subject.scoring
        if not any(dimension.factor.field in scoring for dimension in self._space.dimensions):
            return {}
        return weights_for(runs, self._target.store)

    def on_event(self, run: Run, event: Event) -> Sequence[tuple[str, str]]:
        trial = self._by_run.get(run.run_id)
        if trial is None or trial.is_told:
            return ()
        if event.kind is Kind.EPOCH:
            return self._look_at_curve(trial, run, event.epoch)
        if event.kind is Kind.FINISHED:
            self._has_finished(trial, run)
        elif event.kind in (Kind.FAILED, Kind.PRUNED):
            self._end(trial, Outcome(pruned=event.kind is Kind.PRUNED))
        return ()

    def enrol(self, *, now: bool) -> None:
        """Add new runs to the study's record; without ``now`` only every few seconds."""
        if not self._unenrolled or not (now or time.monotonic() >= self._enrol_at):
            return
        target = self._target
        base = Settings(self._space.base.flat())
        card = target.subject.card
        target.store.add_to_study(target.study, self._unenrolled, target.command, card=card, base=base)
        self._unenrolled = []
        self._enrol_at = time.monotonic() + ENROL_EVERY_S

    # Asking.

    def _may_ask(self) -> bool:
        is_over = time.monotonic() >= self._until
        return self.n_conditions < self._n_trials and not self.is_exhausted and not is_over

    def _ask(self) -> None:
        """Ask for a trial, write it down, then begin with it."""
        number = len(self._trials)
        draws = self._space.baseline()[1] if number == 0 else self._asker.ask()
        if number == 0:
            self._asker.take(draws)
        after, self._told = tuple(self._told), []
        trial = self._made(Trial(number, "", draws, after))
        self._folder.append(trial.asked)
        self._register(trial)
        if not trial.is_told and trial.asked.same_as is None:
            self._take_up(trial, again=lambda status: status.state is State.PRUNED)

    def _made(self, asked: Trial) -> _Trial:
        """The trial with the condition, and the runs, that follow from its draws."""
        try:
            condition = self._condition(asked)
        except ConfigError as error:
            return _Trial(replace(asked, refused="; ".join(error.problems)), [])
        runs = self._runs_of(condition)
        same = self._by_condition.get(runs[0].condition_id)
        return _Trial(
            replace(
                asked,
                name=condition.name,
                runs=tuple(run.run_id for run in runs),
                same_as=None if same is None else same.number,
            ),
            runs,
        )

    def _condition(self, asked: Trial) -> Condition:
        return self._space.baseline()[0] if asked.draws is None else self._space.condition(asked.draws)

    def _runs_of(self, condition: Condition) -> list[Run]:
        first = run_of(condition, self._target.subject, self._target.dataset)
        return [first.with_seed(seed) for seed in range(self._plan.seeds)]

    def _register(self, trial: _Trial) -> None:
        """Add a trial to those that there are. One of a known condition is told with that, or at once."""
        self._trials.append(trial)
        if not trial.runs:
            self._n_repeats += 1
            self._tell(trial, Outcome())
        elif trial.asked.same_as is None:
            self._n_repeats = 0
            self._by_condition[trial.first.condition_id] = trial
            self._by_run.update({run.run_id: trial for run in trial.runs})
            self._unenrolled += trial.runs
        else:
            self._n_repeats += 1
            first = self._trials[trial.asked.same_as]
            first.repeats.append(trial)
            if first.is_told:
                self._tell(trial, self._outcome(first) or Outcome())

    def _take_up(self, trial: _Trial, again: _Again) -> None:
        """Send what is left of a trial to be trained, ended runs too where ``again`` says so."""
        for run in trial.runs:
            self._target.store.folder(run.run_id).create(run)
        outcome = self._outcome(trial, again)
        self._report_curve(trial)
        if outcome is not None:
            self._end(trial, outcome)
            return
        left = [run for run in trial.runs if self._status(run).state is not State.FINISHED]
        for run in left:
            self._target.store.folder(run.run_id).order(run)
        trial.open = {run.run_id for run in left}
        if self._prunes and left[0] is trial.first:
            trial.held_back = left[1:]
            left = left[:1]
        self._waiting.extend(left)

    # Telling.

    def _has_finished(self, trial: _Trial, run: Run) -> None:
        trial.open.discard(run.run_id)
        self._waiting.extend(trial.held_back)
        trial.held_back = []
        if not trial.open:
            self._end(trial, Outcome(self._values(trial)))

    def _end(self, trial: _Trial, outcome: Outcome) -> None:
        """Tell a trial, and those of the same condition. Of its runs none is begun any more."""
        ours = {run.run_id for run in trial.runs}
        self._waiting = deque(run for run in self._waiting if run.run_id not in ours)
        trial.held_back = []
        for each in (trial, *trial.repeats):
            self._tell(each, outcome)

    def _tell(self, trial: _Trial, outcome: Outcome) -> None:
        if trial.is_told:
            return
        trial.is_told = True
        if trial.asked.draws is None:
            return  # the baseline, outside of the space
        self._told.append(trial.number)
        if outcome.pruned:
            self._asker.tell_pruned(trial.number)
        else:
            self._asker.tell(trial.number, outcome.values)

    def _outcome(self, trial: _Trial, again: _Again = _not_again) -> Outcome | None:
        """By the states of its runs; None while it is under way, or where it is to be trained on."""
        if not trial.runs:
            return Outcome()
        statuses = [self._status(run) for run in trial.runs]
        ended = [each for each in statuses if each.state in (State.FAILED, State.PRUNED, State.DAMAGED)]
        if not all(map(again, ended)):
            return Outcome(pruned=all(each.state is State.PRUNED for each in ended))
        has_finished = all(each.state is State.FINISHED for each in statuses)
        return Outcome(self._values(trial)) if has_finished else None

    def _status(self, run: Run) -> Status:
        return self._target.store.folder(run.run_id).status()

    def _values(self, trial: _Trial) -> list[float] | None:
        """The mean of each objective over the seeds; None, with a warning, where a run has no such score."""
        results = [_Result.of(self._target.store, run) for run in trial.runs]
        found = means(results, self._plan.objectives)
        lacking = [metric for metric, value in found.items() if value is None]
        if lacking and trial.number == 0:
            known = sorted(name for result in results for name in result.metrics)
            raise ConfigError(
                f"no run has {' or '.join(map(repr, lacking))}{suggest(lacking[0], dict.fromkeys(known))}"
            )
        if lacking:
            self._warn(f"trial {trial.number} ({trial.asked.name}) has no {' and no '.join(lacking)}")
            return None
        return [value for value in found.values() if value is not None]

    # Pruning.

    @property
    def _prunes(self) -> bool:
        return self._plan.pruner != "none"

    @property
    def _curve(self) -> str:
        return next(iter(self._plan.objectives))

    def _look_at_curve(self, trial: _Trial, run: Run, epoch: int) -> Sequence[tuple[str, str]]:
        if not self._prunes or run.run_id != trial.first.run_id:
            return ()
        value = self._curve_of(run).get(epoch)
        if value is None:
            return ()
        is_hopeless = self._asker.report(trial.number, epoch, value)
        if not is_hopeless or trial.number == 0:  # all others are compared with the baseline in the end
            return ()
        metrics = self._target.subject.card.metrics
        seen = f"{metrics.label(self._curve)} {brief_value(metrics.of(self._curve), value)}"
        return [(run.run_id, f"pruned in epoch {epoch} at {seen} ({self._plan.pruner})")]

    def _report_curve(self, trial: _Trial) -> None:
        """What is known already of the curve of a trial that was begun before."""
        if self._prunes and trial.runs:
            self._asker.report_again(trial.number, self._curve_of(trial.first))

    def _curve_of(self, run: Run) -> dict[int, float]:
        """Epoch -> value of the curve that prunes. It is said once when runs report none of that name."""
        history = self._target.store.folder(run.run_id).history()
        known = [row for row in history if row.get(self._curve) is not None]
        if history and not known and not self._is_curve_known:
            self._warn(
                f"--prune {self._plan.pruner}: runs report no curve '{self._curve}', so that none is pruned; "
                "let them report it each epoch"
            )
        self._is_curve_known |= bool(history)
        return {int(row["epoch"]): float(row[self._curve]) for row in known}

    # What was asked before.

    def _restore(self, retry: Collection[FailureKind]) -> None:
        def again(status: Status) -> bool:
            return status.state is State.FAILED and status.failed_of.kind in retry

        as_before = True
        for asked in self._folder.trials():
            for number in asked.after:
                self._restore_outcome(self._trials[number], again)
            as_before &= self._asker.restore(asked.draws)
            self._told = []
            self._register(replace(self._made(asked), asked=asked))
        for trial in self._by_condition.values():
            if not trial.is_told:
                self._take_up(trial, again)
        if not as_before:
            self._warn(
                "this version of Optuna draws otherwise than the one that began the search; what was asked "
                "then stays"
            )

    def _restore_outcome(self, trial: _Trial, again: _Again) -> None:
        first = trial if trial.asked.same_as is None else self._trials[trial.asked.same_as]
        outcome = None if trial.is_told else self._outcome(first, again)
        if outcome is None:
            return
        if trial is first:
            self._report_curve(trial)
        self._tell(trial, outcome)


@dataclass(frozen=True)
class _Result:
    """What a run has scored; nothing before it has finished."""

    metrics: dict[str, float | None]
    matrices: dict[str, Any]

    @classmethod
    def of(cls, store: Store, run: Run) -> "_Result":
        result = store.folder(run.run_id).result() or {}
        return cls(result.get("metrics", {}), result.get("matrices", {}))
