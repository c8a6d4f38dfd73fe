"""``ablate search``: let Optuna choose the conditions, then train the best of them anew."""

import math
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate.cli.console import say
from ablate.cli.means import Means
from ablate.cli.numbers import parse_duration
from ablate.cli.options import (
    PluginOption,
    Printout,
    PrintoutOption,
    StoreOption,
    all_factors,
    chosen_study,
    open_store,
)
from ablate.cli.searched import Asked, print_plan, show_results
from ablate.cli.subjects import (
    Chosen,
    CodeOption,
    choose_subject,
    settle_code,
)
from ablate.cli.train import (
    BudgetOption,
    DataOption,
    DryRunOption,
    ProfileOption,
    SettingsOption,
    Training,
    find_dataset,
    plan_of,
    record_runs,
    train_runs,
    typed_command,
)
from ablate.cli.unfolded import unfolded
from ablate.ground.errors import ConfigError

if TYPE_CHECKING:
    from ablate.campaign.searching import Searching
    from ablate.design.space import Space
    from ablate.design.study import Study
    from ablate.record.searches import Plan, SearchFolder
    from ablate.subject.interface import Dataset, Subject


class SamplerName(StrEnum):
    TPE = "tpe"
    RANDOM = "random"
    CMAES = "cmaes"
    NSGA2 = "nsga2"
    GP = "gp"


class PrunerName(StrEnum):
    NONE = "none"
    MEDIAN = "median"
    PERCENTILE = "percentile"
    HYPERBAND = "hyperband"


