"""``ablate effects``: what each factor of a study does, and how that depends on the others."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import print_coloured, terminal_width
from ablate.cli.options import (
    OutputOption,
    PluginOption,
    ReadArgument,
    StoreOption,
    StudyOption,
    WhereOption,
    listed,
    open_study,
)

if TYPE_CHECKING:
    from ablate.api.answers import Picture

PICTURES = (".png", ".pdf", ".svg")


class EffectsFormat(StrEnum):
    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


def effects(
    study: ReadArgument = None,
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
    from ablate.api import answers
    from ablate.cli.compare import write_output
    from ablate.cli.damages import tell_damages

    if picture is not None:
        _check_picture(picture)
    opened, name = open_study(store, study, study_option)
    found = answers.effects(
        name,
        store=opened,
        metrics=listed(metrics),
        where=where,
        plugins=plugin or [],
    )
    text = found.to(output_format, terminal_width() if output is None else None)
    if output is not None:
        write_output(output, text)
    elif output_format is EffectsFormat.TABLE:
        print_coloured(text, r"(?m)^(?P<yellow>Missing: .*)$", r"(?P<bold>[-+][\d.]+[▲▼]\*)")
    else:
        typer.echo(text, nl=False)
    if picture is not None:
        _draw(found.picture, picture)
    tell_damages(found.store, found.study, found.damages)


def _check_picture(file: Path) -> None:
    from ablate.ground.errors import ConfigError, shown

    if file.suffix not in PICTURES or file.is_dir():
        raise ConfigError(f"--picture {shown(str(file))}: name a file that ends in {', '.join(PICTURES)}")


def _draw(picture: "Picture | None", file: Path) -> None:
    from ablate.analysis import figures
    from ablate.ground.errors import ConfigError

    if picture is None:
        typer.echo(f"no interaction has an adjusted p below 0.05, so {file} is not drawn", err=True)
        return
    try:
        figures.save(picture.figure, file)
    except OSError as error:
        raise ConfigError(f"--picture {file}: cannot be written ({error.strerror or error})") from error
    typer.echo(f"wrote {file}", err=True)
