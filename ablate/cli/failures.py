"""Which runs failed, why, where to read more, and what to type."""

from collections.abc import Sequence

from ablate.api.plans import Shown
from ablate.cli.console import say, say_command
from ablate.design.runs import replicate
from ablate.ground.wording import count
from ablate.record.rundir import State
from ablate.record.store import Store

SHOWN_RUNS = 4
TAIL = 4  # lines of the log: the last frame of a traceback and what was raised


def print_failures(runs: Sequence[Shown], study: str, store: Store) -> None:
    """The failed runs by their cause, each with the end of one log."""
    by_cause: dict[str, list[Shown]] = {}
    for run in runs:
        if run.state is State.FAILED:
            by_cause.setdefault(run.cause or "no cause is recorded", []).append(run)
    if not by_cause:
        return
    print()
    say(f"{count(sum(map(len, by_cause.values())), 'run')} failed:")
    for cause, failed in by_cause.items():
        _print_cause(cause, failed, store)
    columns = "name,seed,log" if all(run.fold is None for run in runs) else "name,seed,fold,log"
    say_command(f"ablate runs {study} --where 'state = failed' --columns {columns}", before="All logs:")
    say("Failed runs are trained again only with --retry.")


def _print_cause(cause: str, failed: Sequence[Shown], store: Store) -> None:
    names = [f"{run.name} {replicate(run.seed, run.fold)}" for run in failed]
    more = f" and {len(names) - SHOWN_RUNS} more" if len(names) > SHOWN_RUNS else ""
    folder = store.folder(failed[0].run_id)
    say(f"  {', '.join(names[:SHOWN_RUNS])}{more}: {cause}")
    say(f"    log: {folder.log_file}", hang=4)
    marks = set("^~ ")  # with which Python underlines the place in the line above
    for line in [line for line in folder.log_tail(2 * TAIL) if set(line) - marks][-TAIL:]:
        say(f"    | {line}", hang=8)
