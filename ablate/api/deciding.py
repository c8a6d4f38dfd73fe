"""A decision under way: its plan, the training between looks, and the looks."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ablate.api.page import Page
from ablate.api.training import Training, find_dataset, plan_for, record_runs, require_folds, train_runs
from ablate.ground.errors import ConfigError, StudyError
from ablate.ground.wording import count

if TYPE_CHECKING:
    from ablate.analysis.query import RunRecord
    from ablate.design.claims import Claim, StudyDetails
    from ablate.design.runs import Run
    from ablate.design.study import Study
    from ablate.design.studyfile import StudyFile
    from ablate.record.decision import Decision, Look, Plan
    from ablate.record.store import Store
    from ablate.schedule.estimate import Forecast
    from ablate.schedule.grid import Plan as TrainingPlan
    from ablate.subject.interface import Dataset
    from ablate.subject.metrics import Metrics

DEFAULT_LOOKS = (5, 10, 15, 20)
SEEDS_LOOKED_UP = 100  # of each condition, before a plan is frozen


@dataclass(frozen=True)
class Options:
    """What a plan has beside the study file: ``looks`` are numbers of seeds, the last one the most."""

    looks: tuple[int, ...]
    error: float
    is_anytime: bool


@dataclass
class Deciding:
    """A decision under way. ``study`` has the conditions that claims name; ``n_idle`` are left out.

    After ``until`` (``time.monotonic()``) no further run is begun. ``stopped`` says what ended it before its
    last look.
    """

    study: "Study"
    details: "StudyDetails"
    dataset: "Dataset"
    runs: "Sequence[Run]"
    training: Training
    decision: "Decision"
    n_idle: int
    is_new: bool
    until: float | None
    stopped: str = ""
    looked: bool = False

    @classmethod
    def begin(
        cls,
        study: "Study",
        details: "StudyDetails",
        training: Training,
        options: Options,
        budget_s: float | None,
    ) -> "Deciding":
        """Find the data and the plan. Raises StudyError when another plan was frozen."""
        from ablate.record.decision import read_decision

        until = None if budget_s is None else time.monotonic() + budget_s
        training = training.of(study.subject)
        study = training.fit(study)
        named = {name for claim in details.claims for name in (*claim.better, *claim.worse)}
        idle = [condition for condition in study.conditions if condition.name not in named]
        study = replace(
            study, conditions=[condition for condition in study.conditions if condition.name in named]
        )
        if training.calibrate or not training.dry_run:
            training.store.require_writable()
        require_folds(study, training.store)
        dataset = find_dataset(study, training)
        runs = study.runs(dataset)
        asked = _plan(study, details, runs, options)
        found = read_decision(training.store, study.name)
        if found is not None:
            _require_same(found, asked)
        decision = found or _fresh(asked, runs, training.store)
        return cls(study, details, dataset, runs, training, decision, len(idle), found is None, until)

    @property
    def plan(self) -> "Plan":
        return self.decision.plan

    @property
    def units(self) -> "Metrics":
        """Of the metrics that claims name, those too that follow from counts of the runs."""
        from ablate.analysis.query import units_of

        return units_of(self._records())

    @property
    def is_complete(self) -> bool:
        """Whether nothing failed that a look waits for, and nothing but time has stopped it."""
        waits = any(finding.waits_for for finding in self.decision.latest().values())
        return not waits and (not self.stopped or self._is_late())

    def freeze(self) -> None:
        """Freeze the plan, unless it is. Raises StudyError when another one was frozen meanwhile."""
        from ablate.record.decision import freeze

        frozen = freeze(self.training.store, self.decision)
        _require_same(frozen, self.plan)
        self.decision = frozen

    def train(self, on_look: "Callable[[Look], None]") -> None:
        """Train and look until all is decided, time is up, or runs are missing."""
        last: int | None = 0
        while last is not None and not self.stopped:
            last = self._go_on(last, on_look)
        if self.looked:
            self._show_in_mlflow()

    # -- looks

    def _go_on(self, last: int, on_look: "Callable[[Look], None]") -> int | None:
        """Take the look after the one at ``last`` seeds. Returns its seeds; None when there is none."""
        from ablate.analysis.deciding import next_look, open_conditions
        from ablate.record.decision import latest

        before = tuple(look for look in self.decision.looks if look.n <= last)
        conditions = open_conditions(self.plan, latest(before))
        at_once = len(self.training.devices) * (self.training.means.runs_per_gpu or 1)
        taken = [look.n for look in self.decision.looks]
        n = next_look(self.plan, last, at_once // max(1, len(conditions)), taken)
        if n is None or not conditions:
            return None
        if self.decision.taken(n) is None and not self._train(conditions, n):
            return None
        look = self.decision.taken(n) or self._take(n, before)
        on_look(look)
        return n

    def _train(self, conditions: "Sequence[str]", n: int) -> bool:
        """Train the conditions' seeds below n. False when some have not ended, which ``stopped`` explains."""
        wanted = [run for run in self.runs if run.seed < n and run.condition_id in conditions]
        self._add(wanted)
        todo = self._state_of(wanted).to_train(retry=self.training.means.retried)
        if not todo:
            return True
        left_s = None if self.until is None else self.until - time.monotonic()
        if left_s is None or left_s > 0:
            train_runs(self.training, self.study, todo, left_s)
        left = len(self._state_of(wanted).to_train(retry=()))
        if left:
            self.stopped = (
                f"{'Time is up (--budget)' if self._is_late() else 'Stopped'}: the look at {n} seeds lacks "
                f"{count(left, 'run')} of {len(wanted)}. The same command goes on."
            )
        return not left

    def _is_late(self) -> bool:
        return self.until is not None and time.monotonic() >= self.until

    def _state_of(self, runs: "Sequence[Run]") -> "TrainingPlan":
        return plan_for(runs, self.study.name, self.training.store)

    def _add(self, runs: "Sequence[Run]") -> None:
        """Record that the study has these runs. A baseline that no claim names it may have, or not."""
        store, name = self.training.store, self.study.name
        known = {run.name for run in runs}
        if store.study_card_of(name) is not None:
            known |= {str(folder.name) for folder in store.study_runs(name)}
        details = self.details
        if details.baseline not in known:
            details = replace(details, baseline=None)
        record_runs(self.training, self.study, runs, details)

    def _take(self, n: int, before: "tuple[Look, ...]") -> "Look":
        """Look at n seeds, and record what is seen unless that is what was recorded already."""
        from ablate.analysis.deciding import rule_of, scores_of, signs_of, take_look
        from ablate.record.decision import Look, latest, write_decision

        records = self._records()
        claims = take_look(
            self.plan,
            rule_of(self.plan),
            n,
            scores_of(self.plan, records),
            signs_of(self.plan, records),
            latest(before),
        )
        known = next((look for look in self.decision.looks if look.n == n), None)
        if known is not None and known.claims == claims:
            return known
        look = Look(n=n, at=time.time(), claims=claims)
        self.decision = replace(self.decision, looks=(*before, look))
        write_decision(self.training.store, self.decision)
        self.looked = True
        return look

    def _records(self) -> "list[RunRecord]":
        """The study's seeds of the plan's conditions, as they are recorded."""
        from ablate.analysis.folds import pooled
        from ablate.analysis.query import load_runs

        records = load_runs(self.training.store, self.study.name)
        return pooled([record for record in records if record.condition_id in self.plan.conditions])

    # -- what is shown

    def todo(self) -> "list[Run]":
        """What is to be trained at most."""
        return self._state_of(self.runs).to_train(retry=self.training.means.retried)

    def estimate(self) -> "Forecast":
        """How long all that would take."""
        from ablate.api.plans import forecast

        return forecast(self.study.subject, self.training, self.todo())

    def plan_page(self) -> Page:
        """What is to be decided and how; for a plan alone also how long it takes."""
        from ablate.analysis.decisions import describe
        from ablate.api.plans import add_forecast
        from ablate.record.decision import day

        page, only = Page(), self.training.only_plan
        page.say(f"Decision on study {self.study.name}: {count(len(self.plan.claims), 'claim')}")
        for line in describe(self.decision):
            page.say(f"  {line}")
        if self.n_idle:
            page.say(
                f"  {count(self.n_idle, 'condition')} of the study not trained, since no claim names them"
            )
        is_open = only and self.is_new
        page.say(f"  {'to be frozen' if is_open else f'frozen on {day(self.decision.frozen_at)}'}")
        if self.training.place is not None:
            page.say(f"  {self.training.place}")
        if only:
            todo, workers = self.todo(), len(self.training.devices)
            first = [run for run in todo if run.seed < self.plan.looks[0]]
            page.say(
                f"  {count(len(todo), 'run')} to train at most, {len(first)} of them before the first look"
            )
            can_calibrate = bool(self.study.subject.speed_command)
            add_forecast(page, self.estimate(), workers, can_calibrate=can_calibrate)
        return page

    def document(self) -> dict[str, Any]:
        """``documents.Decision``."""
        from ablate.analysis.decisions import content

        if not self.training.only_plan:
            return {**content(self.decision), "stopped": self.stopped or None}
        seconds = self.estimate().by_workers.get(len(self.training.devices))
        return {
            **content(self.decision),
            "is_frozen": not self.is_new,
            "most_to_train": len(self.todo()),
            "estimated_seconds": seconds,
        }

    def _show_in_mlflow(self) -> None:
        """The verdicts as tags of the experiment, for which it is never worth failing."""
        from ablate.analysis.decisions import verdicts
        from ablate.ground.errors import AblateError
        from ablate.tracking import Tracker

        try:
            tracker = Tracker(self.training.store, self.study.name)
            tracker.show_decision(self.plan.digest, verdicts(self.decision))
        except AblateError as problem:
            self.training.tell(f"ablate: the verdicts are not in MLflow: {problem}")


