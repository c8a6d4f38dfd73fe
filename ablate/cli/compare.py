"""``ablate compare``: the conditions of a study, their spread over seeds, and what each changed."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
from ablate.ground.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ablate.analysis.compare import Comparison
    from ablate.record.store import Store


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


OVER: dict[Over, Literal["items", "both"]] = {
    Over.ITEMS: "items",
    Over.RECORDINGS: "items",
    Over.BOTH: "both",
}


def compare(
    study: StudyArgument = None,
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
    from ablate.analysis import query, tables
    from ablate.analysis.compare import compare as compare_runs
    from ablate.analysis.folds import pooled
    from ablate.analysis.looked import remark, seeds_of_comparison
    from ablate.analysis.searches import marked
    from ablate.analysis.where import select
    from ablate.cli.damages import end_with_damages

    if layout is not None and baseline is not None:
        raise ConfigError("--layout compares with the published scores; leave out --baseline")
    if layout is not None and over is not Over.SEEDS:
        raise ConfigError("--layout speaks of other items by itself where it can; leave out --over")
    chosen_store, name = open_study(store, study, study_option)
    details = chosen_store.study_details(name)
    asked = None if metrics is None else [metric.strip() for metric in metrics.split(",") if metric.strip()]
    everything = query.load_runs(chosen_store, name)
    seeds = pooled(everything)
    records = seeds if where is None else select(seeds, where)
    width = terminal_width() if output is None else None
    if layout is not None:
        from ablate.analysis import published

        chosen = _layout(chosen_store, name, layout)
        table = published.published_table(records, name, details, chosen, asked, ci, ci_seed)
        wide = output_format is ComparisonFormat.TABLE
        text = published.terminal(table, width) if wide else published.FORMATS[output_format](table)
        _deliver(text, output)
    else:
        comparison = compare_runs(records, name, baseline or details.baseline, asked, ci, ci_seed)
        if over is not Over.SEEDS:
            from ablate.analysis.others import over_others

            comparison = over_others(comparison, records, OVER[over], ci_seed)
        comparison = marked(comparison, chosen_store)
        if where is None:  # a part of the runs is no look at the study
            shown = seeds_of_comparison(comparison)
            comparison = replace(comparison, looked=remark(chosen_store, name, records, details, shown))
        if output is None and output_format is ComparisonFormat.TABLE:
            print_comparison(comparison)
        else:
            _deliver(tables.FORMATS[output_format](comparison), output)
    end_with_damages(chosen_store, name, everything)


def _layout(store: "Store", study: str, name: str) -> "Sequence[str]":
    """The metrics of a table as it was published. Raises ConfigError for one that the subject has not."""
    from ablate.ground.wording import suggest
    from ablate.subject.registry import open_subject

    known = open_subject(store.study_card(study).spec).layouts
    if name not in known:
        what = suggest(name, known) if known else f"; the subject of study '{study}' has none"
        raise ConfigError(f"--layout '{name}': no such table{what}")
    return known[name]


def _deliver(text: str, output: Path | None) -> None:
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_output(output, text)


def print_comparison(comparison: "Comparison") -> None:
    """The terminal table, coloured where there are colours."""
    from rich.text import Text

    from ablate.analysis import tables

    text = Text(tables.terminal(comparison, terminal_width()))
    signs = {comparison.units.of(metric).sign for metric in comparison.metrics}
    if len(signs) == 1:  # else up is good in one column and bad in another
        good, bad = (tables.UP, tables.DOWN) if signs == {1} else (tables.DOWN, tables.UP)
        text.highlight_regex(rf"[-+][\d.]+{good}\*?", "green")
        text.highlight_regex(rf"[-+][\d.]+{bad}\*?", "red")
    text.highlight_regex(r"(?m)^Missing: .*$", "yellow")
    text.highlight_regex(r"\d+/\d+", "yellow")
    console().print(text, soft_wrap=True, end="")


def write_output(file: Path, text: str) -> None:
    from ablate.ground.files import write_text

    if file.is_dir() or not file.name:
        raise ConfigError(f"--output {file} is a folder; name a file")

    try:
        write_text(file, text)
    except OSError as error:
        raise ConfigError(f"--output {file}: cannot be written ({error.strerror or error})") from error
    typer.echo(f"wrote {file}", err=True)
