"""``ablate grid``: train the combinations of factor levels that are not trained yet."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from ablate.cli.means import Means
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
    Chosen,
    CodeOption,
    choose_subject,
    settle_code,
)
from ablate.cli.train import (
    CalibrateOption,
    DataOption,
    DryRunOption,
    FoldsOption,
    ProfileOption,
    SettingsOption,
    Training,
    reference_of,
    train_study,
)
from ablate.cli.unfolded import unfolded
from ablate.ground.errors import ConfigError


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
    from ablate.design.folds import in_folds
    from ablate.design.study import check_study_name, parse_levels, parse_settings, plan_study
    from ablate.design.typed import parse_also, parse_full, parse_zips
    from ablate.subject.registry import built_in

    names = [factor.strip() for factor in factors.split(",") if factor.strip()]
    if not names and not levels:
        raise ConfigError("name what to vary, such as --factors grl_pos,shuffle; `ablate factors` lists all")
    parsed, changes = parse_levels(levels or []), parse_settings(settings or [])
    zips, inside, more = (
        parse_zips(zip_ or []),
        parse_full(full or []),
        [parse_also(each) for each in also or []],
    )
    tried = _levels_of([dict.fromkeys(names, ()), parsed, *(grid.levels for grid in more)])
    subject = choose_subject(chosen, levels=tried, settings=changes)
    name = chosen_study(study, study_option) or ("grid" if subject is built_in() else subject.name)
    check_study_name(name)
    opened = open_store(store)
    opened.require_folder()
    subject = settle_code(opened, name, subject, code)
    known = all_factors(subject, plugin).on_data(subject.data.settles(data, opened.data))
    base = in_folds(subject.profile(profile).override(known.fields_of(changes)), subject, folds)
    wanted = plan_study(
        name,
        subject,
        base,
        names,
        parsed,
        design=design.value,
        also=more,
        zips=zips,
        full=inside,
        exclude=exclude or [],
        seeds=seeds,
        known=known,
        reference=reference_of(opened, name, subject),
    )
    training = Training.by(
        means,
        opened,
        data,
        output,
        gpus_per_run=chosen.gpus_per_run,
        dry_run=dry_run,
        calibrate=calibrate,
    )
    train_study(wanted, training, profile)


def _levels_of(grids: Sequence[Mapping[str, Sequence[str]]]) -> dict[str, list[str]]:
    """What is tried of each factor in all grids, each level once."""
    names = dict.fromkeys(name for grid in grids for name in grid)
    return {
        name: list(dict.fromkeys(level for grid in grids for level in grid.get(name, ()))) for name in names
    }