# ------------------------------------------------------------------------------------------- the plan


def _plan(study: "Study", details: "StudyDetails", runs: "Sequence[Run]", options: Options) -> "Plan":
    from ablate.analysis.deciding import make_plan

    return make_plan(
        study.name,
        runs[0].dataset.digest,
        details.claims,
        {run.name: run.condition_id for run in runs},
        "anytime-valid" if options.is_anytime else "group sequential",
        options.looks,
        options.error,
    )


def _fresh(asked: "Plan", runs: "Sequence[Run]", store: "Store") -> "Decision":
    """A plan to be frozen, with its levels and with what of it was trained and looked at before.

    Raises StudyError when more seeds were trained than it allows.
    """
    from ablate.analysis.deciding import with_levels
    from ablate.record.decision import Decision
    from ablate.record.looks import read_looks

    first = {run.condition_id: run for run in runs if run.seed == 0}
    trained = {identifier: _trained_seeds(run, store) for identifier, run in first.items()}
    beyond = [
        f"{asked.conditions[identifier]} has {max(seeds) + 1}"
        for identifier, seeds in trained.items()
        if seeds and max(seeds) >= asked.max_seeds
    ]
    if beyond:
        raise StudyError(
            f"--max-seeds {asked.max_seeds} is less than what is trained already: {', '.join(beyond)}. A "
            "plan that leaves out seeds which could be looked at keeps no error rate; allow as many"
        )
    looks = read_looks(store, asked.study)
    looked = sorted({n for identifier in trained for n in looks.get(identifier, [])})
    counts = {identifier: len(seeds) for identifier, seeds in trained.items()}
    return Decision(with_levels(asked), time.time(), counts, looked)


