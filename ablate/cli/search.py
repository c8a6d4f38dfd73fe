"""``ablate search``: let Optuna choose the conditions, then train the best of them anew."""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate.cli.budget import BudgetOption, seconds_of
from ablate.cli.console import print_json, say, say_command, terminal_width
from ablate.cli.options import (
    PluginOption,
    Printout,
    PrintoutOption,
    StoreOption,
    all_factors,
    chosen_study,
    open_store,
)
from ablate.cli.subjects import (
    CodeOption,
    GpusOption,
    MetricOption,
    ModuleOption,
    NameOption,
    ScriptOption,
    ShellOption,
    UsesOption,
    choose_subject,
    settle_code,
)
from ablate.cli.train import (
    DataOption,
    DeviceOption,
    DryRunOption,
    FailFastOption,
    LauncherName,
    LauncherOption,
    MaxRetriesOption,
    ProfileOption,
    RetryOption,
    RunsPerGpuOption,
    SettingsOption,
    Training,
    WorkersOption,
    find_dataset,
    find_slots,
    plan_of,
    train_runs,
    typed_command,
)
from ablate.ground.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from ablate.analysis.searches import Search
    from ablate.design.space import Range, Space
    from ablate.design.study import Study
    from ablate.record.searches import Plan, SearchFolder
    from ablate.subject.interface import Dataset, Subject
    from ablate.subject.settings import Config

DEFAULT_SHARE = 0.2


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


def search(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="The study's name.")] = None,
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
    confirm: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many of the best to train anew in the end.")
    ] = 3,
    confirm_seeds: Annotated[int, typer.Option(min=2, help="Fresh seeds of each of these.")] = 5,
    script: ScriptOption = None,
    module: ModuleOption = None,
    metric: MetricOption = None,
    uses: UsesOption = None,
    shell: ShellOption = False,
    subject_name: NameOption = None,
    gpus_per_run: GpusOption = 1,
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
    retry: RetryOption = False,
    fail_fast: FailFastOption = False,
    max_retries: MaxRetriesOption = 1,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    runs_per_gpu: RunsPerGpuOption = None,
    launcher: LauncherOption = LauncherName.LOCAL,
    plugin: PluginOption = None,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Search for the best condition with Optuna, then train the best anew and see how much was luck.

    Trials are scored on data that are held out of the training. The best of them, and the baseline, are then
    trained on all training data with fresh seeds, and scored on the evaluation data.

    Typing the same command again trains nothing; after a crash it goes on where it was; with more --trials it
    searches on.
    """
    from ablate.design.space import make_space, parse_ranges
    from ablate.design.study import check_study_name, parse_levels, parse_settings
    from ablate.schedule.search import check_method
    from ablate.subject.registry import built_in

    names = [factor.strip() for factor in factors.split(",") if factor.strip()]
    parsed, within = parse_levels(levels or []), parse_ranges(ranges or [])
    changes = parse_settings(settings or [])
    subject = choose_subject(
        script,
        module,
        metrics=metric or [],
        uses=uses or [],
        levels={**dict.fromkeys(names, ()), **parsed, **_middles(within)},
        settings=changes,
        shell=shell,
        name=subject_name,
        gpus=gpus_per_run,
    )
    objectives = _objectives(subject, maximize, minimize, second)
    check_method(sampler.value, prune.value, len(objectives))
    name = chosen_study(study, study_option) or (
        "search" if subject is built_in() else f"{subject.name}-search"
    )
    check_study_name(name)
    opened = open_store(store)
    opened.require_folder()
    subject = settle_code(opened, name, subject, code)
    known = all_factors(subject, plugin)
    base = subject.profile(profile).override(known.fields_of(changes))
    base, share = _hold_out(subject, base, objectives, validation, on_evaluation=on_evaluation)
    space = make_space(base, known, names, parsed, within)
    training = Training(
        store=opened,
        data=data,
        devices=find_slots(device, workers, gpus_per_run),
        runs_per_gpu=runs_per_gpu,
        launcher=launcher,
        dry_run=dry_run,
        calibrate=False,
        retry=retry,
        fail_fast=fail_fast,
        max_retries=max_retries,
        output=output,
    )
    asked = _study_of(name, subject, space, list(range(seeds)))
    if not dry_run:
        opened.require_writable()
    dataset = find_dataset(asked, data, opened, dry_run)
    plan = _plan(
        subject,
        space,
        dataset,
        objectives,
        sampler=sampler.value,
        pruner=prune.value,
        seed=search_seed,
        seeds=seeds,
        validation=share,
        on_evaluation=on_evaluation,
    )
    _settle(training, name, plan)
    if output is Printout.TABLE:
        _print_plan(training, name, plan, space, trials, dry_run=dry_run)
    if dry_run:
        return
    _search(training, asked, dataset, plan, space, trials, seconds_of(budget))
    anew = _train_best(training, asked, dataset, plan, space, confirm, confirm_seeds)
    _show(training, name, max(confirm, 1), anew)


# ---------------------------------------------------------------------------------------- what is asked for


def _middles(within: "Mapping[str, Range]") -> dict[str, list[str]]:
    """What the baseline has of a script's setting that is searched over a range."""
    from ablate.design.conditions import show

    return {name: [show(each.middle())] for name, each in within.items()}


