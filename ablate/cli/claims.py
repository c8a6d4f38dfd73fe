"""``ablate claims``: what a study claims, and what its runs say to that."""

from enum import StrEnum
from typing import Annotated

import typer

from ablate.cli.console import console, terminal_width
from ablate.cli.options import (
    OutputOption,
    StoreOption,
    StudyArgument,
    StudyOption,
    WhereOption,
    open_study,
)


class ClaimsFormat(StrEnum):
    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


def claims(
    study: StudyArgument = None,
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
    from ablate.analysis import query, verdicts
    from ablate.analysis.claims import judge
    from ablate.analysis.folds import pooled
    from ablate.analysis.looked import remark, seeds_of_verdicts
    from ablate.analysis.where import select
    from ablate.cli.compare import write_output
    from ablate.cli.damages import end_with_damages

    chosen_store, name = open_study(store, study, study_option)
    everything = query.load_runs(chosen_store, name)
    records = pooled(everything)
    chosen = records if where is None else select(records, where)
    details = chosen_store.study_details(name)
    judged = judge(chosen, details)
    looked = None
    if where is None:  # a part of the runs is no look at the study
        looked = remark(chosen_store, name, records, details, seeds_of_verdicts(judged))
    text = verdicts.FORMATS[output_format](name, judged, terminal_width() if output is None else None, looked)
    if output is not None:
        write_output(output, text)
    elif output_format is ClaimsFormat.TABLE:
        _print_coloured(text)
    else:
        typer.echo(text, nl=False)
    end_with_damages(chosen_store, name, everything)


def _print_coloured(text: str) -> None:
    from rich.text import Text

    coloured = Text(text)
    for word, colour in (("supported", "green"), ("refuted", "red"), ("inconclusive", "yellow")):
        coloured.highlight_regex(rf"(?m)^\S+ +(?P<{colour}>{word})(?=  |$)")
    coloured.highlight_regex(r"(?m)^Missing: .*$", "yellow")
    console().print(coloured, soft_wrap=True, end="")
