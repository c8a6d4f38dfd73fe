"""Failed runs by what they have failed of: the same error in twelve runs is one thing to read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ablate.ground.failures import Failure, FailureKind
from ablate.record.rundir import RunFolder, Status

_MARKS = frozenset("^~ ")  # with which Python underlines the place in the line above


@dataclass(frozen=True)
class FailedRun:
    """The ``folder`` knows what the study calls the run, its seed and its fold."""

    folder: RunFolder
    status: Status

    @property
    def failure(self) -> Failure:
        return self.status.failed_of


@dataclass(frozen=True)
class FailureGroup:
    """Runs that have failed of the same thing, the last one first."""

    runs: tuple[FailedRun, ...]

    @property
    def last(self) -> FailedRun:
        return self.runs[0]

    @property
    def kind(self) -> FailureKind:
        return self.last.failure.kind

    @property
    def where(self) -> str | None:
        return self.last.failure.where

    @property
    def message(self) -> str:
        """The error of the last run, or what its status says."""
        return self.last.failure.error or self.last.status.cause or "no cause is recorded"

    @property
    def is_same_everywhere(self) -> bool:
        """Whether all say the same, to the letter."""
        return len({(run.failure.error, run.status.cause) for run in self.runs}) == 1


def grouped(failed: Iterable[FailedRun]) -> list[FailureGroup]:
    """The groups, that with the most runs first; of as many, that with the last failure."""
    by_key: dict[tuple[str, str, str], list[FailedRun]] = {}
    for run in failed:
        by_key.setdefault(run.failure.key(run.status.cause), []).append(run)
    groups = [FailureGroup(tuple(sorted(runs, key=_ended_at, reverse=True))) for runs in by_key.values()]
    return sorted(groups, key=lambda group: (len(group.runs), _ended_at(group.last)), reverse=True)


def _ended_at(run: FailedRun) -> float:
    return run.status.ended_at or 0.0


def members(runs: Sequence[FailedRun]) -> dict[str, str]:
    """Which runs these are, condition by condition: ``{"lr=0.1": "seeds 0-2, 5"}``."""
    by_name: dict[str, list[RunFolder]] = {}
    for run in runs:
        by_name.setdefault(run.folder.name or run.folder.run_id, []).append(run.folder)
    return {name: _replicates(theirs) for name, theirs in by_name.items()}


def _replicates(runs: Sequence[RunFolder]) -> str:
    seeds = sorted({run.seed or 0 for run in runs})
    if all(run.fold is None for run in runs):
        return _numbers("seed", seeds)
    folds = {seed: sorted(run.fold or 0 for run in runs if run.seed == seed) for seed in seeds}
    return "; ".join(f"seed {seed} {_numbers('fold', folds[seed])}" for seed in seeds)


def _numbers(noun: str, numbers: Sequence[int]) -> str:
    """``seed 3``, ``seeds 0-2, 5``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    texts = [f"{span[0]}-{span[-1]}" if len(span) > 1 else str(span[0]) for span in spans]
    return f"{noun}{'s' * (len(numbers) > 1)} {', '.join(texts)}"


def without_marks(lines: Sequence[str]) -> list[str]:
    """The lines of a log without those that only underline."""
    return [line for line in lines if set(line) - _MARKS]