def _objectives(
    subject: "Subject", maximize: str | None, minimize: str | None, second: str | None
) -> dict[str, str]:
    """Metric -> "max" or "min", one or two. Raises ConfigError."""
    if (maximize is None) == (minimize is None):
        raise ConfigError("say what the search is for: --maximize METRIC, or --minimize METRIC")
    first = (maximize, "max") if maximize is not None else (minimize or "", "min")
    asked = [first] if second is None else [first, _second(subject, second)]
    problems = []
    for name, best in asked:
        unknown = subject.unknown_metric(name or "")
        declared = next((each for each in subject.metrics if each.name == name), None)
        if unknown is not None:
            problems.append(f"unknown metric '{name}'{unknown}")
        elif declared is not None and declared.best != best:
            word = {"max": "--maximize", "min": "--minimize"}[declared.best]
            problems.append(
                f"of '{name}' {'more' if declared.best == 'max' else 'less'} is better: say {word}"
            )
    if len({name for name, _ in asked}) < len(asked):
        problems.append(f"--and {second}: that is the first objective already")
    if problems:
        raise ConfigError(problems)
    return {str(name): best for name, best in asked}


def _second(subject: "Subject", text: str) -> tuple[str, str]:
    name, _, best = text.partition(":")
    if best not in ("", "max", "min"):
        raise ConfigError(f"--and {text}: write METRIC, METRIC:max or METRIC:min")
    return name, best or subject.card.metrics.of(name).best


def _hold_out(
    subject: "Subject",
    base: "Config",
    objectives: "Mapping[str, str]",
    share: float | None,
    *,
    on_evaluation: bool,
) -> "tuple[Config, float]":
    """The base with a share of the training data held out, and the share. Raises ConfigError.

    No search selects by the data that its best are judged on, unless the user says so.
    """
    if on_evaluation and share:
        raise ConfigError(f"--on-evaluation and --validation {share:g} contradict each other; give one")
    if subject.validation is None:
        if share:
            raise ConfigError(
                f"--validation {share:g}: '{subject.name}' has no setting that holds data out; let a module "
                "name it in Subject(validation=...), or search by a metric that is declared fit for it"
            )
        unfit = [name for name in objectives if not subject.card.metrics.of(name).select]
        if unfit and not on_evaluation:
            raise ConfigError(_unfit(unfit))
        return base, 0.0
    if on_evaluation:
        return base.override({subject.validation: 0.0}), 0.0
    given = float(base.get(subject.validation))
    chosen = share if share is not None else given or DEFAULT_SHARE
    if not chosen:
        raise ConfigError(
            "--validation 0 would choose by the evaluation data, which are to judge the best: hold some "
            "training data out, or say --on-evaluation, and every table will say so"
        )
    return base.override({subject.validation: chosen}), chosen


def _unfit(names: Sequence[str]) -> str:
    listed = ", ".join(f"'{name}'" for name in names)
    return (
        f"{listed}: not declared fit for a search, which would choose by what the best are judged on. If it "
        f"is measured on other data, say so: --metric {names[0]}:max:select for a script, "
        f'ablate.Metric("{names[0]}", select=True) in a module. Else say --on-evaluation, and every table '
        "will say so"
    )