def _trained_seeds(run: "Run", store: "Store") -> list[int]:
    """The seeds of the run's condition that have finished, with all of their folds."""
    from ablate.record.rundir import State

    return [
        seed
        for seed in range(SEEDS_LOOKED_UP)
        if all(
            store.folder(fold.run_id).status().state is State.FINISHED
            for fold in run.with_seed(seed).in_folds()
        )
    ]


def _require_same(found: "Decision", asked: "Plan") -> None:
    """Raises StudyError when a plan was frozen that is not the one asked for."""
    from ablate.record.decision import changes, day, listed

    plan = found.plan
    if plan.matches(asked):
        return
    how = "--anytime" if plan.method == "anytime-valid" else f"--looks {listed(plan.looks)}"
    raise StudyError(
        f"the plan of study '{plan.study}' was frozen on {day(found.frozen_at)}, and this command asks for "
        f"another one: {'; '.join(changes(plan, asked))}. What is changed after a look keeps no error rate. "
        f"With --max-seeds {plan.max_seeds} {how} --error {plan.error:g}, the study file, data and settings "
        "as they were, it goes on; for a new decision give the study another name in its file"
    )


# ---------------------------------------------------------------------------------------- what is asked


def options_of(max_seeds: int | None, looks: Sequence[int] | None, error: float, *, anytime: bool) -> Options:
    """How to look. Raises ConfigError with everything that is wrong."""
    from ablate.analysis.deciding import FIRST_ANYTIME_LOOK
    from ablate.analysis.sequential import LARGEST_ERROR

    problems = []
    if not 0 < error < LARGEST_ERROR:
        problems.append(f"--error {error:g}: should be above 0 and below {LARGEST_ERROR}; 0.05 is 5 %")
    chosen: tuple[int, ...] = ()
    most = DEFAULT_LOOKS[-1] if max_seeds is None else max_seeds
    listed = ",".join(map(str, looks or ()))
    if anytime and looks is not None:
        problems.append(f"--anytime looks whenever seeds are there; leave out --looks {listed}")
    elif anytime:
        chosen = tuple(range(FIRST_ANYTIME_LOOK, most + 1))
        if not chosen:
            problems.append(
                f"--max-seeds {most}: --anytime looks from {FIRST_ANYTIME_LOOK} seeds on; allow more"
            )
    elif looks is None:
        chosen = (*(n for n in DEFAULT_LOOKS if n < most), most)
    else:
        chosen = _checked(looks, listed, problems)
        if chosen and max_seeds is not None and chosen[-1] != max_seeds:
            side = "beyond" if chosen[-1] > max_seeds else "below"
            problems.append(
                f"--looks {listed} ends {side} --max-seeds {max_seeds}, which is always the last look; "
                "leave one of them out, or make them end alike"
            )
    if problems:
        raise ConfigError(problems)
    return Options(chosen, error, anytime)


