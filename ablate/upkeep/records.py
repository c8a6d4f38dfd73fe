"""The records of studies and runs: readable, of this version, and how far they are."""

from collections.abc import Iterator

from ablate.design.runs import SCHEMA
from ablate.rundir import State
from ablate.upkeep.findings import Finding, Level, listed, move_away
from ablate.upkeep.inventory import Inventory, KnownRun, planning_commands

MAX_CAUSE = 100  # characters of a failure's cause; `ablate show` has all


def check_studies(inventory: Inventory) -> Iterator[Finding]:
    """Every study's record can be read."""
    for file, why in inventory.unreadable.items():
        yield Finding(
            Level.PROBLEM,
            "studies",
            f"{why}; its run folders are untouched, and planning the study again finds them",
            (move_away(file), inventory.command("study", file.stem)),
        )
    if inventory.studies:
        names = listed("study", (study.name for study in inventory.studies), "studies")
        yield Finding(Level.OK, "studies", names)
    elif not inventory.unreadable:
        yield Finding(Level.OK, "studies", "none is planned yet")


def check_runs(inventory: Inventory) -> Iterator[Finding]:
    """Every run's folder can be read, by this version."""
    other_schema = [run for run in inventory.runs if run.other_schema]
    damaged = [run for run in inventory.runs if run.damage is not None and not run.other_schema]
    if other_schema:
        new = inventory.store.root.with_name(f"{inventory.store.root.name}-{SCHEMA}")
        yield Finding(
            Level.PROBLEM,
            "runs",
            f"written with another schema than {SCHEMA}, which this version reads: "
            f"{listed('run', (run.folder.run_id for run in other_schema))}; plan again into a new store",
            tuple(f"ABLATE_STORE={new} {command}" for command in planning_commands(other_schema)),
        )
    for run in damaged:
        missing = not run.folder.path.exists()
        away = () if missing else (move_away(run.folder.path),)
        text = f"{run.folder.path}: does not exist" if missing else f"{run.damage}"
        yield Finding(Level.PROBLEM, "runs", text, (*away, *planning_commands([run])))
    counts = inventory.counts()
    states = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
    if states:
        yield Finding(Level.OK, "runs", states)


def check_failed(inventory: Inventory) -> Iterator[Finding]:
    """No run has failed."""
    failed = inventory.in_state(State.FAILED)
    if not failed:
        return
    causes = "; ".join(f"{run.title}: {_cause(run)}" for run in failed)
    retries = (f"{command} --retry" for command in planning_commands(failed) if "--retry" not in command)
    yield Finding(
        Level.WARNING,
        "failed",
        causes,
        (*(inventory.command("show", run.folder.run_id) for run in failed[:1]), *retries),
    )


def _cause(run: KnownRun) -> str:
    first = ((run.status.cause or "").strip().splitlines() or ["no cause is recorded"])[0]
    return first if len(first) <= MAX_CAUSE else first[: MAX_CAUSE - 1] + "…"
