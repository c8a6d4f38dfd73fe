"""What ``ablate grid`` and ``ablate study`` share: their options, and the way from a study to its results."""

import math
import shlex
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import console, print_json, say, say_command, terminal_width
from ablate.cli.means import LauncherName, Means, Work, describe, make_launcher
from ablate.cli.options import Printout
from ablate.ground.errors import ConfigError

if TYPE_CHECKING:
    from ablate.campaign.searching import Searching
    from ablate.design.claims import StudyDetails
    from ablate.design.runs import Run
    from ablate.design.study import Study
    from ablate.record.store import Store
    from ablate.schedule.estimate import Forecast
    from ablate.schedule.grid import Plan
    from ablate.subject.interface import Dataset, Subject
    from ablate.subject.settings import Config


TEXT_WIDTH = 100  # of a study's question


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
class Training:
    """How to train a study: on which data, where, and what to show of it.

    ``place`` says where in words, as far as the plan has to, once the subject is known.
    """

    store: "Store"
    data: Path | None
    devices: list[str]
    means: Means
    output: Printout
    dry_run: bool = False
    calibrate: bool = False
    gpus_per_run: int = 1
    place: str | None = None

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
        means.check()
        if calibrate and means.launcher in (LauncherName.SLURM, LauncherName.RAY):
            raise ConfigError(
                "--calibrate measures this machine, not a cluster's nodes; the first finished runs will tell"
            )
        return cls(store, data, means.devices(gpus_per_run), means, output, dry_run, calibrate, gpus_per_run)

    def of(self, subject: "Subject") -> "Training":
        """That of a subject. Raises ConfigError when so many of its runs cannot share a GPU."""
        return replace(self, place=describe(self.means, self.devices, subject))

    def fit(self, study: "Study") -> "Study":
        """The study with runs of which is kept and measured what is asked for."""
        asked = replace(study.subject, lean=self.means.no_scores, metered=self.means.energy)
        return replace(study, subject=asked)

    @property
    def only_plan(self) -> bool:
        return self.dry_run or self.calibrate


def reference_of(store: "Store", study: str, subject: "Subject") -> "Config | None":
    """What the conditions of a study that exists are named against; None where its settings are others."""

    base = store.study_base(study)
    try:
        return None if base is None else subject.configure(base)
    except ConfigError:
        return None


def train_study(
    study: "Study", training: Training, profile: str | None, details: "StudyDetails | None" = None
) -> None:
    """Plan the study, train what is not trained yet, and show the results.

    Exit code 1 when a run has not finished, 130 when interrupted.
    """
    from ablate.cli.plan import forecast
    from ablate.record.rundir import State
    from ablate.record.searches import SearchFolder
    from ablate.schedule.twins import to_be_trained, weights_for

    store, output, training = training.store, training.output, training.of(study.subject)
    study = training.fit(study)
    if SearchFolder.of(store, study.name).exists():
        raise ConfigError(f"study '{study.name}' is a search; choose another name for yours")
    if training.calibrate or not training.dry_run:
        store.require_writable()
    require_folds(study, store)
    dataset = find_dataset(study, training.data, store, training.only_plan)
    plan = plan_of(study, dataset, store)
    todo = plan.to_train(retry=training.means.retried)
    if training.only_plan or output is Printout.TABLE:
        trained = to_be_trained(todo, weights_for(todo, store))
        times = forecast(study.subject, training, trained)
        n_scored = len(todo) - len(trained)
        _show_plan(study, plan, profile, times, n_scored, training, details)
    if training.only_plan:
        return
    record_runs(store, study, [planned.run for planned in plan.runs], details)
    train_runs(training, study, todo)
    plan = plan_of(study, dataset, store)
    _show_results(study, plan, training, details)
    if plan.counts()[State.FINISHED] < len(plan.runs):
        raise typer.Exit(1)


def typed_command() -> str:
    """What the user has typed, to be kept with the study."""
    return shlex.join(["ablate", *sys.argv[1:]])


def require_folds(study: "Study", store: "Store") -> None:
    """Raises StudyError when the study has its training data in another number of folds."""
    from ablate.subject.settings import Settings

    store.require_folds(study.name, study.subject.card, Settings(study.base.flat()))


def record_runs(
    store: "Store", study: "Study", runs: "Sequence[Run]", details: "StudyDetails | None" = None
) -> None:
    """Record that the study has these runs, by the command that is under way."""
    from ablate.subject.settings import Settings

    base = Settings(study.base.flat())
    store.add_to_study(study.name, runs, typed_command(), base=base, details=details, card=study.subject.card)