@unfolded
def search(
    *,
    study: Annotated[str | None, typer.Argument(metavar="STUDY", help="The study's name.")] = None,
    factors: Annotated[
        str, typer.Option(metavar="A,B", help="Factors to choose levels of; see `ablate factors`.")
    ] = "",
    levels: Annotated[
        list[str] | None,
        typer.Option(metavar="FACTOR=X,Y", help="Levels to choose from, instead of its own; repeatable."),
    ] = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar="FACTOR=LOW:HIGH[:log][:int]",
            help="Numbers to choose from, such as lambda=0.01:10:log; repeatable.",
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=2, help="Conditions to try, the baseline among them.")] = 50,
    maximize: Annotated[
        str | None, typer.Option(metavar="METRIC", help="What is to be high; see `ablate runs`.")
    ] = None,
    minimize: Annotated[str | None, typer.Option(metavar="METRIC", help="What is to be low.")] = None,
    second: Annotated[
        str | None,
        typer.Option(
            "--and",
            metavar="METRIC[:max|min]",
            help="A second objective: the Pareto front of both is sought.",
        ),
    ] = None,
    sampler: Annotated[SamplerName, typer.Option(help="How to choose.")] = SamplerName.TPE,
    prune: Annotated[
        PrunerName, typer.Option(help="Give trials up whose curves fall behind those of others.")
    ] = PrunerName.NONE,
    prune_after: Annotated[
        int | None,
        typer.Option(min=1, metavar="EPOCH", help="Give nothing up before.  [default: a part of the epochs]"),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Runs of each trial, with seeds 0, 1, ...; their mean counts.")
    ] = 1,
    search_seed: Annotated[int, typer.Option(min=0, help="What the sampler draws.")] = 0,
    budget: BudgetOption = None,
    validation: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="SHARE", help="Share of the training data to score trials on.  [default: 0.2]"
        ),
    ] = None,
    on_evaluation: Annotated[
        bool, typer.Option("--on-evaluation", help="Score trials on what the best will be judged by.")
    ] = False,
    folds: Annotated[int | None, typer.Option(hidden=True)] = None,
    confirm: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many of the best to train anew in the end.")
    ] = 3,
    confirm_seeds: Annotated[int, typer.Option(min=2, help="Fresh seeds of each of these.")] = 5,
    chosen: Chosen,
    code: CodeOption = None,
    data: DataOption = None,
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    study_option: Annotated[
        str | None,
        typer.Option(
            "--study", metavar="NAME", help="The same as STUDY.  [default: search, or SCRIPT-search]"
        ),
    ] = None,
    store: StoreOption = None,
    dry_run: DryRunOption = False,
    means: Means,
    plugin: PluginOption = None,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Search for the best condition with Optuna, then train the best anew and see how much was luck.

    Trials are scored on data that are held out of the training. The best of them, and the baseline, are then
    trained on all training data with fresh seeds, and scored on the evaluation data.

    Typing the same command again trains nothing; after a crash it goes on where it was; with more --trials it
    searches on.
    """
    from ablate.design.selection import NO_FOLDS, hold_out, middles, objectives_of
    from ablate.design.space import make_space, parse_ranges
    from ablate.design.study import check_study_name, parse_levels, parse_settings
    from ablate.schedule.search import check_method
    from ablate.subject.registry import built_in

    means.require_waiting("a search")
    if folds is not None:
        raise ConfigError(NO_FOLDS)
    budget_s = None if budget is None else parse_duration(budget, "--budget")
    names = [factor.strip() for factor in factors.split(",") if factor.strip()]
    parsed, within = parse_levels(levels or []), parse_ranges(ranges or [])
    changes = parse_settings(settings or [])
    tried = {**dict.fromkeys(names, ()), **parsed, **middles(within)}
    subject = choose_subject(chosen, levels=tried, settings=changes)
    objectives = objectives_of(subject, maximize, minimize, second)
    check_method(sampler.value, prune.value, len(objectives))
    name = chosen_study(study, study_option) or (
        "search" if subject is built_in() else f"{subject.name}-search"
    )
    check_study_name(name)
    opened = open_store(store)
    opened.require_folder()
    subject = settle_code(opened, name, subject, code)
    known = all_factors(subject, plugin).on_data(subject.data.settles(data, opened.data))
    base = subject.profile(profile).override(known.fields_of(changes))
    base, share = hold_out(subject, base, objectives, validation, on_evaluation=on_evaluation)
    space = make_space(base, known, names, parsed, within)
    training = Training.by(means, opened, data, output, gpus_per_run=chosen.gpus_per_run, dry_run=dry_run)
    training = training.of(subject)
    searched = training.fit(_study_of(name, subject, space, list(range(seeds)), objectives))
    if not dry_run:
        opened.require_writable()
    dataset = find_dataset(searched, data, opened, dry_run)
    plan = _plan(
        subject,
        space,
        dataset,
        objectives,
        sampler=sampler.value,
        pruner=prune.value,
        prune_after=prune_after,
        seed=search_seed,
        seeds=seeds,
        validation=share,
        on_evaluation=on_evaluation,
    )
    asked = Asked(training, searched, dataset, plan, space)
    _require_same(asked)
    if output is Printout.TABLE:
        print_plan(asked, trials)
    if dry_run:
        return
    _search(asked, trials, budget_s)
    anew = _train_best(asked, confirm, confirm_seeds)
    show_results(training, name, max(confirm, 1), anew)


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


# ------------------------------------------------------------------------------------------------ searching


def _search(asked: Asked, n_trials: int, budget_s: float | None) -> None:
    """Ask and train until the trials or the time are up."""
    from ablate.campaign.searching import Searching, Target
    from ablate.record.searches import SearchFolder

    training, study = asked.training, asked.study
    folder = SearchFolder.of(training.store, study.name)
    with folder.claim():
        folder.mend()
        if not folder.exists():
            folder.write_plan(asked.plan)
        searching = Searching(
            Target(training.store, study.name, study.subject, asked.dataset, typed_command()),
            folder,
            asked.plan,
            asked.space,
            n_trials=n_trials,
            until=math.inf if budget_s is None else time.monotonic() + budget_s,
            retry=training.means.retried,
            warn=_warn,
        )
        try:
            train_runs(training, study, [], search=searching)
        finally:
            searching.enrol(now=True)
            _copy_for_dashboard(folder, searching, asked)
        if searching.is_exhausted:
            _warn(f"the sampler finds nothing new any more; {searching.n_conditions} conditions were tried")


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


def _copy_for_dashboard(folder: "SearchFolder", searching: "Searching", asked: Asked) -> None:
    """Whatever Optuna says of its own file, the search is none the worse for it."""
    from ablate.schedule.dashboard import copy_to

    try:
        objectives = asked.plan.objectives
        copy_to(folder.optuna_file, folder.study, objectives, asked.space, searching.ended())
    except Exception as error:
        _warn(
            f"{folder.optuna_file} is not up to date ({type(error).__name__}: {error}). It is but a copy for "
            "optuna-dashboard: remove it, and the same command writes it anew"
        )


def _train_best(asked: Asked, n: int, n_seeds: int) -> "Study | None":
    """Train the best and the baseline anew, on all training data and with fresh seeds; that study."""
    from ablate.analysis.searches import anew_of, best, read_search
    from ablate.record.searches import write_origin

    training, study, space = asked.training, asked.study, asked.space
    found = read_search(training.store, study.name)
    chosen = best(found, n) if found is not None else []
    if not chosen:
        return None
    held_out = study.subject.validation
    changes = {held_out: 0.0} if held_out is not None else {}
    whole = replace(space, base=space.base.override(changes))
    conditions = [whole.baseline()[0], *(whole.condition(tried.trial.draws or {}) for tried in chosen)]
    fresh = list(range(asked.plan.seeds, asked.plan.seeds + n_seeds))
    anew = replace(study, name=anew_of(study.name), conditions=conditions, seeds=fresh, base=whole.base)
    if training.output is Printout.TABLE:
        seeds = f"{fresh[0]} to {fresh[-1]}"
        say(f"\nThe best {len(chosen)} and the baseline anew, with seeds {seeds}, as study {anew.name}:")
    wanted = plan_of(anew, asked.dataset, training.store)
    record_runs(training.store, anew, [planned.run for planned in wanted.runs])
    write_origin(training.store, anew.name, study.name)
    train_runs(training, anew, wanted.to_train(retry=training.means.retried))
    return anew
