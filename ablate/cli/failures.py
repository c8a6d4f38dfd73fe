"""Which runs failed, why, where to read more, and what to type."""

from ablate.cli.console import say, say_command
from ablate.cli.words import count
from ablate.rundir import State
from ablate.schedule.grid import Plan, PlannedRun
from ablate.store import Store

SHOWN_RUNS = 4
TAIL = 4  # lines of the log: the last frame of a traceback and what was raised


def print_failures(plan: Plan, study: str, store: Store) -> None:
    """The failed runs by their cause, each with the end of one log."""
    by_cause: dict[str, list[PlannedRun]] = {}
    for planned in plan.runs:
        if planned.status.state is State.FAILED:
            by_cause.setdefault(planned.status.cause or "no cause is recorded", []).append(planned)
    if not by_cause:
        return
    print()
    say(f"{count(sum(map(len, by_cause.values())), 'run')} failed:")
    for cause, failed in by_cause.items():
        _print_cause(cause, failed, store)
    say_command(f"ablate runs {study} --where 'state = failed' --columns name,seed,log", before="All logs:")
    say("Failed runs are trained again only with --retry.")


def _print_cause(cause: str, failed: list[PlannedRun], store: Store) -> None:
    names = [f"{planned.run.name} seed={planned.run.seed}" for planned in failed]
    more = f" and {len(names) - SHOWN_RUNS} more" if len(names) > SHOWN_RUNS else ""
    folder = store.folder(failed[0].run.run_id)
    say(f"  {', '.join(names[:SHOWN_RUNS])}{more}: {cause}")
    say(f"    log: {folder.log_file}", hang=4)
    marks = set("^~ ")  # with which Python underlines the place in the line above
    for line in [line for line in folder.log_tail(2 * TAIL) if set(line) - marks][-TAIL:]:
        say(f"    | {line}", hang=8)
