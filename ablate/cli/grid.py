"""``ablate grid``: train the combinations of factor levels that are not trained yet."""

from enum import StrEnum
from typing import Annotated

import typer

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
    CalibrateOption,
    DataOption,
    DryRunOption,
    FoldsOption,
    ProfileOption,
    SettingsOption,
    Training,
    train_study,
)
from ablate.cli.unfolded import unfolded


class DesignName(StrEnum):
    FULL = "full"
    OFAT = "ofat"
    LEAVE_ONE_OUT = "leave-one-out"
    BOTH = "both"
    LADDER = "ladder"


@unfolded
def grid(
    *,
    study: Annotated[str | None, typer.Argument(metavar="STUDY", help="The study's name.")] = None,
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
        typer.Option(
            help="full: every combination; ofat: the baseline, then one factor at a time; leave-one-out: all "
            "factors changed, then one at a time as in the baseline; both: these two; ladder: one factor "
            "more at each step, in the order of --factors."
        ),
    ] = DesignName.FULL,
    full: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FACTOR=LEVEL",
            help="The level that the full system has, where a factor has several beside the baseline's; "
            "repeatable.",
        ),
    ] = None,
    zip_: Annotated[
        list[str] | None,
        typer.Option("--zip", metavar="A,B", help="Factors that vary together, level by level; repeatable."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPR", help='Combinations to leave out: "lr = 0.1 and momentum > 0"; repeatable.'
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GRID",
            help="One more grid in the same study, all else as in the baseline: 'lr=0.1,1 width=8 "
            "design=ofat'; repeatable.",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Runs of each condition, with seeds 0, 1, ...  [default: 3]")
    ] = None,
    folds: FoldsOption = None,
    chosen: Chosen,
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
    means: Means,
    plugin: PluginOption = None,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Train the combinations that are not trained yet.

    Every combination of the factors' levels, or those of another --design, and every seed.

    Typing the same command again trains nothing; after a crash it trains what is missing; with a level more
    it trains only what that adds.
    """
    from ablate.api.asked import Grid
    from ablate.design.study import parse_levels, parse_settings
    from ablate.design.typed import parse_also, parse_full, parse_zips

    asked = Grid(
        chosen_study(study, study_option),
        [factor.strip() for factor in factors.split(",") if factor.strip()],
        parse_levels(levels or []),
        design.value,
        parse_full(full or []),
        parse_zips(zip_ or []),
        exclude or [],
        [parse_also(each) for each in also or []],
        seeds,
        folds,
        chosen,
        code,
        data,
        profile,
        parse_settings(settings or []),
        plugin or [],
    )
    opened = open_store(store)
    wanted = asked.wanted(opened)
    training = Training.by(
        means,
        opened,
        data,
        output,
        gpus_per_run=wanted.gpus_per_run,
        dry_run=dry_run,
        calibrate=calibrate,
    )
    train_study(wanted.study, training, profile)
