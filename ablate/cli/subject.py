"""``ablate subject``: a Python module of yours as what is trained; one to start from, and a check of it."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate.cli.console import print_json, print_table, say, say_command
from ablate.cli.options import Printout, PrintoutOption
from ablate.ground import documents
from ablate.ground.errors import ConfigError, brief

if TYPE_CHECKING:
    from ablate.subject.interface import Dataset, Subject
    from ablate.subject.scores import Scores
    from ablate.subject.settings import Config
    from ablate.subject.trial import Attempt

    Try = Callable[[str, Callable[[Attempt], bool]], Attempt]

MOST_LINES = 20  # of what a training that fails has printed


def subject(
    init: Annotated[
        Path | None, typer.Option("--init", metavar="FILE.py", help="Write a module to start from.")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check", metavar="FILE.py", help="Show what a module of yours says, and train one run of it."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of the run; repeatable."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Data to train on.  [default: the subject's own]"),
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="cpu|cuda:0", help="Where to train.")] = "cpu",
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Write a subject of your own to start from, or try out the one that you have.

    A run is trained in a folder that is removed again, then once more with an interruption half-way. Exit
    code 1 when the run fails, or when the interruption changes its numbers.
    """
    if (init is None) == (check is None):
        raise ConfigError(
            "say --init FILE.py for a module to start from, or --check FILE.py for one you have"
        )
    if init is not None:
        _write_starter(init)
        if output is Printout.JSON:
            print_json(documents.Written(schema="ablate.written/1", file=str(init)))
        else:
            say_command(f"ablate subject --check {init}", before=f"Wrote {init}. Next:")
    elif check is not None:
        # What is told of a check is no document, so that goes to the other stream where one is asked for.
        with redirect_stdout(sys.stderr) if output is Printout.JSON else nullcontext():
            subject, is_fine = _check(check, settings or [], data, device)
        if output is Printout.JSON:
            print_json(_content(subject, check, is_fine=is_fine))
        if not is_fine:
            raise typer.Exit(1)


def _content(subject: "Subject", file: Path, *, is_fine: bool) -> documents.Subject:
    return documents.Subject(
        schema="ablate.subject/1",
        file=str(file),
        name=subject.name,
        version=subject.version,
        ok=is_fine,
        settings=subject.default.flat(),
        factors=[factor.name for factor in subject.factors],
        metrics={metric.name: "max" if metric.sign > 0 else "min" for metric in subject.metrics},
        profiles={name: dict(changes) for name, changes in subject.profiles.items()},
    )


def _write_starter(path: Path) -> None:
    from ablate.subject.starter import starter

    if path.suffix != ".py":
        raise ConfigError(f"--init {brief(str(path))}: a Python module's name ends with .py")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(starter(path))
    except FileExistsError:
        raise ConfigError(f"{brief(str(path))}: is there already; choose another name") from None
    except OSError as error:
        raise ConfigError(f"{brief(str(path))}: cannot be written ({error.strerror})") from error


def _check(path: Path, items: Sequence[str], folder: Path | None, device: str) -> "tuple[Subject, bool]":
    """The subject of a module, and whether a run of it succeeds and can be interrupted."""
    from ablate.design.study import parse_settings
    from ablate.subject.module import open_module

    subject = open_module(path)
    changed = subject.known_factors.fields_of(parse_settings(items))
    config = subject.profile().override(changed)
    _show_subject(subject, path)
    with TemporaryDirectory(prefix="ablate-check-") as scratch:
        dataset = subject.data.provide(folder, Path(scratch, "data"), _tell, ())
        is_fine = _train_twice(subject, config, dataset, device, Path(scratch))
    print()
    if is_fine:
        say_command(f"ablate grid --subject {path}{_example(subject)}", before="Next:")
    return subject, is_fine


def _example(subject: "Subject") -> str:
    """Options that vary the first two factors."""
    from ablate.design.conditions import show
    from ablate.subject.settings import SEED

    table = subject.known_factors
    with_levels = [name for name, factor in table.items() if factor.field != SEED and len(factor.levels) > 1]
    if with_levels:
        return f" --factors {','.join(with_levels[:2])}"
    options = []
    for name, factor in table.items():
        value = factor.level(subject.default)
        other = not value if isinstance(value, bool) else value / 2 if isinstance(value, float) else None
        if other is not None and other != value:
            options.append(f" --levels {name}={show(value)},{show(other)}")
    return "".join(options[:2])


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------------------ what it says


def _show_subject(subject: "Subject", path: Path) -> None:
    from ablate.design.conditions import show

    say(f"Subject '{subject.name}' of {path}, version {subject.version}.")
    print()
    default, profile = subject.default.flat(), subject.profile().flat()
    _table(
        "setting",
        list(default),
        {
            "default": [show(value) for value in default.values()],
            "what it is": [subject.default.help[name] for name in default],
        },
    )
    if subject.factors:
        _table(
            "factor",
            [factor.name for factor in subject.factors],
            {
                "sets": [factor.field for factor in subject.factors],
                "default levels": [", ".join(map(show, factor.levels)) for factor in subject.factors],
                "inert when": [factor.inert_when or "never" for factor in subject.factors],
            },
        )
    if subject.metrics:
        _table(
            "metric",
            [metric.name for metric in subject.metrics],
            {
                "better": ["higher" if metric.sign > 0 else "lower" for metric in subject.metrics],
                "unit": [metric.unit for metric in subject.metrics],
            },
        )
    else:
        say("No metrics are declared: of every number that it returns, more is taken to be better.")
        print()
    if subject.profiles:
        _table(
            "profile",
            list(subject.profiles),
            {"changes": [_pairs(changes) for changes in subject.profiles.values()]},
        )
        if profile != default:
            say(f"Profile {next(iter(subject.profiles))} is used where none is named.")
            print()


