"""``ablate``: the commands, and what becomes of errors.

Exit codes: 0 done; 1 runs failed, or the doctor found a problem; 2 wrong usage or bad input; 130 interrupted.
"""

import errno
import os
import signal
import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer
import typer.core

from ablate.cli.bundle import bundle
from ablate.cli.cancel import cancel
from ablate.cli.claims import claims
from ablate.cli.compare import compare
from ablate.cli.decide import decide
from ablate.cli.diff import diff
from ablate.cli.doctor import doctor
from ablate.cli.effects import effects
from ablate.cli.factors import factors
from ablate.cli.gc import gc
from ablate.cli.grid import grid
from ablate.cli.import_ import import_
from ablate.cli.noise import noise
from ablate.cli.report import report
from ablate.cli.reproduce import reproduce
from ablate.cli.runs import runs
from ablate.cli.search import search
from ablate.cli.show import show
from ablate.cli.status import status
from ablate.cli.study import study
from ablate.cli.subject import subject
from ablate.cli.sync import sync
from ablate.cli.ui import ui
from ablate.ground.collector import begin_command, leave_the_end_to_the_system
from ablate.ground.errors import AblateError, ConfigError, brief
from ablate.ground.version import VERSION
from ablate.subject.registry import built_in_commands


class Commands(typer.core.TyperGroup):
    """All commands, with one way to end when the user or a pipe's reader has had enough."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("ablate: interrupted", file=sys.stderr)
            raise typer.Exit(130) from None
        except BrokenPipeError:  # a reader such as `head`; what is still buffered goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise ConfigError(
                f"{brief(str(error.filename))}: longer than the name of a file can be"
            ) from error


app = typer.Typer(
    name="ablate",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    # Plain help starts in a third of the time of rich help.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (
    factors,
    grid,
    search,
    study,
    decide,
    noise,
    subject,
    status,
    cancel,
    runs,
    show,
    reproduce,
    diff,
    compare,
    claims,
    effects,
    report,
    bundle,
    ui,
    sync,
    doctor,
    gc,
):
    app.command()(command)
app.command("import")(import_)
for name, own in built_in_commands().items():
    if isinstance(own, typer.Typer):
        app.add_typer(own, name=name)
    else:
        app.command(name)(own)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ablate {VERSION}")
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
    begin_command()
    leave_the_end_to_the_system()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # ± and ▲ on a terminal that knows only ASCII
    # A polite end, as from a job scheduler or a terminal that is closed, is Ctrl-C.
    for request in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(request) is signal.SIG_DFL:  # nohup has told us to stay
            signal.signal(request, signal.default_int_handler)
    try:
        app()
    except AblateError as error:
        for problem in error.problems:
            print(f"ablate: {problem}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
