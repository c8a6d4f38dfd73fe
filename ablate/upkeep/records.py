"""The records of studies and runs: readable, of this version, and how far they are."""

from collections.abc import Iterator
from dataclasses import replace

from ablate.design.runs import SCHEMA
from ablate.ground.errors import StoreError
from ablate.record.decision import decision_file, read_decision
from ablate.record.rundir import State
from ablate.upkeep.findings import Finding, Level, listed, move_away, shell, some
from ablate.upkeep.inventory import Inventory, KnownRun, planning_commands

MAX_CAUSE = 100  # characters of a failure's cause; `ablate show` has all


def check_studies(inventory: Inventory) -> Iterator[Finding]:
    """Every study's record can be read, and the plan by which its claims are decided."""
    for file, why in inventory.unreadable.items():
        yield Finding(
            Level.PROBLEM,
            "studies",
            f"{why}; its runs are kept, and found again",
            (move_away(file), *inventory.commands_in(file)),
        )
    for study in inventory.studies:
        try:
            read_decision(inventory.store, study.name)
        except StoreError as error:
            away = move_away(decision_file(inventory.store, study.name))
            yield Finding(Level.PROBLEM, "studies", str(error), (away,))
    if inventory.studies:
        names = listed("study", (study.name for study in inventory.studies), "studies")
        yield Finding(Level.OK, "studies", names)
    elif not inventory.unreadable:
        yield Finding(Level.OK, "studies", "none is planned yet")


def check_runs(inventory: Inventory) -> Iterator[Finding]:
    """Every run's folder can be read, by this version, and finished ones are what they were, byte by byte."""
    other_schema = [run for run in inventory.runs if run.other_schema]
    damaged = [run for run in inventory.runs if run.damage is not None and not run.other_schema]
    for run in inventory.in_state(State.FINISHED):
        damage = run.folder.damage(files=True)
        if damage is not None:
            damaged.append(replace(run, damage=f"{run.folder.path}: {damage}"))
    missing = [run for run in damaged if not run.folder.path.exists()]
    if other_schema:
        root = inventory.store.root
        away = shell(["mv", root, root.with_name(f"{root.name}.old")])
        yield Finding(
            Level.PROBLEM,
            "runs",
            f"written with another schema than {SCHEMA}, which this version reads: "
            f"{listed('run', (run.folder.run_id for run in other_schema))}; plan them anew in a new store",
            (away, *planning_commands(other_schema)),
        )
    if missing:
        names = listed("run folder", (run.folder.path for run in missing))
        yield Finding(Level.PROBLEM, "runs", f"gone: {names}", planning_commands(missing))
    for run in damaged:
        if run not in missing:
            commands = (move_away(run.folder.path), *planning_commands([run]))
            yield Finding(Level.PROBLEM, "runs", f"{run.damage}", commands)
    counts = inventory.counts()
    states = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
    if states:
        yield Finding(Level.OK, "runs", states)


def check_failed(inventory: Inventory) -> Iterator[Finding]:
    """No run has failed."""
    failed = inventory.in_state(State.FAILED)
    if not failed:
        return
    causes = some([f"{run.title}: {_cause(run)}" for run in failed])
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
