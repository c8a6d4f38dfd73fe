"""``ablate``: the commands, and what becomes of errors.

Exit codes: 0 done; 1 runs failed; 2 wrong usage or bad input; 130 interrupted.
"""

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

import ablate
from ablate.cli import data
from ablate.cli.claims import claims
from ablate.cli.compare import compare
from ablate.cli.factors import factors
from ablate.cli.grid import grid
from ablate.cli.report import report
from ablate.cli.runs import runs
from ablate.cli.status import status
from ablate.cli.study import study
from ablate.cli.sync import sync
from ablate.cli.ui import ui
from ablate.errors import AblateError

app = typer.Typer(
    name="ablate",
    no_args_is_help=True,
    add_completion=False,
    # Plain help starts in a third of the time of rich help.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
for command in (factors, grid, study, status, runs, compare, claims, report, ui, sync):
    app.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ablate {ablate.__version__}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Find out why a model works: train its ablations, track them in MLflow, compare them over seeds."""


def main() -> None:
    """Run the command line. Every problem the user can mend is one line on standard error; exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # ± and ▲ on a terminal that knows only ASCII
    try:
        app()
    except AblateError as error:
        for problem in error.problems:
            print(f"ablate: {problem}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
