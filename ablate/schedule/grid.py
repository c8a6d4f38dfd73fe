"""Planning is a reconciliation: the runs a study wants, less those that the store has finished."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from ablate.design.runs import Run
from ablate.errors import StoreError
from ablate.rundir import RunFolder, State, Status


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


def estimate_seconds(todo: Sequence[Run], finished: Iterable[RunFolder], slots: int) -> float | None:
    """Wall time to train ``todo``, by the epochs per second of finished runs of the same size and data.

    None when nothing comparable has finished yet.
    """
    if not todo:
        return 0.0
    measured: dict[tuple[Hashable, ...], list[float]] = {}
    for folder in finished:
        try:
            result, run = folder.result(), folder.run()
        except StoreError:  # damaged, or of another version; it tells nothing
            continue
        if result is not None:
            seconds = result["duration_s"] / run.config.optim.epochs
            measured.setdefault(cost_key(run), []).append(seconds)
    if not all(cost_key(run) in measured for run in todo):
        return None
    epoch_s = {key: median(seconds) for key, seconds in measured.items()}
    run_s = [epoch_s[cost_key(run)] * run.config.optim.epochs for run in todo]
    return max(sum(run_s) / slots, *run_s)


def cost_key(run: Run) -> tuple[Hashable, ...]:
    """Equal for runs whose training steps cost the same, on the same data."""
    config = run.config
    return (
        run.dataset.digest,
        config.tasks,
        config.model.width,
        config.optim.batch_size,
        config.kernels,
        config.precision,
    )
