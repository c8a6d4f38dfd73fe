"""The runs of a study as values: what was asked for, how far each is, and what came out.

Only run folders are read, never MLflow, so the answer is the same without a tracking server.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.analysis.cells import Derived, derived, derived_names
from ablate.design.runs import replicate_in_words
from ablate.ground.collector import resting
from ablate.ground.errors import ConfigError, StoreError, brief
from ablate.ground.wording import nearest
from ablate.record.index import Index
from ablate.record.reading import matrices, tables
from ablate.record.rundir import OtherSchema, RunFolder, State
from ablate.record.scores import distinct_names
from ablate.record.store import Store
from ablate.subject.interface import Card
from ablate.subject.items import Items, ItemsError, union
from ablate.subject.metrics import Metrics

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RunRecord:
    """One run of a study. ``metrics`` (name -> fraction, or None where undefined) is empty until it finished.

    ``condition`` maps factors to levels; ``config`` maps every setting's dotted name to its value.
    ``has_log`` says whether a worker has written one. ``values`` has all of these under one name each.

    ``matrices`` (name -> ``rows``, ``columns``, ``counts``) and ``tables`` (name -> ``columns``, ``rows``)
    are what the run has of them; ``cells.score`` makes scores of matrices. ``facts`` are what else is known
    of it, ``unread`` the settings that its training never read, ``added`` those of its metrics that were
    asked for when it had finished. All are empty until it has finished.

    Of a run that holds a fold out, ``fold`` says which of ``n_folds``. A record of all folds of a seed, as
    ``folds.pooled`` makes it, has theirs in ``folds``; ``averaged`` are those of its metrics that are means
    over them, as no counts of items tell more.

    ``subject`` is what the study's record says of what was trained, ``device`` and ``versions`` what it was
    trained with, ``ended_at`` when that ended, in seconds since the epoch.

    A damaged run has no metrics: none of its numbers can be trusted. ``cause`` says what is wrong with it.
    """

    run_id: str
    condition_id: str
    name: str
    condition: Mapping[str, Any]
    seed: int
    state: State
    cause: str | None
    dataset_name: str
    dataset_digest: str
    config: Mapping[str, Any]
    metrics: Mapping[str, float | None]
    duration_s: float | None
    has_log: bool
    mlflow_run_id: str | None
    subject: Card = field(default=Card("unknown"), repr=False)
    matrices: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    unread: tuple[str, ...] = field(default=(), repr=False)
    added: tuple[str, ...] = field(default=(), repr=False)
    fold: int | None = None
    n_folds: int = 0
    folds: "tuple[RunRecord, ...]" = field(default=(), repr=False)
    averaged: tuple[str, ...] = field(default=(), repr=False)
    device: str | None = field(default=None, repr=False)
    versions: Mapping[str, str] = field(default_factory=dict, repr=False)
    ended_at: float | None = field(default=None, repr=False)
    folder: RunFolder | None = field(default=None, repr=False, compare=False)

    @property
    def log(self) -> Path | None:
        """What its worker has said; None until there is something."""
        return self.folder.log_file if self.folder is not None and self.has_log else None

    @property
    def values(self) -> Mapping[str, Any]:
        """All that is known of the run under one name each; what is its own wins over a user's factor."""
        return _Values(self)

    @property
    def replicate(self) -> str:
        """``seed 3``, or ``seed 3, fold 2``."""
        return replicate_in_words(self.seed, self.fold)

    @property
    def runs(self) -> "tuple[RunRecord, ...]":
        """The runs that it tells of: its folds, or itself."""
        return self.folds or (self,)

    @cached_property
    def items(self) -> Items | None:
        """What the scores are made of, item by item; None where that was not kept. Of folds, those of all.

        Raises StoreError for a damaged file.
        """
        if not self.folds:
            return self.folder.items() if self.folder and self.state is State.FINISHED else None
        parts = [record.items for record in self.folds]
        known = [items for items in parts if items is not None]
        try:
            return union(known) if len(known) == len(parts) else None
        except ItemsError:  # such as items that two folds were scored on: then nothing can be added up
            return None


