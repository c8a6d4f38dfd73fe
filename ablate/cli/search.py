"""``ablate search``: let Optuna choose the conditions, then train the best of them anew."""

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import print_json, print_page, say, say_command, terminal_width
from ablate.cli.means import Means
from ablate.cli.options import (
    PluginOption,
    Printout,
    PrintoutOption,
    StoreOption,
    chosen_study,
    open_store,
)
from ablate.cli.subjects import Chosen, CodeOption
from ablate.cli.train import (
    BudgetOption,
    DataOption,
    DryRunOption,
    ProfileOption,
    SettingsOption,
    Training,
    ends,
)
from ablate.cli.unfolded import unfolded
from ablate.ground.durations import parse_duration
from ablate.ground.errors import ConfigError

if TYPE_CHECKING:
    from ablate.api.searching import Found
    from ablate.design.study import Study
    from ablate.record.store import Store


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
    from ablate.api.searching import Wish
    from ablate.design.selection import NO_FOLDS
    from ablate.design.study import parse_levels, parse_settings

    means.require_waiting("a search")
    if folds is not None:
        raise ConfigError(NO_FOLDS)
    budget_s = None if budget is None else parse_duration(budget, "--budget")
    wish = Wish(
        chosen_study(study, study_option),
        [factor.strip() for factor in factors.split(",") if factor.strip()],
        parse_levels(levels or []),
        ranges or [],
        maximize,
        minimize,
        second,
        sampler.value,
        prune.value,
        prune_after,
        seeds,
        search_seed,
        validation,
        on_evaluation,
        chosen,
        code,
        data,
        profile,
        parse_settings(settings or []),
        plugin or [],
    )
    opened = open_store(store)
    training = Training.by(means, opened, data, output, gpus_per_run=chosen.gpus_per_run, dry_run=dry_run)
    asked = wish.asked(opened, training)
    if output is Printout.TABLE:
        print_page(asked.plan_page(trials))
    elif dry_run:
        print_json(asked.document(trials))
    if dry_run:
        if output is Printout.TABLE:
            say("\nNothing was trained or written. Leave out --dry-run to search.")
        return
    with ends():
        asked.search(trials, budget_s)
        anew = asked.train_best(confirm, confirm_seeds, _say_anew if output is Printout.TABLE else _pass)
    _show(replace(asked.found(anew), n_shown=max(confirm, 1)), opened, output)


def _say_anew(n: int, anew: "Study") -> None:
    seeds = f"{anew.seeds[0]} to {anew.seeds[-1]}"
    say(f"\nThe best {n} and the baseline anew, with seeds {seeds}, as study {anew.name}:")


def _pass(_n: int, _anew: "Study") -> None:
    """Where only a document is printed."""


def _show(found: "Found", store: "Store", output: Printout) -> None:
    """The best trials, what they are worth, and what to type next. Exit code 1 when a run has failed."""
    from ablate.cli.compare import print_comparison
    from ablate.cli.failures import print_failures
    from ablate.record.rundir import State

    if output is Printout.JSON:
        print_json(found.document)
    else:
        width = terminal_width()
        print("\n" + found.best_text(width), end="")
        if found.comparison is not None:
            print()
            print_comparison(found.comparison)
            print("\n" + found.luck_text(width), end="")
        _say_next(found, store)
        print_failures(found.runs, found.study, store)
    if any(run.state is State.FAILED for run in found.runs):
        raise typer.Exit(1)


def _say_next(found: "Found", store: "Store") -> None:
    from ablate.record.searches import SearchFolder
    from ablate.record.store import default_root

    where = f" --store {store.root}" if store.root != default_root() else ""
    print("\nNext:")
    if found.anew is not None:
        say_command(f"  ablate compare {found.anew.name}{where}", after="more scores of the best")
    say_command(f"  ablate report {found.study} -o report.html{where}", after="the search on one page")
    file = SearchFolder.of(store, found.study).optuna_file
    say_command(f"  optuna-dashboard {file}", after="the trials in Optuna's own pages (pip install it)")
