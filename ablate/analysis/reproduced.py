"""A run and the same run trained again: where the two agree, and where their curves part."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.analysis.query import RunRecord
from ablate.record.rundir import RunFolder, State
from ablate.record.seals import digests

SPREADS = 2.0  # standard deviations over seeds within which other bits are the same result


@dataclass(frozen=True)
class Score:
    """A metric of both. ``spread`` is its standard deviation over the condition's seeds; None: not known."""

    name: str
    was: float | None
    now: float | None
    spread: float | None

    @property
    def is_same(self) -> bool:
        return repr(self.was) == repr(self.now)

    @property
    def is_near(self) -> bool:
        """Whether the two are within ``SPREADS`` of the spread; never where that is not known."""
        if self.is_same:
            return True
        if self.was is None or self.now is None or self.spread is None:
            return False
        return abs(self.now - self.was) <= SPREADS * self.spread


@dataclass(frozen=True)
class Parting:
    """The first value of the curves that differs."""

    epoch: int
    curve: str
    was: Any
    now: Any


@dataclass(frozen=True)
class Reproduced:
    """What came of training a run again.

    ``exact`` says whether the same bits can be expected: on a CPU, with nothing that differs. ``n_epochs``
    of both were compared; ``parted`` is None where these are the same. ``counts`` are matrices and tables
    that differ, ``files`` those that the training has returned: name -> whether their bytes are the same.
    """

    exact: bool
    n_epochs: int
    parted: Parting | None
    scores: tuple[Score, ...] = ()
    counts: tuple[str, ...] = ()
    files: Mapping[str, bool] | None = None

    @property
    def is_same(self) -> bool:
        """Whether all that was compared is the same to the last digit."""
        same_files = self.files is None or all(self.files.values())
        return self.parted is None and not self.counts and same_files and all(s.is_same for s in self.scores)

    @property
    def agrees(self) -> bool:
        """The same to the last digit; or, where that cannot be expected, scores within the spread."""
        if self.is_same or self.exact:
            return self.is_same
        overall = [score for score in self.scores if "/" not in score.name]
        return bool(overall) and all(score.is_near for score in overall)


def compare_runs(
    was: RunFolder, now: RunFolder, seeds: Sequence[RunRecord], *, exact: bool, epochs: int | None
) -> Reproduced:
    """Compare two folders of one run; with ``epochs`` only that many first rows of their curves.

    ``seeds`` are the finished runs of the run's condition. Raises StoreError for a damaged folder.
    """
    ours, theirs = was.history()[:epochs], now.history()[:epochs]
    parted = _parting(ours, theirs)
    n_epochs = min(len(ours), len(theirs))
    if epochs is not None:
        return Reproduced(exact, n_epochs, parted)
    first, second = was.result() or {}, now.result() or {}
    metrics = dict.fromkeys([*first["metrics"], *second["metrics"]])
    scores = tuple(
        Score(name, first["metrics"].get(name), second["metrics"].get(name), _spread(seeds, name))
        for name in metrics
    )
    counts = tuple(
        name
        for part in ("matrices", "tables")
        for name in dict.fromkeys([*first[part], *second[part]])
        if first[part].get(name) != second[part].get(name)
    )
    before, after = digests(was.path), digests(now.path)
    names = dict.fromkeys([*first["files"], *second["files"]])
    files = {name: before.get(name) == after.get(name) for name in names}
    return Reproduced(exact, n_epochs, parted, scores, counts, files)


def seeds_of(records: Sequence[RunRecord], run_id: str) -> list[RunRecord]:
    """The finished runs of a run's condition, itself among them."""
    condition = next(record.condition_id for record in records if record.run_id == run_id)
    return [
        record for record in records if record.condition_id == condition and record.state is State.FINISHED
    ]


def _parting(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> Parting | None:
    for was, now in zip(ours, theirs, strict=False):
        for name in dict.fromkeys([*was, *now]):
            if name != "seconds" and repr(was.get(name)) != repr(now.get(name)):
                return Parting(int(was["epoch"]), name, was.get(name), now.get(name))
    if len(ours) != len(theirs):
        longer = max(ours, theirs, key=len)
        epoch = int(longer[min(len(ours), len(theirs))]["epoch"])
        return Parting(epoch, "epochs", len(ours), len(theirs))
    return None


def _spread(seeds: Sequence[RunRecord], metric: str) -> float | None:
    values = [seed.metrics.get(metric) for seed in seeds]
    known = [value for value in values if value is not None]
    return statistics.stdev(known) if len(known) > 1 else None