# What is a run's own, and how it is told.
_OWN: dict[str, Callable[[RunRecord], Any]] = {
    "run_id": lambda record: record.run_id,
    "name": lambda record: record.name,
    "seed": lambda record: record.seed,
    "state": lambda record: str(record.state),
    "cause": lambda record: record.cause,
    "dataset": lambda record: record.dataset_name,
    "dataset_digest": lambda record: record.dataset_digest,
    "duration_s": lambda record: record.duration_s,
    "log": lambda record: None if record.log is None else str(record.log),
    "mlflow_run_id": lambda record: record.mlflow_run_id,
}
_OWN_OF_FOLD = {**_OWN, "fold": lambda record: record.fold}


class _Values(Mapping[str, Any]):
    """What is known of a run by name. Derived scores have a value too, and are not listed."""

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self._own = _OWN if record.fold is None else _OWN_OF_FOLD

    def get(self, name: str, default: Any = None) -> Any:
        own = self._own.get(name)  # first, as tables of many runs ask for little else
        return super().get(name, default) if own is None else own(self._record)

    def __getitem__(self, name: str) -> Any:
        if name in self._own:
            return self._own[name](self._record)
        for part in (self._record.metrics, self._record.condition, self._record.config):
            if name in part:
                return part[name]
        value = derived(self._record, name)
        if value is None:
            raise KeyError(name)
        return value

    def _names(self) -> dict[str, None]:
        record = self._record
        return dict.fromkeys(chain(record.config, record.condition, record.metrics, self._own))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())


def load_runs(store: Store, study: str) -> list[RunRecord]:
    """Every run of a study, in the order of planning.

    A run whose folder is gone, or does not say any more what was asked for, is a damaged one that is taken
    for a seed of the condition that the study calls by its name; where no other seed tells what that is, the
    run is left out. ``damages`` names all.

    Raises StudyError when there is no such study, StoreError when its record is damaged, OtherSchema for runs
    of another version.
    """
    card = store.study_card(study)
    with resting():
        index = Index.of(store, study)
        looks = [(folder, _look(folder, index, study, card, store)) for folder in store.study_runs(study)]
        index.write()
    readable = [seen for _, seen in looks if isinstance(seen, RunRecord)]
    found = (
        seen if isinstance(seen, RunRecord) else _stand_in(folder, seen, readable) for folder, seen in looks
    )
    return [record for record in found if record is not None]


def _look(folder: RunFolder, index: Index, study: str, card: Card, store: Store) -> RunRecord | str:
    """A run's record, or why it cannot be read."""
    try:
        return _record(folder, index, study, card)
    except OtherSchema:
        raise
    except StoreError as error:
        if not folder.path.exists():
            return "its folder is gone"
        return brief(store.told(str(error) if error.__cause__ is None else f"config.json: {error.__cause__}"))


def _stand_in(folder: RunFolder, why: str, readable: Sequence[RunRecord]) -> RunRecord | None:
    """An unreadable run, by what the study and the other seeds of its condition say."""
    for other in readable:
        if (other.name, other.condition) == (folder.name, folder.condition) and folder.seed is not None:
            which = (
                {}
                if folder.fold is None or not other.subject.folds
                else {other.subject.folds[1]: folder.fold}
            )
            return replace(
                other,
                run_id=folder.run_id,
                seed=folder.seed,
                config={**other.config, "seed": folder.seed, **which},
                state=State.DAMAGED,
                cause=why,
                metrics={},
                duration_s=None,
                has_log=False,
                mlflow_run_id=None,
                matrices={},
                tables={},
                facts={},
                unread=(),
                added=(),
                fold=folder.fold,
                folder=None,
            )
    return None


@dataclass(frozen=True)
class Damage:
    """A run whose numbers are not used, and why."""

    title: str
    path: Path
    why: str


def damages(store: Store, study: str, records: Sequence[RunRecord]) -> list[Damage]:
    """The damaged runs of a study, ``records`` being what ``load_runs`` says of all of its runs."""
    if len(records) == store.n_runs(study) and not any(run.state is State.DAMAGED for run in records):
        return []
    by_id = {record.run_id: record for record in records}
    index, card = Index.of(store, study), store.study_card(study)
    found = []
    for folder in store.study_runs(study):
        record = by_id.get(folder.run_id)
        title = f"{folder.name}, {replicate_in_words(folder.seed, folder.fold)}"
        if record is None:
            found.append(Damage(title, folder.path, str(_look(folder, index, study, card, store))))
        elif record.state is State.DAMAGED:
            found.append(Damage(title, folder.path, record.cause or ""))
    return found


