"""``ablate noise``: how much the baseline's scores differ between seeds."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import print_json, say, terminal_width
from ablate.cli.failures import print_failures
from ablate.cli.means import Means
from ablate.cli.options import (
    Printout,
    PrintoutOption,
    StoreOption,
    StudyArgument,
    StudyOption,
    chosen_study,
    open_store,
)
from ablate.cli.subjects import (
    Chosen,
    CodeOption,
    choose_subject,
    settle_code,
)
from ablate.cli.train import (
    DataOption,
    FoldsOption,
    ProfileOption,
    SettingsOption,
    Training,
    find_dataset,
    plan_of,
    record_runs,
    reference_of,
    require_folds,
    train_runs,
)
from ablate.cli.unfolded import unfolded
from ablate.ground.errors import ConfigError, StoreError, StudyError
from ablate.ground.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ablate.analysis.compare import Group
    from ablate.analysis.query import RunRecord
    from ablate.cli.subjects import Code
    from ablate.design.study import Study
    from ablate.record.store import Store
    from ablate.subject.factors import Factors
    from ablate.subject.interface import Dataset, Subject
    from ablate.subject.settings import Config

NAME = "noise"  # of the study that is made where none is named
DEFAULT_SEEDS = 10


@unfolded
def noise(
    *,
    study: StudyArgument = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=2, max=1000, help="Seeds of the baseline; what is missing is trained.  [default: 10]"
        ),
    ] = None,
    folds: FoldsOption = None,
    chosen: Chosen,
    code: CodeOption = None,
    data: DataOption = None,
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    study_option: StudyOption = None,
    store: StoreOption = None,
    means: Means,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Show how much scores differ between seeds, and what so many seeds can tell apart.

    Without STUDY, a study of the name noise trains the baseline alone. Of a STUDY that exists it is the
    baseline's spread; only with --seeds are seeds trained that it lacks, with the study's own settings.
    """
    from ablate.design.folds import in_folds

    opened = open_store(store)
    opened.require_folder()
    name = chosen_study(study, study_option)
    training = Training.by(means, opened, data, output, gpus_per_run=chosen.gpus_per_run)
    if name is None:
        subject = choose_subject(chosen, levels={}, settings=_parsed(settings))
        subject = settle_code(opened, NAME, subject, code)
        known = subject.known_factors.on_data(subject.data.settles(data, opened.data))
        base = subject.profile(profile).override(known.fields_of(_parsed(settings)))
        base = in_folds(base, subject, folds)
        wanted = _new_study(subject, base, known, seeds or DEFAULT_SEEDS, opened)
        _train(wanted, find_dataset(wanted, data, opened, dry_run=False), training)
        _show(opened, NAME, output)
        return
    given = {
        "--script": chosen.script,
        "--subject": chosen.module,
        "--metric": chosen.metric,
        "--uses": chosen.uses,
        "--data": data,
        "--profile": profile,
        "--set": settings,
        "--folds": folds,
    }
    if wrong := [option for option, value in given.items() if value]:
        raise ConfigError(
            f"{', '.join(wrong)}: study '{name}' has its own; leave out the study's name to measure another "
            "baseline"
        )
    opened.choose_study(name)
    if seeds is not None:
        _train(*_baseline_study(opened, name, seeds, code), training)
    _show(opened, name, output)


def _parsed(settings: list[str] | None) -> dict[str, str]:
    from ablate.design.study import parse_settings

    return parse_settings(settings or [])


def _new_study(subject: "Subject", base: "Config", known: "Factors", seeds: int, store: "Store") -> "Study":
    """The baseline alone, as a grid without factors."""
    from ablate.design.study import plan_study

    reference = reference_of(store, NAME, subject)
    return plan_study(NAME, subject, base, [], {}, seeds=seeds, known=known, reference=reference)


