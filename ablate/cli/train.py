"""What ``ablate grid`` and ``ablate study`` share: their options, and the way from a study to its results."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.api import training
from ablate.api.training import Display, Scope, ToldInterrupt, devices_of
from ablate.cli.console import console, print_json, print_page, say, say_command, terminal_width
from ablate.cli.means import Means
from ablate.cli.options import Printout

if TYPE_CHECKING:
    from ablate.api.planned import Planned
    from ablate.design.claims import StudyDetails
    from ablate.design.study import Study
    from ablate.record.store import Store


DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Data to train on.  [default: the subject's own]"),
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of every run; repeatable."),
]
FoldsOption = Annotated[
    int | None,
    typer.Option(
        "--folds",
        metavar="K",
        help="Train each seed K times, without each fold of the training data in turn, and score it on these "
        "folds together.  [default: score on the evaluation data]",
    ),
]
BudgetOption = Annotated[
    str | None,
    typer.Option("--budget", metavar="TIME", help="Begin no run after this time, such as 90m, 4h or 2d."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the plan; train and write nothing.")]
CalibrateOption = Annotated[
    bool,
    typer.Option("--calibrate", help="As --dry-run, with this machine's speed measured first, for a minute."),
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Size of the training: quick or paper, or a profile of your module.  "
        "[default: the first, or the study file's]",
    ),
]


@dataclass(frozen=True)
class Training(training.Training):
    """How to train a study, and what to print of it."""

    output: Printout = Printout.TABLE

    @classmethod
    def by(
        cls,
        means: Means,
        store: "Store",
        data: Path | None,
        output: Printout,
        *,
        gpus_per_run: int = 1,
        dry_run: bool = False,
        calibrate: bool = False,
    ) -> "Training":
        """Raises ConfigError when there are no such devices, or an option is none of the launcher's."""
        return cls(
            store,
            data,
            devices_of(means, gpus_per_run, calibrate=calibrate),
            means,
            shlex.join(["ablate", *sys.argv[1:]]),
            _json_display if output is Printout.JSON else _display,
            tell,
            dry_run,
            calibrate,
            gpus_per_run,
            output=output,
        )


def tell(message: str) -> None:
    """News, which is no part of what a command prints."""
    print(message, file=sys.stderr, flush=True)


def _display(scope: Scope) -> Display:
    from ablate.api.progress import ProgressDisplay

    return ProgressDisplay(scope, console())


def _json_display(scope: Scope) -> Display:
    from ablate.api.progress import ProgressDisplay

    return ProgressDisplay(scope, console(stderr=True))


@contextmanager
def ends() -> Iterator[None]:
    """While runs train: exit code 130 when they are interrupted or cancelled, of which the reader knows."""
    from ablate.campaign.campaign import Cancelled

    try:
        yield
    except (Cancelled, ToldInterrupt):
        raise typer.Exit(130) from None


def end_where_left_alone(said: str | None, planned: "Planned", output: Printout) -> None:
    """End the command where its runs go on by themselves, which ``said`` tells."""
    if said is None:
        return
    if output is Printout.JSON:
        tell(said)
        print_json(planned.again().document)
    else:
        say(said)
    raise typer.Exit(0)


def train_study(
    study: "Study", training: Training, profile: str | None, details: "StudyDetails | None" = None
) -> None:
    """Plan the study, train what is not trained yet, and show the results.

    Exit code 1 when a run has not finished, 130 when interrupted.
    """
    from ablate.api.planned import Planned

    planned = Planned.of(study, training, profile, details)
    if training.only_plan or training.output is Printout.TABLE:
        _show_plan(planned, training)
    if training.only_plan:
        return
    with ends():
        said = planned.train()
    end_where_left_alone(said, planned, training.output)
    ended = planned.again()
    _show_results(ended, training)
    if not ended.is_complete:
        raise typer.Exit(1)


def _show_plan(planned: "Planned", training: Training) -> None:
    if training.output is Printout.JSON:
        print_json(planned.document)
        return
    print(planned.text(terminal_width()), end="")
    if training.only_plan:
        left_out = "--calibrate" if training.calibrate else "--dry-run"
        written = "trained" if training.calibrate else "trained or written"
        print()
        say(f"Nothing was {written}. Leave out {left_out} to train.")


def _show_results(ended: "Planned", training: Training) -> None:
    """The comparison of the planned conditions, what failed, and what to type next."""
    from ablate.analysis.compare import compare
    from ablate.analysis.folds import pooled
    from ablate.analysis.looked import count_look, seeds_of_comparison
    from ablate.analysis.query import load_runs
    from ablate.analysis.searches import marked
    from ablate.api.page import Page
    from ablate.api.plans import add_reading_aid
    from ablate.cli.compare import print_comparison
    from ablate.cli.damages import end_with_damages
    from ablate.cli.failures import print_failures
    from ablate.record.store import default_root

    if training.output is Printout.JSON:
        print_json(ended.document)
        return
    store, study, details = training.store, ended.study, ended.details
    planned = {item.run.run_id for item in ended.grid.runs}
    everything = load_runs(store, study.name)
    records = [record for record in everything if record.run_id in planned]
    seeds = pooled(records)
    print()
    metrics = study.subject.card.metrics
    shown = metrics.closing([name for record in seeds for name in record.metrics])
    if shown:
        baseline = details.baseline if details else None
        comparison = compare(seeds, study.name, baseline, metrics=shown)
        count_look(store, study.name, seeds, seeds_of_comparison(comparison))
        print_comparison(marked(comparison, store))
        page = Page()
        add_reading_aid(page, study)
        print_page(page)
    print_failures(records, study.name, store)
    if shown:
        print("\nNext:")
        where = f" --store {store.root}" if store.root != default_root() else ""
        for command, purpose in _next_steps(study, details, where):
            say_command(f"  {command:<44}", after=purpose)
    end_with_damages(store, study.name, everything)


def _next_steps(study: "Study", details: "StudyDetails | None", where: str) -> Iterator[tuple[str, str]]:
    """Commands to type next, and what for."""
    if details and details.claims:
        yield f"ablate claims {study.name}{where}", "the verdict on each claim of the study"
    if details:
        yield f"ablate report {study.name} -o report.html{where}", "everything on one page"
    yield f"ablate compare {study.name}{where}", "more scores; --format markdown, latex, csv or json"
    yield f"ablate ui{where}", "MLflow: curves, scores, tables and pictures of each run"
    if details and details.claims:
        yield "the same with decide in place of study", "more seeds, where a claim needs them"
    else:
        yield (
            f"the same with --seeds {2 * len(study.seeds) + 1}",
            "narrower intervals; only what is new trains",
        )