def _pairs(values: Mapping[str, Any]) -> str:
    from ablate.design.conditions import show

    return ", ".join(f"{name}={show(value)}" for name, value in values.items())


def _table(title: str, labels: Sequence[str], columns: Mapping[str, Sequence[str]]) -> None:
    from ablate.analysis.layout import Column

    # A column that says nothing is left out.
    shown = {name: tuple(cells) for name, cells in columns.items() if any(cells)}
    print_table(
        Column((title,), tuple(labels), text=True),
        [[Column((name,), cells, text=True)] for name, cells in shown.items()],
    )
    print()


# ------------------------------------------------------------------------------------------- what it does


def _train_twice(
    subject: "Subject", config: "Config", dataset: "Dataset", device: str, scratch: Path
) -> bool:
    """Whether a run succeeds, and gives the same numbers when it is interrupted."""
    from ablate.subject.interface import Interrupted
    from ablate.subject.trial import attempt

    def try_it(folder: str, should_stop: "Callable[[Attempt], bool]") -> "Attempt":
        return attempt(subject, config, dataset, device, scratch / folder, should_stop)

    say(f"Training one run with {_pairs(config.flat())} on {device} ...")
    sys.stdout.flush()
    whole = try_it("whole", lambda _: False)
    if isinstance(whole.outcome, Exception):
        return _failed(whole)
    _show_outcome(whole, whole.outcome)
    half = len(whole.rows) // 2
    if half == 0:
        say("It reports no two epochs, so there is nothing to go on from: an interrupted run starts over.")
        return True
    first = try_it("interrupted", lambda tried: len(tried.rows) >= half)
    if not isinstance(first.outcome, Interrupted):
        if isinstance(first.outcome, Exception):
            return _failed(first)
        say(
            "It does not stop when it is asked to: loop over run.epochs(n, save=...), or look at "
            "run.should_stop()."
        )
        return True
    second = try_it("interrupted", lambda tried: not tried.resumed)
    if not second.resumed:
        say("It saves nothing, so an interrupted run starts over; run.epochs(n, save=...) saves.")
        return True
    if isinstance(second.outcome, Exception):
        return _failed(second)
    n_epochs = f"{len(second.resumed)} of {len(whole.rows)} epochs"
    if _numbers(second, second.outcome) == _numbers(whole, whole.outcome):
        say(f"Interrupted after {n_epochs} and resumed, it gives the same numbers to the bit.")
        return True
    say(
        f"Interrupted after {n_epochs} and resumed, it gives other numbers: {_difference(whole, second)}. "
        "Give all that changes while it trains to run.epochs(n, save=...), and draw random numbers from "
        "run.generator(...)."
    )
    return False


def _failed(tried: "Attempt") -> bool:
    """Shows why, and what was printed last."""
    from ablate.ground.errors import AblateError, legible

    lines = tried.log_tail(MOST_LINES)
    if lines:
        print(f"\nThe last lines of its log:\n{legible(chr(10).join(lines))}\n")
    error = tried.outcome
    kind = "" if isinstance(error, AblateError) else f"{type(error).__name__}: "
    say(f"The run failed: {kind}{error}")
    return False


def _show_outcome(tried: "Attempt", scores: "Scores") -> None:
    from ablate.design.conditions import show

    print()
    values = ["undefined" if value is None else f"{value:.6g}" for value in scores.metrics.values()]
    _table("metric", list(scores.metrics), {"value": values})
    others = [f"{name} ({len(matrix.labels)} labels)" for name, matrix in scores.matrices.items()]
    others += [f"{name} ({len(table.rows)} rows)" for name, table in scores.tables.items()]
    others += [*scores.files, *(f"{name}={show(value)}" for name, value in scores.facts.items())]
    if others:
        say(f"Beside: {', '.join(others)}.")
    curves = list(dict.fromkeys(name for row in tried.curves for name in row if name != "epoch"))
    n_epochs = len(tried.rows)
    if n_epochs:
        say(f"{n_epochs} epoch{'s' * (n_epochs > 1)}, with curves of {', '.join(curves) or 'nothing'}.")
    say(f"It took {tried.seconds:.2f} s.")
    if scores.unread:
        say(
            f"Never read: {', '.join(scores.unread)}. Whoever varies what is never read compares equal "
            "trainings."
        )


def _numbers(tried: "Attempt", scores: "Scores") -> str:
    """All that it gave, as text that is equal only where all is, and where no number is."""
    matrices = {name: matrix.to_json() for name, matrix in scores.matrices.items()}
    tables = {name: table.to_json() for name, table in scores.tables.items()}
    return repr((scores.metrics, matrices, tables, tried.curves))


def _difference(whole: "Attempt", resumed: "Attempt") -> str:
    """The first number that differs."""
    from ablate.subject.scores import Scores

    for one, other in zip(whole.curves, resumed.curves, strict=False):
        for name, value in one.items():
            if repr(value) != repr(other.get(name)):
                return f"{name} of epoch {one['epoch']} is {other.get(name)}, not {value}"
    if isinstance(whole.outcome, Scores) and isinstance(resumed.outcome, Scores):
        for name, value in whole.outcome.metrics.items():
            if repr(value) != repr(resumed.outcome.metrics.get(name)):
                return f"{name} is {resumed.outcome.metrics.get(name)}, not {value}"
    return "they are in its matrices or tables"
