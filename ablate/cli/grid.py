"""``ablate grid``: train the combinations of factor levels that are not trained yet."""

import contextlib
import shlex
import signal
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.options import (
    PluginOption,
    Printout,
    PrintoutOption,
    StoreOption,
    all_factors,
    open_store,
)
from ablate.errors import ConfigError
from ablate.rundir import State

if TYPE_CHECKING:
    from ablate.design.runs import Dataset, Run
    from ablate.design.study import Study
    from ablate.launch.base import Launcher
    from ablate.schedule.grid import Plan
    from ablate.store import Store


# One score a task, which fits a terminal; `ablate compare` shows more.
CLOSING_METRICS = ("scene_micro_f", "event_micro_f")


class DesignName(StrEnum):
    FULL = "full"
    OFAT = "ofat"


class LauncherName(StrEnum):
    LOCAL = "local"
    INLINE = "inline"


def grid(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="The study's name.")] = None,
    factors: Annotated[
        str, typer.Option(metavar="A,B", help="Factors to vary, each over its levels; see `ablate factors`.")
    ] = "",
    levels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FACTOR=X,Y", help="Levels of a factor or setting, instead of its own; repeatable."
        ),
    ] = None,
    design: Annotated[
        DesignName,
        typer.Option(help="full: every combination; ofat: the baseline, then one factor at a time."),
    ] = DesignName.FULL,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each condition, with seeds 0, 1, ...")] = 2,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Data to train on.  [default: embedded soundscapes]")
    ] = None,
    profile: Annotated[str, typer.Option(metavar="quick|paper", help="Size of the training.")] = "quick",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of every run; repeatable."),
    ] = None,
    study_option: Annotated[
        str | None, typer.Option("--study", metavar="NAME", help="The same as STUDY.  [default: grid]")
    ] = None,
    store: StoreOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan; train and write nothing.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Train failed runs again.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at the same time.  [default: one a core, or one a GPU]")
    ] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda|cuda:0,..", help="Where to train.")] = "auto",
    runs_per_gpu: Annotated[int, typer.Option(min=1, help="Runs that share a GPU at the same time.")] = 1,
    launcher: Annotated[
        LauncherName, typer.Option(help="local: worker processes; inline: in this process, for debugging.")
    ] = LauncherName.LOCAL,
    plugin: PluginOption = None,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Train the combinations that are not trained yet.

    Every combination of the factors' levels (or with --design ofat one factor at a time) and every seed.

    Typing the same command again trains nothing; after a crash it trains what is missing; with a level more
    it trains only what that adds.
    """
    from ablate import config
    from ablate.design.factors import settings as resolve_settings
    from ablate.design.study import parse_levels, parse_settings, plan_study
    from ablate.launch.devices import find_devices, slots
    from ablate.schedule.grid import estimate_seconds
    from ablate.store import check_study_name

    if study is not None and study_option is not None and study != study_option:
        raise ConfigError(f"two studies are named, '{study}' and --study '{study_option}'; name one")
    name = study or study_option or "grid"
    check_study_name(name)
    names = [factor.strip() for factor in factors.split(",") if factor.strip()]
    if not names and not levels:
        raise ConfigError("name what to vary, such as --factors grl_pos,shuffle; `ablate factors` lists all")
    table = all_factors(plugin)
    base = config.override(config.profile(profile), resolve_settings(parse_settings(settings or []), table))
    wanted = plan_study(
        name, base, names, parse_levels(levels or []), design=design.value, seeds=seeds, table=table
    )
    devices = slots(find_devices(device), workers, runs_per_gpu)
    opened = open_store(store)
    if not dry_run:
        opened.require_writable()
    dataset = _dataset(data, opened, dry_run)
    plan = _reconcile(wanted, dataset, opened)
    todo = plan.to_train(retry=retry)
    if dry_run or output is Printout.TABLE:
        seconds = estimate_seconds(todo, opened.finished_runs(), len(devices))
        _show_plan(wanted, plan, profile, seconds, dry_run, output)
    if dry_run:
        return
    command = shlex.join(["ablate", *sys.argv[1:]])
    opened.add_to_study(name, [planned.run for planned in plan.runs], command)
    _train(opened, name, todo, devices, launcher, output)
    plan = _reconcile(wanted, dataset, opened)
    _show_results(wanted, plan, opened, output)
    if plan.counts()[State.FAILED]:
        raise typer.Exit(1)


def _dataset(data: Path | None, store: "Store", dry_run: bool) -> "Dataset":
    """The data to train on, prepared if they are not yet; a dry run only finds out their identity."""

    def say(message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    from ablate.data.datasets import identify, provide
    from ablate.design.runs import Dataset

    if dry_run:
        name, digest, path = identify(data, store.data, say)
    else:
        prepared = provide(data, store.data, say)
        name, digest, path = prepared.name, prepared.digest, prepared.path
    return Dataset(name, digest, path)


def _reconcile(study: "Study", dataset: "Dataset", store: "Store") -> "Plan":
    from ablate.schedule.grid import reconcile

    return reconcile(study.runs(dataset), lambda run_id: store.folder(run_id).status())


def _show_plan(
    study: "Study", plan: "Plan", profile: str, seconds: float | None, dry_run: bool, output: Printout
) -> None:
    from ablate.cli.console import print_json
    from ablate.cli.plan import describe_plan, print_plan, print_states
    from ablate.cli.words import duration

    if output is Printout.JSON:
        print_json(describe_plan(study, plan, seconds))
        return
    print_plan(study, plan, profile)
    if seconds == 0:
        print("  nothing to train")
    elif seconds:
        print(f"  estimated time: {duration(seconds)}")
    else:
        print("  estimated time: unknown until a first run of this size has finished")
    if dry_run:
        print()
        print_states(plan)
        print("\nNothing was trained or written. Leave out --dry-run to train.")


def _train(
    store: "Store",
    study: str,
    runs: list["Run"],
    devices: list[str],
    launcher: LauncherName,
    output: Printout,
) -> None:
    """Train the runs, and ship to MLflow what it lacks of the study."""
    from ablate.campaign import Campaign
    from ablate.cli.console import console
    from ablate.cli.progress import ProgressDisplay
    from ablate.tracking import Tracker

    tracker = Tracker(store, study)
    display = ProgressDisplay(store, runs, console(stderr=output is Printout.JSON))
    with display, _terminate_as_interrupt():
        try:
            campaign = Campaign(store, _launcher(launcher, devices), tracker, display)
            campaign.execute(runs, store.study_runs(study))
        except KeyboardInterrupt:
            display.on_warning(
                "interrupted; runs have saved where they are, the same command goes on from there"
            )
            raise typer.Exit(130) from None


def _launcher(name: LauncherName, devices: list[str]) -> "Launcher":
    from ablate.launch.inline import InlineLauncher
    from ablate.launch.local import LocalLauncher

    if name is LauncherName.LOCAL:
        return LocalLauncher(devices)
    from ablate.worker import train_task

    return InlineLauncher(train_task, devices[0])


@contextlib.contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """A polite end (SIGTERM, as from a job scheduler) is Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _show_results(study: "Study", plan: "Plan", store: "Store", output: Printout) -> None:
    """The comparison of the planned conditions, what failed, and what to type next."""
    from ablate.analysis.compare import compare
    from ablate.analysis.query import load_runs
    from ablate.cli.compare import print_comparison
    from ablate.cli.console import print_json
    from ablate.cli.plan import describe_plan, print_failures, print_reading_aid
    from ablate.store import default_root

    if output is Printout.JSON:
        print_json(describe_plan(study, plan, seconds=0.0))
        return
    planned = {item.run.run_id for item in plan.runs}
    records = [record for record in load_runs(store, study.name) if record.run_id in planned]
    print()
    shown = [
        name for name in CLOSING_METRICS if any(record.metrics.get(name) is not None for record in records)
    ]
    if shown:
        print_comparison(compare(records, study.name, metrics=shown))
        print_reading_aid(study)
    print_failures(plan, study.name)
    _print_next(study, f" --store {store.root}" if store.root != default_root() else "")


def _print_next(study: "Study", where: str) -> None:
    print("\nNext:")
    for command, purpose in (
        (f"ablate compare {study.name}{where}", "more scores; --format markdown, latex, csv or json"),
        (f"ablate ui{where}", "curves, per-class scores and confusion matrices"),
        (f"the same with --seeds {2 * len(study.seeds) + 1}", "narrower intervals; only what is new trains"),
    ):
        print(f"  {command:<32} {purpose}")
