"""What is shown of a search: what it is to do, what it has found, and what that is worth."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from ablate.cli.console import print_json, say, say_command, terminal_width
from ablate.cli.options import Printout
from ablate.cli.train import Training
from ablate.ground.errors import StoreError

if TYPE_CHECKING:
    from ablate.analysis.compare import Comparison
    from ablate.analysis.searches import Search
    from ablate.design.space import Space
    from ablate.design.study import Study
    from ablate.record.searches import Plan
    from ablate.subject.interface import Dataset


@dataclass(frozen=True)
class Asked:
    """A search that a user has asked for. ``study`` has no conditions yet."""

    training: Training
    study: "Study"
    dataset: "Dataset"
    plan: "Plan"
    space: "Space"


def print_plan(asked: Asked, n_trials: int) -> None:
    """What is to be searched, for what and how."""
    from ablate.analysis.searches import scored_on
    from ablate.record.searches import SearchFolder

    plan, name = asked.plan, asked.study.name
    goals = " and ".join(
        f"{'maximize' if best == 'max' else 'minimize'} {metric}" for metric, best in plan.objectives.items()
    )
    pruning = "" if plan.pruner == "none" else f", pruned by {plan.pruner}"
    n_asked = len(SearchFolder.of(asked.training.store, name).trials())
    say(f"Search {name}: {n_trials} trials to {goals}, sampler {plan.sampler}{pruning}")
    for remark in asked.study.remarks:
        say(f"  {remark}")
    for dimension in asked.space.dimensions:
        rule = f"; not asked when {dimension.factor.inert_when}" if dimension.factor.inert_when else ""
        say(f"  {dimension.name}: {dimension}{rule}")
    say(f"  scored on {scored_on(plan)}, {plan.seeds} seed{'s' * (plan.seeds > 1)} each")
    if n_asked:
        say(f"  {n_asked} trials were asked before")
    if asked.training.place is not None:
        say(f"  {asked.training.place}")
    _print_forecast(asked, max(0, n_trials - n_asked))
    if asked.training.dry_run:
        say("\nNothing was trained or written. Leave out --dry-run to search.")


def _print_forecast(asked: Asked, n_trials: int) -> None:
    """How long that many trials like the baseline take; those that are pruned take less."""
    from ablate.cli.plan import forecast, print_forecast
    from ablate.design.study import run_of

    subject, training = asked.study.subject, asked.training
    runs = [run_of(asked.space.baseline()[0], subject, asked.dataset)] * (n_trials * asked.plan.seeds)
    print_forecast(forecast(subject, training, runs), len(training.devices), can_calibrate=False)


def show_results(training: Training, name: str, n_shown: int, anew: "Study | None") -> None:
    """The best trials, what they are worth, and what to type next. Exit code 1 when a run has failed."""
    from ablate.analysis import searches
    from ablate.analysis.query import load_runs
    from ablate.cli.failures import print_failures
    from ablate.record.rundir import State

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


def _comparison(training: Training, found: "Search", anew: "Study") -> "Comparison":
    from ablate.analysis.compare import compare
    from ablate.analysis.query import load_runs

    names = {condition.name for condition in anew.conditions}
    records = [
        run for run in load_runs(training.store, anew.name) if run.name in names and run.seed in anew.seeds
    ]
    return compare(records, anew.name, metrics=list(found.objectives))


def _as_json(training: Training, found: "Search", anew: "Study | None") -> dict[str, Any]:
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
