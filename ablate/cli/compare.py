"""``ablate compare``: the conditions of a study, their spread over seeds, and what each changed."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.options import StoreOption, StudyArgument, StudyOption, open_store, pick_study

if TYPE_CHECKING:
    from ablate.analysis.compare import Comparison


class ComparisonFormat(StrEnum):
    TABLE = "table"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"
    JSON = "json"


def compare(
    study: StudyArgument = None,
    study_option: StudyOption = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The condition to compare with.  [default: the one named baseline]"
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Which metrics.  [default: micro and macro F of scenes and events]"),
    ] = None,
    output_format: Annotated[
        ComparisonFormat, typer.Option("--format", help="How to print.")
    ] = ComparisonFormat.TABLE,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to a file instead of the terminal.")
    ] = None,
    store: StoreOption = None,
) -> None:
    """Compare a study's conditions over their seeds.

    For each metric: mean, SD and 95 % CI over seeds, and the difference from the baseline paired by seed.

    Means are over the seeds that have finished; planned seeds that have not are named below the table.
    """
    from ablate.analysis import query, tables
    from ablate.analysis.compare import compare as compare_runs

    chosen_store = open_store(store)
    name = pick_study(chosen_store, study, study_option)
    asked = None if metrics is None else [metric.strip() for metric in metrics.split(",") if metric.strip()]
    comparison = compare_runs(query.load_runs(chosen_store, name), name, baseline, asked)
    if output is not None:
        _write(output, tables.FORMATS[output_format](comparison))
    elif output_format is ComparisonFormat.TABLE:
        print_comparison(comparison)
    else:
        typer.echo(tables.FORMATS[output_format](comparison), nl=False)


def print_comparison(comparison: "Comparison") -> None:
    """The terminal table, coloured where there are colours."""
    from rich.text import Text

    from ablate.analysis import tables
    from ablate.cli.console import console
    from ablate.cli.options import terminal_width

    text = Text(tables.terminal(comparison, terminal_width()))
    text.highlight_regex(rf"[-+][\d.]+{tables.UP}\*?", "green")
    text.highlight_regex(rf"[-+][\d.]+{tables.DOWN}\*?", "red")
    text.highlight_regex(r"(?m)^Missing: .*$", "yellow")
    text.highlight_regex(r"\d+/\d+", "yellow")
    console().print(text, soft_wrap=True, end="")


def _write(file: Path, text: str) -> None:
    from ablate.errors import ConfigError
    from ablate.files import write_text

    try:
        write_text(file, text)
    except OSError as error:
        raise ConfigError(f"--output {file}: cannot be written ({error.strerror or error})") from error
    typer.echo(f"wrote {file}", err=True)
