"""``ablate claims``: what a study claims, and what its runs say to that."""

from enum import StrEnum
from typing import Annotated

import typer

from ablate.cli.console import print_coloured, terminal_width
from ablate.cli.options import (
    OutputOption,
    ReadArgument,
    StoreOption,
    StudyOption,
    WhereOption,
    open_study,
)

COLOURED = (
    *(
        rf"(?m)^\S+ +(?P<{colour}>{word})(?=  |$)"
        for word, colour in (("supported", "green"), ("refuted", "red"), ("inconclusive", "yellow"))
    ),
    r"(?m)^(?P<yellow>Missing: .*)$",
)


class ClaimsFormat(StrEnum):
    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


def claims(
    study: ReadArgument = None,
    study_option: StudyOption = None,
    where: WhereOption = None,
    output_format: Annotated[
        ClaimsFormat, typer.Option("--format", help="How to print.")
    ] = ClaimsFormat.TABLE,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """Judge a study's claims: supported, refuted or inconclusive, with the evidence.

    A claim is supported when the 95 % CI of every difference it stands for lies above its margin, and refuted
    when one certainly lies below. An inconclusive claim says how many seeds would decide it.
    """
    from ablate.api import answers
    from ablate.cli.compare import write_output
    from ablate.cli.damages import tell_damages

    opened, name = open_study(store, study, study_option)
    found = answers.claims(name, store=opened, where=where)
    if output is not None:
        write_output(output, found.to(output_format))
    elif output_format is ClaimsFormat.TABLE:
        print_coloured(found.text(terminal_width()), *COLOURED)
    else:
        typer.echo(found.to(output_format), nl=False)
    tell_damages(found.store, found.study, found.damages)
