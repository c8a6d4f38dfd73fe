"""``ablate effects``: what each factor of a study does, and how that depends on the others."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import console, terminal_width
from ablate.cli.options import (
    OutputOption,
    PluginOption,
    StoreOption,
    StudyArgument,
    StudyOption,
    WhereOption,
    all_factors,
    open_study,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ablate.analysis.effects import Effects

PICTURES = (".png", ".pdf", ".svg")


class EffectsFormat(StrEnum):
    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


def effects(
    study: StudyArgument = None,
    study_option: StudyOption = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="Which metrics.  [default: those that the study's subject compares]"
        ),
    ] = None,
    where: WhereOption = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw the interactions that are certain, at most four."),
    ] = None,
    plugin: PluginOption = None,
    output_format: Annotated[
        EffectsFormat, typer.Option("--format", help="How to print.")
    ] = EffectsFormat.TABLE,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """Show what each factor does, and how that depends on the other factors.

    Of a full grid: main effects, interactions of pairs, and shares of variance. Of a study of --design both:
    each effect alone and in company. Of a ladder: the effect of each step.

    Effects are differences within each seed, with a 95 % CI over seeds and an adjusted p.
    """
    from ablate.analysis import effecttables, query
    from ablate.analysis.effects import effects as effects_of
    from ablate.analysis.effects import refuse_search
    from ablate.analysis.folds import pooled
    from ablate.analysis.where import select
    from ablate.cli.compare import write_output
    from ablate.cli.damages import end_with_damages
    from ablate.subject.registry import open_if_there

    if picture is not None:
        _check_picture(picture)
    chosen_store, name = open_study(store, study, study_option)
    refuse_search(chosen_store, name)
    subject = open_if_there(chosen_store.study_card(name).spec)
    everything = query.load_runs(chosen_store, name)
    records = pooled(everything)
    found = effects_of(
        records if where is None else select(records, where),
        name,
        subject,
        baseline=chosen_store.study_details(name).baseline,
        metrics=None if metrics is None else [each.strip() for each in metrics.split(",") if each.strip()],
        known=None if subject is None else all_factors(subject, plugin),
        command=next(iter(chosen_store.study_commands(name)), ""),
    )
    text = effecttables.FORMATS[output_format](found, terminal_width() if output is None else None)
    if output is not None:
        write_output(output, text)
    elif output_format is EffectsFormat.TABLE:
        _print_coloured(text)
    else:
        typer.echo(text, nl=False)
    if picture is not None:
        _draw(found, picture)
    end_with_damages(chosen_store, name, everything)


def _check_picture(file: Path) -> None:
    from ablate.ground.errors import ConfigError, shown

    if file.suffix not in PICTURES or file.is_dir():
        raise ConfigError(f"--picture {shown(str(file))}: name a file that ends in {', '.join(PICTURES)}")


def _draw(found: "Sequence[Effects]", file: Path) -> None:
    from ablate.analysis import figures
    from ablate.analysis.pictures import interaction_picture
    from ablate.ground.errors import ConfigError

    picture = interaction_picture(found[0])
    if picture is None:
        typer.echo(f"no interaction has an adjusted p below 0.05, so {file} is not drawn", err=True)
        return
    try:
        figures.save(picture.figure, file)
    except OSError as error:
        raise ConfigError(f"--picture {file}: cannot be written ({error.strerror or error})") from error
    typer.echo(f"wrote {file}", err=True)


def _print_coloured(text: str) -> None:
    from rich.text import Text

    coloured = Text(text)
    coloured.highlight_regex(r"(?m)^Missing: .*$", "yellow")
    coloured.highlight_regex(r"[-+][\d.]+[▲▼]\*", "bold")
    console().print(coloured, soft_wrap=True, end="")
