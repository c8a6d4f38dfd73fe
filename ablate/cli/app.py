"""``ablate``: the commands, and what becomes of errors.

Exit codes: 0 done; 1 runs failed, or the doctor found a problem; 2 wrong usage or bad input; 130 interrupted.
"""

import errno
import os
import signal
import sys
from collections.abc import Callable
from io import TextIOWrapper
from types import FrameType
from typing import Annotated, Any

import typer

from ablate.cli.commands import Lazily
from ablate.ground.collector import begin_command, leave_the_end_to_the_system
from ablate.ground.errors import AblateError, ConfigError, brief
from ablate.ground.version import VERSION

INTERRUPTED = 130

Handler = signal.Handlers | Callable[[int, FrameType | None], Any]


class Commands(Lazily):
    """All commands, with one way to end when the user or a pipe's reader has had enough."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("ablate: interrupted", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
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
    # Plain help starts in a third of the time of rich help.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


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
    _take_for_requests(signal.SIG_DFL, signal.default_int_handler)
    try:
        app()
    except AblateError as error:
        for problem in error.problems:
            print(f"ablate: {problem}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # before the command has begun, or once more while it answers the first
        sys.exit(INTERRUPTED)
    finally:
        # All is saved: who asks again while Python ends need not wait, nor read where in Python that was.
        _take_for_requests(signal.default_int_handler, signal.SIG_DFL)


def _take_for_requests(before: Handler, now: Handler) -> None:
    """A polite end, as from a job scheduler or a terminal that is closed, is as Ctrl-C.

    A signal that has another handler than ``before`` keeps it: nohup, or a shell's &, has told us to stay.
    """
    for request in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(request) is before:
            signal.signal(request, now)


if __name__ == "__main__":
    main()
