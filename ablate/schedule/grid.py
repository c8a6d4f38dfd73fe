"""Planning is a reconciliation: the runs a study wants, less those that the store has finished."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ablate.design.runs import Run
from ablate.ground.failures import FailureKind
from ablate.record.rundir import State, Status


@dataclass(frozen=True)
class PlannedRun:
    """A run that the study wants, and what the store knows of it."""

    run: Run
    status: Status

    @property
    def run_id(self) -> str:
        return self.run.run_id

    @property
    def condition_id(self) -> str:
        return self.run.condition_id

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def condition(self) -> Mapping[str, Any]:
        return self.run.condition

    @property
    def seed(self) -> int:
        return self.run.seed

    @property
    def fold(self) -> int | None:
        return self.run.fold

    @property
    def state(self) -> State:
        return self.status.state

    @property
    def cause(self) -> str | None:
        return self.status.cause


@dataclass(frozen=True)
class Plan:
    """What a study wants and what of that is left to do."""

    runs: list[PlannedRun]

    def counts(self) -> Counter[State]:
        return Counter(planned.state for planned in self.runs)

    def to_train(self, *, retry: Collection[FailureKind] = ()) -> list[Run]:
        """What must be trained, in the order of planning: new, interrupted and pruned runs, and those failed
        ones that have failed of what is in ``retry``.

        A run that another process is training right now is included: that process may yet die. A damaged one
        is not: what is left of it is not ours to throw away.
        """
        return [planned.run for planned in self.runs if _is_to_be_trained(planned.status, retry)]


def _is_to_be_trained(status: Status, retry: Collection[FailureKind]) -> bool:
    if status.state is State.FAILED:
        return bool(retry) and status.failed_of.kind in retry
    return status.state in (State.PENDING, State.INTERRUPTED, State.PRUNED, State.RUNNING)


def tally(counts: Mapping[State, int]) -> str:
    """The number of runs in each state, such as ``28 pending, 2 finished``."""
    return ", ".join(f"{counts[state]} {state}" for state in State if counts.get(state)) or "no runs"


def reconcile(runs: Iterable[Run], status: Callable[[str], Status]) -> Plan:
    """The plan for ``runs``, where ``status`` tells the state of a run id."""
    return Plan([PlannedRun(run, status(run.run_id)) for run in runs])