def _baseline_study(store: "Store", name: str, seeds: int, code: "Code | None") -> "tuple[Study, Dataset]":
    """The baseline of a study that exists, with more seeds, and its data. Raises StudyError, StoreError."""
    from ablate.analysis.query import load_runs
    from ablate.design.conditions import Condition
    from ablate.design.folds import without_fold
    from ablate.design.study import Study
    from ablate.subject.interface import NO_DATA
    from ablate.subject.registry import open_subject

    found = _baselines(load_runs(store, name), store, name)
    if len(found) > 1:
        names = ", ".join(group.name for group in found)
        raise StudyError(f"study '{name}' has several baselines, {names}; --seeds cannot tell which is meant")
    run = store.folder(found[0].first.runs[0].run_id).run()
    subject = settle_code(store, name, open_subject(store.study_card(name).spec), code)
    dataset = replace(run.dataset, path=store.locate(run.dataset))
    if dataset.digest != NO_DATA and not dataset.path.exists():
        raise StoreError(
            f"the data of study '{name}' are no longer at {dataset.path}; type the command again that "
            "planned it"
        )
    config = without_fold(subject, subject.configure(run.config))
    condition = Condition(found[0].first.name, config, dict(found[0].first.condition))
    return Study(name, subject, [], [condition], [], list(range(seeds)), config, named=True), dataset


def _baselines(records: "Sequence[RunRecord]", store: "Store", study: str) -> "list[Group]":
    from ablate.analysis.compare import group_runs, named
    from ablate.design.conditions import BASELINE

    name = store.study_details(study).baseline or BASELINE
    found = named(group_runs(records), name)
    if not found:
        raise StudyError(
            f"study '{study}' has no run of a condition '{name}', which would be its baseline; a study file "
            "names another, and without a study `ablate noise` trains one"
        )
    return found


def _train(study: "Study", dataset: "Dataset", training: Training) -> None:
    """Train what is missing. Exit code 1 when a run has not finished."""
    from ablate.record.rundir import State

    training = training.of(study.subject)
    study = training.fit(study)
    training.store.require_writable()
    require_folds(study, training.store)
    plan = plan_of(study, dataset, training.store)
    todo = plan.to_train(retry=training.means.retried)
    if training.output is Printout.TABLE:
        folds = f" x {study.n_folds} folds" if study.n_folds else ""
        say(f"Baseline of study {study.name}: {count(len(study.seeds), 'seed')}{folds}, {len(todo)} to train")
        if training.place is not None:
            say(f"  {training.place}")
    record_runs(training.store, study, [planned.run for planned in plan.runs])
    if todo:
        train_runs(training, study, todo)
    plan = plan_of(study, dataset, training.store)
    if plan.counts()[State.FINISHED] < len(plan.runs):
        print_failures(plan.runs, study.name, training.store)
        raise typer.Exit(1)


def _show(store: "Store", study: str, output: Printout) -> None:
    from ablate.analysis.compare import measured
    from ablate.analysis.folds import folding, pooled
    from ablate.analysis.noise import content, noise_of_groups, terminal
    from ablate.analysis.query import load_runs, units_of
    from ablate.cli.damages import end_with_damages

    everything = load_runs(store, study)
    records = pooled(everything)
    units = units_of(records)
    metrics = store.study_card(study).metrics.headline(measured(records))
    found = noise_of_groups(records, _baselines(records, store, study), units, metrics)
    if output is Printout.JSON:
        print_json(
            {
                "study": study,
                "baselines": {name: [content(noise) for noise in each] for name, each in found.items()},
            }
        )
    for name, each in found.items() if output is Printout.TABLE else ():
        print()
        if each:
            say(f"Noise of {name}, study {study}:\n")
            print(terminal(each, name, units, terminal_width()))
            said = folding(records, [noise.metric for noise in each])
            if said is not None:
                say(said.note)
        else:
            say(
                f"{name}, study {study}: no metric differs between its seeds. Two seeds at least must have "
                "finished (--seeds trains more), and the training must use its seed."
            )
    end_with_damages(store, study, everything)
