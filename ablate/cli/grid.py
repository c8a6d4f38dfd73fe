"""``ablate grid``: train the combinations of factor levels that are not trained yet."""

from enum import StrEnum
from typing import Annotated

import typer

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
    CalibrateOption,
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
    find_slots,
    reference_of,
    train_study,
)
from ablate.ground.errors import ConfigError


class DesignName(StrEnum):
    FULL = "full"
    OFAT = "ofat"


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
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Runs of each condition, with seeds 0, 1, ...  [default: 3]")
    ] = None,
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
        typer.Option("--study", metavar="NAME", help="The same as STUDY.  [default: grid, or as the script]"),
    ] = None,
    store: StoreOption = None,
    dry_run: DryRunOption = False,
    calibrate: CalibrateOption = False,
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
    """Train the combinations that are not trained yet.

    Every combination of the factors' levels (or with --design ofat one factor at a time) and every seed.

    Typing the same command again trains nothing; after a crash it trains what is missing; with a level more
    it trains only what that adds.
    """
    from ablate.design.study import check_study_name, parse_levels, parse_settings, plan_study
    from ablate.subject.registry import built_in

    names = [factor.strip() for factor in factors.split(",") if factor.strip()]
    if not names and not levels:
        raise ConfigError("name what to vary, such as --factors grl_pos,shuffle; `ablate factors` lists all")
    parsed, changes = parse_levels(levels or []), parse_settings(settings or [])
    subject = choose_subject(
        script,
        module,
        metrics=metric or [],
        uses=uses or [],
        levels={**dict.fromkeys(names, ()), **parsed},
        settings=changes,
        shell=shell,
        name=subject_name,
        gpus=gpus_per_run,
    )
    name = chosen_study(study, study_option) or ("grid" if subject is built_in() else subject.name)
    check_study_name(name)
    opened = open_store(store)
    opened.require_folder()
    subject = settle_code(opened, name, subject, code)
    known = all_factors(subject, plugin)
    base = subject.profile(profile).override(known.fields_of(changes))
    wanted = plan_study(
        name,
        subject,
        base,
        names,
        parsed,
        design=design.value,
        seeds=seeds,
        known=known,
        reference=reference_of(opened, name, subject),
    )
    training = Training(
        store=opened,
        data=data,
        devices=find_slots(device, workers, gpus_per_run),
        runs_per_gpu=runs_per_gpu,
        launcher=launcher,
        dry_run=dry_run,
        calibrate=calibrate,
        retry=retry,
        fail_fast=fail_fast,
        max_retries=max_retries,
        output=output,
    )
    train_study(wanted, training, profile)
