"""A search that is asked for: what it is to do, its trials, the best of them anew, and what it has found."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.api.answer import Answer, html_of_text
from ablate.api.page import Page
from ablate.api.subjects import Chosen, Code, all_factors, choose_subject, settle_code
from ablate.api.training import Training, find_dataset, plan_of, record_runs, train_runs
from ablate.ground import documents
from ablate.ground.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from ablate.analysis.compare import Comparison
    from ablate.analysis.query import RunRecord
    from ablate.analysis.searches import Search
    from ablate.campaign.searching import Searching
    from ablate.design.space import Space
    from ablate.design.study import Study
    from ablate.record.searches import Plan, SearchFolder
    from ablate.record.store import Store
    from ablate.schedule.estimate import Forecast
    from ablate.subject.interface import Dataset, Subject


@dataclass(frozen=True)
class Wish:
    """What to search for, among what and how; each field as the option of ``ablate search``."""

    name: str | None = None
    factors: Sequence[str] = ()
    levels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ranges: Sequence[str] = ()
    maximize: str | None = None
    minimize: str | None = None
    second: str | None = None
    sampler: str = "tpe"
    prune: str = "none"
    prune_after: int | None = None
    seeds: int = 1
    search_seed: int = 0
    validation: float | None = None
    on_evaluation: bool = False
    chosen: Chosen = field(default_factory=Chosen)
    code: Code | None = None
    data: Path | None = None
    profile: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    plugins: Sequence[Path] = ()

    def asked(self, store: "Store", training: Training) -> "Asked":
        """The search. Raises ConfigError for all that cannot be, and when another search has its name."""
        from ablate.design.selection import hold_out, middles, objectives_of
        from ablate.design.space import make_space, parse_ranges
        from ablate.design.study import check_study_name
        from ablate.schedule.search import check_method
        from ablate.subject.registry import built_in

        within = parse_ranges(self.ranges)
        tried = {**dict.fromkeys(self.factors, ()), **self.levels, **middles(within)}
        subject = choose_subject(self.chosen, levels=tried, settings=self.settings)
        objectives = objectives_of(subject, self.maximize, self.minimize, self.second)
        check_method(self.sampler, self.prune, len(objectives))
        name = self.name or ("search" if subject is built_in() else f"{subject.name}-search")
        check_study_name(name)
        store.require_folder()
        subject = settle_code(store, name, subject, self.code)
        known = all_factors(subject, self.plugins)
        known = known.on_data(subject.data.settles(self.data, store.data))
        base = subject.profile(self.profile).override(known.fields_of(self.settings))
        base, share = hold_out(subject, base, objectives, self.validation, on_evaluation=self.on_evaluation)
        space = make_space(base, known, self.factors, self.levels, within)
        training = training.of(subject)
        study = training.fit(_study_of(name, subject, space, list(range(self.seeds)), objectives))
        if not training.dry_run:
            store.require_writable()
        dataset = find_dataset(study, training)
        plan = _plan(
            subject,
            space,
            dataset,
            objectives,
            sampler=self.sampler,
            pruner=self.prune,
            prune_after=self.prune_after,
            seed=self.search_seed,
            seeds=self.seeds,
            validation=share,
            on_evaluation=self.on_evaluation,
        )
        asked = Asked(training, study, dataset, plan, space)
        _require_same(asked)
        return asked


@dataclass(frozen=True)
class Asked:
    """A search that a user has asked for. ``study`` has no conditions yet."""

    training: Training
    study: "Study"
    dataset: "Dataset"
    plan: "Plan"
    space: "Space"

    def search(self, n_trials: int, budget_s: float | None = None) -> None:
        """Ask and train until the trials or the time are up. Raises as ``training.train_runs`` does."""
        from ablate.campaign.searching import Searching, Target
        from ablate.record.searches import SearchFolder

        training, study = self.training, self.study
        folder = SearchFolder.of(training.store, study.name)
        with folder.claim():
            folder.mend()
            if not folder.exists():
                folder.write_plan(self.plan)
            searching = Searching(
                Target(training.store, study.name, study.subject, self.dataset, training.command),
                folder,
                self.plan,
                self.space,
                n_trials=n_trials,
                until=math.inf if budget_s is None else time.monotonic() + budget_s,
                retry=training.means.retried,
                warn=self._warn,
            )
            try:
                train_runs(training, study, [], search=searching)
            finally:
                searching.enrol(now=True)
                self._copy_for_dashboard(folder, searching)
            if searching.is_exhausted:
                self._warn(
                    f"the sampler finds nothing new any more; {searching.n_conditions} conditions were tried"
                )

    def _warn(self, text: str) -> None:
        self.training.tell(f"warning: {text}")

    def _copy_for_dashboard(self, folder: "SearchFolder", searching: "Searching") -> None:
        """Whatever Optuna says of its own file, the search is none the worse for it."""
        from ablate.schedule.dashboard import copy_to

        try:
            objectives = self.plan.objectives
            copy_to(folder.optuna_file, folder.study, objectives, self.space, searching.ended())
        except Exception as error:
            self._warn(
                f"{folder.optuna_file} is not up to date ({type(error).__name__}: {error}). It is but a copy "
                "for optuna-dashboard: remove it, and the same command writes it anew"
            )

    def train_best(self, n: int, n_seeds: int, before: "Callable[[int, Study], None]") -> "Study | None":
        """Train the best and the baseline anew, on all training data and with fresh seeds; that study.

        ``before`` is told how many are the best, and their study.
        """
        from ablate.analysis.searches import anew_of, best, read_search
        from ablate.record.searches import write_origin

        training, study, space = self.training, self.study, self.space
        found = read_search(training.store, study.name)
        chosen = best(found, n) if found is not None else []
        if not chosen:
            return None
        held_out = study.subject.validation
        changes = {held_out: 0.0} if held_out is not None else {}
        whole = replace(space, base=space.base.override(changes))
        conditions = [whole.baseline()[0], *(whole.condition(tried.trial.draws or {}) for tried in chosen)]
        fresh = list(range(self.plan.seeds, self.plan.seeds + n_seeds))
        anew = replace(study, name=anew_of(study.name), conditions=conditions, seeds=fresh, base=whole.base)
        before(len(chosen), anew)
        wanted = plan_of(anew, self.dataset, training.store)
        record_runs(training, anew, [planned.run for planned in wanted.runs])
        write_origin(training.store, anew.name, study.name)
        train_runs(training, anew, wanted.to_train(retry=training.means.retried))
        return anew

    def found(self, anew: "Study | None") -> "Found":
        """What the search has found, with the best trained ``anew`` where that is a study."""
        return Found(self.training.store, self.study.name, anew)

    def plan_page(self, n_trials: int) -> Page:
        """What is to be searched, for what and how."""
        from ablate.analysis.searches import scored_on
        from ablate.api.plans import add_forecast

        page, plan, name, training = Page(), self.plan, self.study.name, self.training
        goals = " and ".join(
            f"{'maximize' if best == 'max' else 'minimize'} {metric}"
            for metric, best in plan.objectives.items()
        )
        pruning = "" if plan.pruner == "none" else f", pruned by {plan.pruner}"
        n_asked = self._n_asked()
        page.say(f"Search {name}: {n_trials} trials to {goals}, sampler {plan.sampler}{pruning}")
        for remark in self.study.remarks:
            page.say(f"  {remark}")
        for dimension in self.space.dimensions:
            rule = f"; not asked when {dimension.factor.inert_when}" if dimension.factor.inert_when else ""
            page.say(f"  {dimension.name}: {dimension}{rule}")
        page.say(f"  scored on {scored_on(plan)}, {plan.seeds} seed{'s' * (plan.seeds > 1)} each")
        if n_asked:
            page.say(f"  {n_asked} trials were asked before")
        if training.place is not None:
            page.say(f"  {training.place}")
        times = self._forecast(max(0, n_trials - n_asked))
        add_forecast(page, times, len(training.devices), can_calibrate=False)
        return page

    def _n_asked(self) -> int:
        from ablate.record.searches import SearchFolder

        return len(SearchFolder.of(self.training.store, self.study.name).trials())

    def _forecast(self, n_trials: int) -> "Forecast":
        """How long that many trials like the baseline take; those that are pruned take less."""
        from ablate.api.plans import forecast
        from ablate.design.study import run_of

        run = run_of(self.space.baseline()[0], self.study.subject, self.dataset)
        return forecast(self.study.subject, self.training, [run] * (n_trials * self.plan.seeds))

    def document(self, n_trials: int) -> documents.SearchPlan:
        """What is to be searched, for scripts."""
        n_asked = self._n_asked()
        times = self._forecast(max(0, n_trials - n_asked)).by_workers
        return documents.SearchPlan(
            schema="ablate.search-plan/1",
            study=self.study.name,
            trials=n_trials,
            trials_asked_before=n_asked,
            plan=asdict(self.plan),
            remarks=list(self.study.remarks),
            place=self.training.place,
            estimated_seconds=times.get(len(self.training.devices)),
        )


@dataclass(frozen=True, repr=False)
class Found(Answer):
    """What a search has found: the best trials, and what they were worth with fresh seeds."""

    store: "Store"
    study: str
    anew: "Study | None"
    n_shown: int = 3

    @cached_property
    def search(self) -> "Search":
        """The trials. Raises StoreError when they are gone."""
        from ablate.analysis.searches import read_search

        found = read_search(self.store, self.study)
        if found is None:
            raise StoreError(f"search '{self.study}' is gone")
        return found

    @cached_property
    def comparison(self) -> "Comparison | None":
        """The best beside the baseline, with fresh seeds; None where none was trained anew."""
        from ablate.analysis.compare import compare
        from ablate.analysis.searches import marked

        if self.anew is None:
            return None
        names = {condition.name for condition in self.anew.conditions}
        records = [run for run in self._runs_anew() if run.name in names and run.seed in self.anew.seeds]
        return marked(compare(records, self.anew.name, metrics=list(self.search.objectives)), self.store)

    def _runs_anew(self) -> "list[RunRecord]":
        from ablate.analysis.query import load_runs

        return [] if self.anew is None else load_runs(self.store, self.anew.name)

    @cached_property
    def runs(self) -> "list[RunRecord]":
        """All runs of the search, and those of the best anew."""
        from ablate.analysis.query import load_runs

        return [*load_runs(self.store, self.study), *self._runs_anew()]

    @property
    def document(self) -> dict[str, Any]:
        from ablate.analysis import searches

        content = searches.as_json(self.search)
        if self.anew is not None and self.comparison is not None:
            lucks = searches.lucks(self.search, self.comparison)
            content["anew"] = {
                "study": self.anew.name,
                "seeds": self.anew.seeds,
                "gains": [{**asdict(luck), "luck": luck.luck} for luck in lucks],
            }
        return content

    def best_text(self, width: int | None = None) -> str:
        """The best trials."""
        from ablate.analysis import searches

        return searches.terminal(self.search, self.n_shown, width)

    def luck_text(self, width: int | None = None) -> str:
        """How much better the best had looked in the search; nothing where none was trained anew."""
        from ablate.analysis import searches

        if self.comparison is None:
            return ""
        lucks = searches.lucks(self.search, self.comparison)
        table = searches.table_of_luck(self.search, lucks, width)
        return f"How much better they had looked in the search, which was luck:\n\n{table}\n"

    def text(self, width: int | None = None) -> str:
        from ablate.analysis import tables

        parts = [self.best_text(width)]
        if self.comparison is not None:
            parts += [tables.terminal(self.comparison, width), self.luck_text(width)]
        return "\n".join(parts)

    def html(self) -> str:
        return html_of_text(self.text())


# ---------------------------------------------------------------------------------------- what is asked for


def _study_of(
    name: str, subject: "Subject", space: "Space", seeds: list[int], objectives: "Iterable[str]"
) -> "Study":
    """The search as a study, whose conditions are yet to come."""
    from ablate.design.study import Study, expected_of_base, expected_of_levels

    sought = [each for metric in objectives for each in subject.expects(f"objective {metric}", metric=metric)]
    pairs = [(dimension.factor, level) for dimension in space.dimensions for level in dimension.levels]
    return Study(
        name,
        subject,
        [dimension.factor for dimension in space.dimensions],
        [],
        [],
        seeds,
        space.base,
        remarks=tuple(space.known.settled_remarks),
        expected=(*sought, *expected_of_base(subject, space.base), *expected_of_levels(subject, pairs)),
    )


def _plan(
    subject: "Subject",
    space: "Space",
    dataset: "Dataset",
    objectives: "Mapping[str, str]",
    *,
    sampler: str,
    pruner: str,
    prune_after: int | None,
    **others: Any,
) -> "Plan":
    from ablate.record.searches import Plan
    from ablate.schedule.search import SAMPLERS, VERSION, pruner_options
    from ablate.subject.settings import Settings

    epochs = subject.epochs(Settings(space.base.flat()))
    return Plan(
        objectives=objectives,
        space=tuple(dimension.to_json() for dimension in space.dimensions),
        sampler=sampler,
        sampler_options=SAMPLERS[sampler],
        pruner=pruner,
        pruner_options=pruner_options(pruner, epochs, prune_after),
        base=space.base.flat(),
        dataset=dataset.digest,
        subject=" ".join([subject.name, subject.version]).strip(),
        optuna=VERSION,
        **others,
    )


def _require_same(asked: Asked) -> None:
    """Raises ConfigError when the study is there already and is another search, or none."""
    from ablate.record.searches import SearchFolder

    store, name = asked.training.store, asked.study.name
    folder = SearchFolder.of(store, name)
    if not folder.exists():
        if store.study_card_of(name) is not None:
            raise ConfigError(f"study '{name}' is there already and is no search; choose another --study")
        return
    differences = folder.plan().differences(asked.plan)
    if differences:
        raise ConfigError(
            f"search '{name}' was begun otherwise: {'; '.join(differences)}. Choose another name with "
            "--study; what is trained already is not trained again"
        )
