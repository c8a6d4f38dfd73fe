"""``ablate compare``: the conditions of a study, their spread over seeds, and what each changed."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ablate.cli.console import print_coloured, terminal_width
from ablate.cli.options import (
    OutputOption,
    ReadArgument,
    StoreOption,
    StudyOption,
    WhereOption,
    listed,
    open_study,
)
from ablate.ground.errors import ConfigError

if TYPE_CHECKING:
    from ablate.analysis.compare import Comparison


class ComparisonFormat(StrEnum):
    TABLE = "table"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"
    JSON = "json"


class IntervalMethod(StrEnum):
    T = "t"
    PERCENTILE = "percentile"
    BCA = "bca"


class Over(StrEnum):
    SEEDS = "seeds"
    ITEMS = "items"
    RECORDINGS = "recordings"  # what items are in the study that comes with ablate
    BOTH = "both"


OVER: dict[Over, Literal["seeds", "items", "both"]] = {
    Over.SEEDS: "seeds",
    Over.ITEMS: "items",
    Over.RECORDINGS: "items",
    Over.BOTH: "both",
}


def compare(
    study: ReadArgument = None,
    study_option: StudyOption = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The condition to compare with.  [default: the study's, else the one named baseline]",
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="Which metrics.  [default: those that the study's subject compares]"
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A table as published, such as table3: theirs, ours, and the difference."
        ),
    ] = None,
    where: WhereOption = None,
    over: Annotated[
        Over,
        typer.Option(
            help="Of what else the intervals of differences speak: other seeds, other items "
            "(what the scores are made of, such as recordings), or both."
        ),
    ] = Over.SEEDS,
    ci: Annotated[
        IntervalMethod,
        typer.Option(help="How intervals are made; bootstrap intervals of few seeds are too narrow."),
    ] = IntervalMethod.T,
    ci_seed: Annotated[int, typer.Option(min=0, metavar="N", help="What a bootstrap draws.")] = 0,
    output_format: Annotated[
        ComparisonFormat, typer.Option("--format", help="How to print.")
    ] = ComparisonFormat.TABLE,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """Compare a study's conditions over their seeds.

    For each metric: mean, SD and 95 % CI over seeds, and the difference from the baseline paired by seed.

    With --over both, intervals and p-values of differences are over seeds and items, and a second table says
    how often a condition is the better one on another item with another seed, and what that varies by.

    Means are over the seeds that have finished; planned seeds that have not are named below the table.

    Metrics are those of `ablate runs`, and for a confusion matrix MATRIX/A/B (the share of A taken for B) or
    MATRIX/A+B (the mean of both ways).
    """
    from ablate.api import answers
    from ablate.cli.damages import tell_damages

    if layout is not None and baseline is not None:
        raise ConfigError("--layout compares with the published scores; leave out --baseline")
    if layout is not None and over is not Over.SEEDS:
        raise ConfigError("--layout speaks of other items by itself where it can; leave out --over")
    opened, name = open_study(store, study, study_option)
    asked = listed(metrics)
    is_table = output_format is ComparisonFormat.TABLE
    found: answers.Compared | answers.Layout
    if layout is not None:
        found = answers.layout(
            layout, name, store=opened, metrics=asked, where=where, ci=ci.value, ci_seed=ci_seed
        )
        width = terminal_width() if output is None else None
        _deliver(found.text(width) if is_table else found.to(output_format), output)
    else:
        found = answers.compare(
            name,
            store=opened,
            baseline=baseline,
            metrics=asked,
            where=where,
            over=OVER[over],
            ci=ci.value,
            ci_seed=ci_seed,
        )
        if output is None and is_table:
            print_comparison(found.comparison)
        else:
            _deliver(found.to(output_format), output)
    tell_damages(found.store, found.study, found.damages)


def _deliver(text: str, output: Path | None) -> None:
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_output(output, text)


def print_comparison(comparison: "Comparison") -> None:
    """The terminal table, coloured where there are colours."""
    from ablate.analysis import tables

    patterns = [r"(?m)^(?P<yellow>Missing: .*)$", r"(?P<yellow>\d+/\d+)"]
    signs = {comparison.units.of(metric).sign for metric in comparison.metrics}
    if len(signs) == 1:  # else up is good in one column and bad in another
        good, bad = (tables.UP, tables.DOWN) if signs == {1} else (tables.DOWN, tables.UP)
        patterns += [rf"(?P<green>[-+][\d.]+{good}\*?)", rf"(?P<red>[-+][\d.]+{bad}\*?)"]
    print_coloured(tables.terminal(comparison, terminal_width()), *patterns)


def write_output(file: Path, text: str) -> None:
    from ablate.ground.files import write_text

    if file.is_dir() or not file.name:
        raise ConfigError(f"--output {file} is a folder; name a file")

    try:
        write_text(file, text)
    except OSError as error:
        raise ConfigError(f"--output {file}: cannot be written ({error.strerror or error})") from error
    typer.echo(f"wrote {file}", err=True)