def _checked(looks: Sequence[int], listed: str, problems: list[str]) -> tuple[int, ...]:
    if not looks or not all(2 <= n <= 1000 for n in looks):
        problems.append(f"--looks {listed}: write numbers of seeds from 2 to 1000, such as 5,10,20")
        return ()
    if list(looks) != sorted(set(looks)):
        problems.append(f"--looks {listed}: each look should be at more seeds than the one before")
        return ()
    return tuple(looks)


def with_interest(page: "StudyFile", interest: float | None) -> "StudyDetails":
    """The study file's details, with an interest for claims without. Raises StudyError, ConfigError."""
    return replace(page.details, claims=_claims(page, interest))


def _claims(page: "StudyFile", interest: float | None) -> "tuple[Claim, ...]":
    """The claims, with an interest where one is given. Raises StudyError, ConfigError."""
    from ablate.design.studyfile import problem_of_interest

    if not page.details.claims:
        raise StudyError(
            f"study '{page.name}' makes no claims, so there is nothing to decide; state them in its file as "
            f"[claims.C1], or train it with `ablate study`"
        )
    if interest is None:
        return page.details.claims
    lacking = [claim for claim in page.details.claims if claim.interest is None]
    metrics = page.subject.card.metrics
    problems = {
        claim.id: problem_of_interest(interest, metrics.of(claim.metric), claim.margin) for claim in lacking
    }
    if any(problems.values()):
        raise ConfigError(
            [f"--interest {interest:g}, claim {name}: {why}" for name, why in problems.items() if why]
        )
    return tuple(
        replace(claim, interest=interest) if claim in lacking else claim for claim in page.details.claims
    )
