"""Planning is a reconciliation: the runs a study wants, less those that the store has finished."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ablate.design.runs import Run
from ablate.rundir import State, Status


@dataclass(frozen=True)
class PlannedRun:
    """A run that the study wants, and what the store knows of it."""

    run: Run
    status: Status


@dataclass(frozen=True)
class Plan:
    """What a study wants and what of that is left to do."""

    runs: list[PlannedRun]

    def counts(self) -> Counter[State]:
        return Counter(planned.status.state for planned in self.runs)

    def summary(self) -> str:
        """The number of runs in each state, such as ``28 pending, 2 finished``."""
        counts = self.counts()
        return ", ".join(f"{counts[state]} {state}" for state in State if counts[state]) or "no runs"

    def to_train(self, *, retry: bool) -> list[Run]:
        """What must be trained, in the order of planning: new and interrupted runs, failed ones on request.

        A run that another process is training right now is included: that process may yet die.
        """
        wanted = {State.PENDING, State.INTERRUPTED, State.RUNNING} | ({State.FAILED} if retry else set())
        return [planned.run for planned in self.runs if planned.status.state in wanted]


def reconcile(runs: Iterable[Run], status: Callable[[str], Status]) -> Plan:
    """The plan for ``runs``, where ``status`` tells the state of a run id."""
    return Plan([PlannedRun(run, status(run.run_id)) for run in runs])