def _study_of(name: str, subject: "Subject", space: "Space", seeds: list[int]) -> "Study":
    """The search as a study, whose conditions are yet to come."""
    from ablate.design.study import Study, expected_of_base

    expected = [
        each
        for dimension in space.dimensions
        for level in dimension.levels
        for each in subject.expects(f"factor '{dimension.name}'", field=dimension.factor.field, level=level)
    ]
    return Study(
        name,
        subject,
        [dimension.factor for dimension in space.dimensions],
        [],
        [],
        seeds,
        space.base,
        expected=(*expected_of_base(subject, space.base), *expected),
    )


def _plan(
    subject: "Subject",
    space: "Space",
    dataset: "Dataset",
    objectives: "Mapping[str, str]",
    *,
    sampler: str,
    pruner: str,
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
        pruner_options=pruner_options(pruner, epochs),
        base=space.base.flat(),
        dataset=dataset.digest,
        subject=" ".join([subject.name, subject.version]).strip(),
        optuna=VERSION,
        **others,
    )


def _settle(training: Training, name: str, plan: "Plan") -> None:
    """Raises ConfigError when the study is there already and is another search, or none."""
    from ablate.record.searches import SearchFolder

    folder = SearchFolder.of(training.store, name)
    if not folder.exists():
        if training.store.study_card_of(name) is not None:
            raise ConfigError(f"study '{name}' is there already and is no search; choose another --study")
        return
    differences = folder.plan().differences(plan)
    if differences:
        raise ConfigError(
            f"search '{name}' was begun otherwise: {'; '.join(differences)}. Choose another name with "
            "--study; what is trained already is not trained again"
        )


# ------------------------------------------------------------------------------------------------ searching


def _search(
    training: Training,
    study: "Study",
    dataset: "Dataset",
    plan: "Plan",
    space: "Space",
    n_trials: int,
    budget_s: float | None,
) -> None:
    """Ask and train until the trials or the time are up."""
    from ablate.campaign.searching import Searching, Target
    from ablate.record.searches import SearchFolder

    folder = SearchFolder.of(training.store, study.name)
    with folder.claim():
        folder.mend()
        if not folder.exists():
            folder.write_plan(plan)
        searching = Searching(
            Target(training.store, study.name, study.subject, dataset, typed_command()),
            folder,
            plan,
            space,
            n_trials=n_trials,
            until=math.inf if budget_s is None else time.monotonic() + budget_s,
            retry=training.retry,
            warn=_warn,
        )
        try:
            train_runs(training, study, [], search=searching)
        finally:
            searching.enrol(now=True)
            _copy_for_dashboard(folder, searching, plan, space)
        if searching.is_exhausted:
            say(
                f"The sampler finds nothing new any more: {searching.n_conditions} conditions were tried.",
            )


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


def _copy_for_dashboard(folder: "SearchFolder", searching: Any, plan: "Plan", space: "Space") -> None:
    """Whatever Optuna says of its own file, the search is none the worse for it."""
    from ablate.schedule.dashboard import copy_to

    try:
        copy_to(folder.optuna_file, folder.study, plan.objectives, space, searching.ended())
    except Exception as error:
        _warn(
            f"{folder.optuna_file} is not up to date ({type(error).__name__}: {error}). It is but a copy for "
            "optuna-dashboard: remove it, and the same command writes it anew"
        )


def _train_best(
    training: Training,
    study: "Study",
    dataset: "Dataset",
    plan: "Plan",
    space: "Space",
    n: int,
    n_seeds: int,
) -> "Study | None":
    """Train the best and the baseline anew, on all training data and with fresh seeds; that study."""
    from ablate.analysis.searches import anew_of, best, read_search
    from ablate.record.searches import write_origin
    from ablate.subject.settings import Settings

    found = read_search(training.store, study.name)
    chosen = best(found, n) if found is not None else []
    if not chosen:
        return None
    subject = study.subject
    changes = {subject.validation: 0.0} if subject.validation is not None else {}
    whole = replace(space, base=space.base.override(changes))
    conditions = [whole.baseline()[0], *(whole.condition(tried.trial.draws or {}) for tried in chosen)]
    fresh = list(range(plan.seeds, plan.seeds + n_seeds))
    anew = replace(study, name=anew_of(study.name), conditions=conditions, seeds=fresh, base=whole.base)
    if training.output is Printout.TABLE:
        seeds = f"{fresh[0]} to {fresh[-1]}"
        say(f"\nThe best {len(chosen)} and the baseline anew, with seeds {seeds}, as study {anew.name}:")
    wanted = plan_of(anew, dataset, training.store)
    runs = [planned.run for planned in wanted.runs]
    store = training.store
    store.add_to_study(anew.name, runs, typed_command(), card=subject.card, base=Settings(whole.base.flat()))
    write_origin(store, anew.name, study.name)
    train_runs(training, anew, wanted.to_train(retry=training.retry))
    return anew