def _record(folder: RunFolder, index: Index, study: str, card: Card) -> RunRecord:
    reading = index.read(folder)
    return RunRecord(
        run_id=folder.run_id,
        condition_id=reading.condition_id,
        name=reading.name,
        condition=reading.condition,
        seed=reading.seed,
        state=reading.status.state,
        cause=reading.status.cause,
        dataset_name=reading.dataset_name,
        dataset_digest=reading.dataset_digest,
        config=reading.config,
        metrics=reading.metrics,
        duration_s=reading.duration_s,
        has_log=reading.has_log,
        mlflow_run_id=reading.shown.get(study),
        subject=card,
        matrices=matrices(folder, reading),
        tables=tables(folder, reading),
        facts=reading.facts,
        unread=reading.unread,
        added=reading.added,
        fold=reading.fold,
        n_folds=reading.n_folds,
        device=reading.device,
        versions=reading.versions,
        ended_at=reading.status.ended_at,
        folder=folder,
    )


def units_of(records: Sequence[RunRecord]) -> Metrics:
    """The metrics of the runs' subject. What follows from counts is a fraction where it declares nothing."""
    return Metrics(records[0].subject.declared, Derived(records)) if records else Metrics()


def stored_metrics(records: Iterable[RunRecord]) -> list[str]:
    """The metrics that any of the runs has stored, in the order in which they come."""
    each = distinct_names(record.metrics for record in records)
    return list(dict.fromkeys(chain.from_iterable(each)))


def known_names(records: Iterable[RunRecord]) -> list[str]:
    """Every name that a filter, a column or a sort can use: fields, factors, settings and metrics."""
    found = list(records)
    names = dict.fromkeys(stored_metrics(found))
    for record in found:
        names.update(dict.fromkeys(record.values))
    return [*names, *(name for name in derived_names(found) if name not in names)]


def known_metrics(records: Iterable[RunRecord]) -> list[str]:
    """Every metric by name, stored ones first, then the derived ones."""
    found = list(records)
    stored = dict.fromkeys(stored_metrics(found))
    return [*stored, *(name for name in derived_names(found) if name not in stored)]


def check_names(asked: Sequence[str], known: Sequence[str], what: str) -> None:
    """Raises ConfigError that lists every name that is not known."""
    problems = [f"unknown {what} '{name}'{nearest(name, known)}" for name in asked if name not in known]
    if problems:
        raise ConfigError(problems)


def sort_runs(records: Sequence[RunRecord], by: str) -> list[RunRecord]:
    """By a name's value, upwards, or downwards with a ``-`` before the name; runs without a value last."""
    name = by.removeprefix("-")
    if records:
        check_names([name], known_names(records), "name to sort by")
    with_value = [record for record in records if record.values.get(name) is not None]
    without = [record for record in records if record.values.get(name) is None]
    return sorted(with_value, key=lambda run: _rank(run.values[name]), reverse=by.startswith("-")) + without


def _rank(value: Any) -> tuple[int, float, str]:
    """Numbers before text, so that a factor with levels of both kinds still sorts."""
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value))


def frame(records: Sequence[RunRecord]) -> "pd.DataFrame":
    """One row a run: its fields, factors, settings by dotted name, and metrics (NaN where there is none)."""
    import pandas as pd

    rows: list[Mapping[str, Any]] = [record.values for record in records]
    return pd.DataFrame(rows, columns=tidy_columns(records))


def tidy_columns(records: Sequence[RunRecord]) -> list[str]:
    """Every name of ``RunRecord.values``: identity first, then factors, settings, metrics."""
    fold = ["fold"] if any(record.fold is not None for record in records) else []
    identity = ["run_id", "name", "seed", *fold, "state", "cause", "duration_s", "dataset", "dataset_digest"]
    order = dict.fromkeys(identity)
    for part in ("condition", "config", "metrics", "values"):
        for record in records:
            order.update(dict.fromkeys(getattr(record, part)))
    return list(order)