def find_dataset(study: "Study", data: Path | None, store: "Store", dry_run: bool) -> "Dataset":
    """The data to train on, prepared if they are not yet; a dry run only finds out their identity.

    Raises ConfigError when the study expects of the data what they do not have.
    """

    def tell(message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    source = study.subject.data
    find = source.identify if dry_run else source.provide
    found = find(data, store.data, tell, study.expected)
    return replace(found, path=found.path.absolute())  # who reads the record may be in another folder


def plan_of(study: "Study", dataset: "Dataset", store: "Store") -> "Plan":
    """What the study wants, and what of that is left to do."""
    return plan_for(study.runs(dataset), study.name, store)


def plan_for(runs: "Sequence[Run]", study: str, store: "Store") -> "Plan":
    """What is left to do of runs, most of which the study has already."""
    from ablate.ground.collector import resting
    from ablate.record.index import Index
    from ablate.schedule.grid import reconcile

    index = Index.of(store, study)
    with resting():
        return reconcile(runs, lambda run_id: index.status(store.folder(run_id)))


def _show_plan(
    study: "Study",
    plan: "Plan",
    profile: str | None,
    times: "Forecast",
    n_scored: int,
    training: Training,
    details: "StudyDetails | None",
) -> None:
    from ablate.cli.plan import (
        describe_plan,
        kept_bytes,
        print_forecast,
        print_noise,
        print_plan,
        print_states,
    )
    from ablate.ground.wording import readable_bytes

    workers = len(training.devices)
    kept = kept_bytes(study.subject, training, plan.to_train(retry=training.means.retried))
    if training.output is Printout.JSON:
        print_json(describe_plan(study, plan, times, workers, training.place, kept))
        return
    if details and details.question:
        print(textwrap.fill(details.question, min(TEXT_WIDTH, terminal_width() or TEXT_WIDTH)) + "\n")
    print_plan(study, plan, profile or next(iter(study.subject.profiles), None))
    if n_scored:
        say(f"  {n_scored} of them only scored, with the weights of runs that differ in nothing else")
    if training.place is not None:
        say(f"  {training.place}")
    print_noise(study, plan, training.store, details.baseline if details else None)
    print_forecast(times, workers, can_calibrate=bool(study.subject.speed_command))
    if kept:
        say(f"  keeps about {readable_bytes(kept)} of scores of frames for ablate rescore; --no-scores: none")
    if training.only_plan:
        print()
        print_states(plan.runs)
        left_out = "--calibrate" if training.calibrate else "--dry-run"
        written = "trained" if training.calibrate else "trained or written"
        print()
        say(f"Nothing was {written}. Leave out {left_out} to train.")


def train_runs(
    training: Training,
    study: "Study",
    runs: list["Run"],
    budget_s: float | None = None,
    search: "Searching | None" = None,
) -> None:
    """Train the runs, and those that a search asks for; and ship to MLflow what it lacks of the study.

    After ``budget_s`` seconds no further run is begun.
    """
    from ablate.campaign.campaign import Campaign, Cancelled, Policy
    from ablate.cli.progress import ProgressDisplay
    from ablate.record.cancellation import Cancellation
    from ablate.schedule.packs import plan_packs
    from ablate.subject.settings import Settings
    from ablate.tracking import Tracker

    store, subject = training.store, study.subject
    launcher = make_launcher(
        training.means, training.devices, Work(store, study.name, subject, training.gpus_per_run)
    )
    for run in runs:
        store.folder(run.run_id).order(run)
    until = math.inf if budget_s is None else time.monotonic() + budget_s
    cancellation = Cancellation(store, study.name)
    policy = Policy(training.means.max_retries, training.means.fail_fast, until, cancellation.is_new)
    if training.devices != ["cpu"] * len(training.devices):
        # On a GPU runs train together; those that cost the same do so best.
        runs = [run for pack in plan_packs(runs, subject, devices=len(training.devices)) for run in pack]
    n_to_come = 0 if search is None else search.n_to_come
    epochs_to_come = n_to_come * subject.epochs(Settings(study.base.flat()))
    display = ProgressDisplay(
        store,
        subject,
        console(stderr=training.output is Printout.JSON),
        n_runs=len(runs) + n_to_come,
        n_epochs=sum(subject.epochs(run.config) for run in runs) + epochs_to_come,
    )
    known = store.study_runs(study.name) if search is None else search.folders()
    with display:
        try:
            campaign = Campaign(store, launcher, Tracker(store, study.name), display, policy)
            if training.means.no_wait and runs:
                say(campaign.hand_over(runs))
                raise typer.Exit(0)
            campaign.execute(runs, known, search)
        except Cancelled:
            display.on_warning("cancelled; the same command goes on from where the runs were last saved")
            raise typer.Exit(130) from None
        except KeyboardInterrupt:
            display.on_warning("interrupted; the same command goes on from where the runs were last saved")
            raise typer.Exit(130) from None


def _show_results(study: "Study", plan: "Plan", training: Training, details: "StudyDetails | None") -> None:
    """The comparison of the planned conditions, what failed, and what to type next."""
    from ablate.analysis.compare import compare
    from ablate.analysis.folds import pooled
    from ablate.analysis.looked import count_look, seeds_of_comparison
    from ablate.analysis.query import load_runs
    from ablate.analysis.searches import marked
    from ablate.cli.compare import print_comparison
    from ablate.cli.damages import end_with_damages
    from ablate.cli.failures import print_failures
    from ablate.cli.plan import describe_plan, print_reading_aid
    from ablate.record.store import default_root
    from ablate.schedule.estimate import Forecast

    store = training.store
    if training.output is Printout.JSON:
        print_json(describe_plan(study, plan, Forecast({1: 0.0}), workers=1, place=training.place, kept=0.0))
        return
    planned = {item.run.run_id for item in plan.runs}
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
        print_reading_aid(study)
    print_failures(records, study.name, store)
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
    yield f"ablate ui{where}", "curves, per-class scores and confusion matrices"
    if details and details.claims:
        yield "the same with decide in place of study", "more seeds, where a claim needs them"
    else:
        yield (
            f"the same with --seeds {2 * len(study.seeds) + 1}",
            "narrower intervals; only what is new trains",
        )