# -------------------------------------------------------------------------------------------- what is shown


def _print_plan(
    training: Training, name: str, plan: "Plan", space: "Space", n_trials: int, *, dry_run: bool
) -> None:
    from ablate.analysis.searches import scored_on
    from ablate.record.searches import SearchFolder

    goals = " and ".join(
        f"{'maximize' if best == 'max' else 'minimize'} {metric}" for metric, best in plan.objectives.items()
    )
    pruning = "" if plan.pruner == "none" else f", pruned by {plan.pruner}"
    n_asked = len(SearchFolder.of(training.store, name).trials())
    say(f"Search {name}: {n_trials} trials to {goals}, sampler {plan.sampler}{pruning}")
    for dimension in space.dimensions:
        rule = f"; not asked when {dimension.factor.inert_when}" if dimension.factor.inert_when else ""
        say(f"  {dimension.name}: {dimension}{rule}")
    say(f"  scored on {scored_on(plan)}, {plan.seeds} seed{'s' * (plan.seeds > 1)} each")
    if n_asked:
        say(f"  {n_asked} trials were asked before")
    if dry_run:
        say("\nNothing was trained or written. Leave out --dry-run to search.")


def _show(training: Training, name: str, n_shown: int, anew: "Study | None") -> None:
    """The best trials, what they are worth, and what to type next. Exit code 1 when a run has failed."""
    from ablate.analysis import searches
    from ablate.cli.failures import print_failures

    store = training.store
    found = searches.read_search(store, name)
    if found is None:
        raise StoreError(f"search '{name}' is gone")
    if training.output is Printout.JSON:
        print_json(_as_json(training, found, anew))
    else:
        print("\n" + searches.terminal(found, n_shown, terminal_width()), end="")
        if anew is not None:
            _print_anew(training, found, anew)
        _print_next(training, found, anew)
    from ablate.analysis.query import load_runs
    from ablate.record.rundir import State

    records = [run for study in [name, *([anew.name] if anew else [])] for run in load_runs(store, study)]
    if training.output is Printout.TABLE:
        print_failures(records, name, store)
    if any(run.state is State.FAILED for run in records):
        raise typer.Exit(1)


def _print_anew(training: Training, found: "Search", anew: "Study") -> None:
    from ablate.analysis import searches
    from ablate.cli.compare import print_comparison

    comparison = _comparison(training, found, anew)
    print()
    print_comparison(searches.marked(comparison, training.store))
    print("\nHow much better they had looked in the search, which was luck:\n")
    print(searches.table_of_luck(found, searches.lucks(found, comparison), terminal_width()))


def _comparison(training: Training, found: "Search", anew: "Study") -> Any:
    from ablate.analysis.compare import compare
    from ablate.analysis.query import load_runs

    names = {condition.name for condition in anew.conditions}
    records = [
        run for run in load_runs(training.store, anew.name) if run.name in names and run.seed in anew.seeds
    ]
    return compare(records, anew.name, metrics=list(found.objectives))


def _as_json(training: Training, found: "Search", anew: "Study | None") -> dict[str, Any]:
    from dataclasses import asdict

    from ablate.analysis import searches

    content = searches.as_json(found)
    if anew is not None:
        comparison = _comparison(training, found, anew)
        content["anew"] = {
            "study": anew.name,
            "seeds": anew.seeds,
            "gains": [{**asdict(luck), "luck": luck.luck} for luck in searches.lucks(found, comparison)],
        }
    return content


def _print_next(training: Training, found: "Search", anew: "Study | None") -> None:
    from ablate.record.searches import SearchFolder
    from ablate.record.store import default_root

    store = training.store
    where = f" --store {store.root}" if store.root != default_root() else ""
    print("\nNext:")
    if anew is not None:
        say_command(f"  ablate compare {anew.name}{where}", after="more scores of the best")
    say_command(f"  ablate report {found.study} -o report.html{where}", after="the search on one page")
    file = SearchFolder.of(store, found.study).optuna_file
    say_command(f"  optuna-dashboard {file}", after="the trials in Optuna's own pages (pip install it)")
