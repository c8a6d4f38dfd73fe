"""``ablate watch``: a study from moment to moment, wherever it trains."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate.cli.options import (
    Printout,
    PrintoutOption,
    StoreOption,
    StudyArgument,
    StudyOption,
    open_store,
    pick_study,
)

if TYPE_CHECKING:
    from rich.console import Console, Group

    from ablate.record.store import Store
    from ablate.record.watching import Look, Watching


def watch(
    study: StudyArgument = None,
    study_option: StudyOption = None,
    once: Annotated[bool, typer.Option("--once", help="Show it as it is now, and end.")] = False,
    every: Annotated[
        float, typer.Option(min=0.1, max=3600, metavar="SECONDS", help="Time from look to look.")
    ] = 1.0,
    output: PrintoutOption = Printout.TABLE,
    store: StoreOption = None,
) -> None:
    """Watch a study train, wherever that is: states, curves, time left, workers and failures.

    It ends with the study. Ctrl-C ends the watching alone. Without a terminal there is a line for each
    change, with --format json a JSON document in a line. Exit code 1 when runs failed or are damaged.
    """
    from ablate.record.watching import Watching

    opened = open_store(store)
    name = pick_study(opened, study, study_option)
    watching = Watching(opened, name, _main_curves(opened, name))
    if output is Printout.JSON:
        last = _tell_json(opened, name, watching, every, once=once)
    elif once or not _can_draw():
        last = _tell_lines(opened, name, watching, every, once=once)
    else:
        last = _draw(opened, name, watching, every)
        _print_end(opened, name, last)
    raise typer.Exit(_exit_code(last))


def _exit_code(look: "Look") -> int:
    from ablate.record.rundir import State

    return int(bool(look.counts[State.FAILED] or look.counts[State.DAMAGED]))


def _main_curves(store: "Store", study: str) -> list[str]:
    """What the built-in subject wants drawn; a user's own code is not run for that."""
    from ablate.subject.registry import built_in

    spec = store.study_card(study).spec
    return list(built_in().curves.values()) if spec.get("kind", "built-in") == "built-in" else []


def _looks(watching: "Watching", every_s: float, *, once: bool) -> "Iterator[Look]":
    """Look after look until the study is over."""
    while True:
        look = watching.look()
        yield look
        if once or look.is_over:
            return
        time.sleep(every_s)


def _retries(store: "Store", study: str, look: "Look") -> dict[str, str]:
    """The command that trains failed runs again, by what they failed of: the last that planned the study."""
    from ablate.record.commands import retrying

    kinds = dict.fromkeys(group.kind for group in look.failures)
    return {str(kind): found[-1] for kind in kinds if (found := retrying(store, study, [kind]))}


# ----------------------------------------------------------------------------------------- without a terminal


def _tell_json(store: "Store", study: str, watching: "Watching", every_s: float, *, once: bool) -> "Look":
    """A document for the first look, and one for each in which something has changed."""
    from ablate.cli.console import print_json
    from ablate.cli.watched import changed, describe
    from ablate.ground.jsontext import as_json

    before: Look | None = None
    for look in _looks(watching, every_s, once=once):
        if before is None or look.is_over or changed(look, before):
            content = describe(study, str(store.root), look, before, _retries(store, study, look))
            if once:
                print_json(content)
            else:
                print(as_json(content, in_a_line=True), flush=True)
        before = look
    assert before is not None
    return before


def _tell_lines(store: "Store", study: str, watching: "Watching", every_s: float, *, once: bool) -> "Look":
    """The picture, once; or a line for each change."""
    from ablate.cli.console import console
    from ablate.cli.watched import news

    if once:
        look, screen = watching.look(), console()
        screen.print(_picture(store, study, watching, screen, look, None))
        return look
    before: Look | None = None
    for look in _looks(watching, every_s, once=False):
        for line in news(study, look, before):
            print(line, flush=True)
        before = look
    assert before is not None
    return before


# --------------------------------------------------------------------------------------------- on a terminal


def _can_draw() -> bool:
    from ablate.cli.console import console

    return sys.stdout.isatty() and not console().is_dumb_terminal


def _picture(
    store: "Store", study: str, watching: "Watching", screen: "Console", look: "Look", height: int | None
) -> "Group":
    from rich.console import Group

    from ablate.cli.watched import Picture

    retry = _retries(store, study, look)
    is_ascii = not screen.encoding.startswith("utf")
    picture: Picture = Picture(study, watching, retry, screen.width, height, ascii_only=is_ascii)
    return Group(*picture.lines(look))


def _draw(store: "Store", study: str, watching: "Watching", every_s: float) -> "Look":
    """Draw look after look on the terminal's other screen, which leaves the first as it was."""
    from rich.live import Live

    from ablate.cli.console import console

    screen = console()
    last: Look | None = None
    with (
        Live(console=screen, screen=True, auto_refresh=False) as live,
        _paused_with_us(live.stop, live.start),
    ):
        for look in _looks(watching, every_s, once=False):
            last = look
            live.update(_picture(store, study, watching, screen, look, screen.height), refresh=True)
    assert last is not None
    return last


@contextmanager
def _paused_with_us(stop: Callable[[], Any], start: Callable[[], Any]) -> Iterator[None]:
    """Ctrl-Z gives the terminal back as it was; ``fg`` draws on."""

    def pause(*_: Any) -> None:
        stop()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)  # here we stand still until somebody wakes us
        signal.signal(signal.SIGTSTP, pause)
        start()

    former = signal.signal(signal.SIGTSTP, pause)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, former)


def _print_end(store: "Store", study: str, look: "Look") -> None:
    """What stays on the screen when the study is over."""
    from ablate.cli.console import say, say_command
    from ablate.cli.failures import print_grouped
    from ablate.record.commands import here
    from ablate.schedule.grid import tally

    say(f"{study} is over: {tally(look.counts)}")
    print_grouped(look.failures, len(look.runs), study, store)
    say_command(here(store, f"ablate compare {study}"), before="Its scores:")
