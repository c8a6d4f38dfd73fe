"""Runs that were trained elsewhere become the finished runs of a study.

Importing is a reconciliation, as planning is: a row whose run the study has already adds nothing, a new row
is added, and a row that says something else than the study is a contradiction that somebody must decide. It
can be cut off anywhere and done again.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.analysis.imported import Roles, Row, choose_roles, read_rows
from ablate.analysis.sheets import read_sheet, some
from ablate.design.claims import StudyDetails
from ablate.design.runs import Run, SubjectRef
from ablate.design.study import check_study_name
from ablate.ground.errors import ConfigError, StoreError, StudyError
from ablate.ground.wording import suggest
from ablate.record.rundir import RunBusy, RunFolder, State
from ablate.record.store import Store
from ablate.subject.interface import Card, Dataset
from ablate.subject.levels import level_of
from ablate.subject.metrics import Metric
from ablate.subject.results import KIND, ResultsSubject
from ablate.subject.settings import SEED, Settings
from ablate.subject.sheet import Sheet

# The same for all rows of a study, whatever else its file holds: a run is known by its condition and seed.
DIGEST = "imported"
DEVICE = "imported"


@dataclass(frozen=True)
class Imported:
    """What an import did: how many runs are ``new``, were there already, and were ``replaced``."""

    study: str
    n_new: int
    n_same: int
    n_replaced: int
    n_conditions: int
    notes: tuple[str, ...]
    baseline: str | None


def open_source(source: str, *, tracking_uri: str | None = None, decimal: str = ".") -> Sheet:
    """The table in a file, or the runs of ``mlflow:EXPERIMENT``. Raises DataError."""
    from ablate.tracking.foreign import is_experiment, read_experiment

    if is_experiment(source):
        return read_experiment(source, tracking_uri)
    if tracking_uri is not None:
        raise ConfigError(f"--tracking-uri is for mlflow:EXPERIMENT; leave it out to read {source}")
    return read_sheet(source, decimal)


def study_name(source: str) -> str:
    """What a study is called when nobody names it: as the file or the experiment is."""
    _, colon, experiment = source.partition(":")
    stem = experiment if colon else Path(source).stem
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).strip("_.-")[:100] or DIGEST


def import_rows(
    store: Store,
    study: str,
    source: str,
    factors: Sequence[str],
    metrics: Sequence[str],
    *,
    seed: str | None = None,
    no_seed: bool = False,
    units: Sequence[str] = (),
    decimal: str = ".",
    tracking_uri: str | None = None,
    baseline: str | None = None,
    details: StudyDetails | None = None,
    replace: bool = False,
    command: str = "ablate import",
) -> Imported:
    """Make a study of the runs in ``source``, or add those that it lacks.

    ``factors``, ``metrics``, ``units`` and ``seed`` are words as ``choose_roles`` takes them. ``baseline``
    names a condition, or its levels; ``details`` are what a study file says. ``replace`` takes the numbers of
    the source where the study has others.

    Raises ConfigError for columns that are not there, DataError for bad cells, StudyError when the study is
    another or has other numbers.
    """
    sheet = open_source(source, tracking_uri=tracking_uri, decimal=decimal)
    roles = choose_roles(sheet, factors, metrics, units=units, seed=seed, no_seed=no_seed)
    return import_sheet(
        store, study, sheet, roles, baseline=baseline, details=details, replace=replace, command=command
    )


def import_sheet(
    store: Store,
    study: str,
    sheet: Sheet,
    roles: Roles,
    *,
    baseline: str | None = None,
    details: StudyDetails | None = None,
    replace: bool = False,
    command: str = "ablate import",
) -> Imported:
    """As ``import_rows``, of a table that was read and whose columns were chosen."""
    check_study_name(study)
    found = read_rows(sheet, roles)
    known = _known(store, study)
    if known is not None:
        _require_same(study, known, roles)
    subject = ResultsSubject.of(
        study, sheet.source, roles.factors, _all_metrics(roles.declared, known), roles.seed
    )
    dataset = Dataset(sheet.name, DIGEST, _place(sheet.source))
    runs = [_run(row, subject, dataset) for row in found.rows]
    folders = [store.folder(run.run_id) for run in runs]
    news = [_compare(folder, row) for folder, row in zip(folders, found.rows, strict=True)]
    if not replace:
        _require_no_conflict(study, sheet, found.rows, news)
    chosen = _baseline(store, study, known, found.rows, baseline)
    if details is None and chosen is not None:
        details = _with_baseline(store, study, known, chosen)
    notes = [*found.notes, *_gone(store, study, known, runs, sheet)]
    store.require_writable()
    store.add_to_study(
        study,
        runs,
        command,
        base=Settings(subject.default.flat()),
        details=details,
        card=subject.card,
    )
    for folder, row, new in zip(folders, found.rows, news, strict=True):
        if new.is_written:
            _write(folder, row, new.metrics, sheet)
    return Imported(
        study,
        n_new=sum(new.is_absent for new in news),
        n_same=sum(not new.is_written for new in news),
        n_replaced=sum(new.is_written and not new.is_absent for new in news),
        n_conditions=len({row.condition for row in found.rows}),
        notes=tuple(notes),
        baseline=chosen,
    )


# ------------------------------------------------------------------------------------------ the study so far


def _known(store: Store, study: str) -> Card | None:
    """The subject of a study that is there. Raises StudyError when its runs were not imported."""
    if study not in store.study_names():
        return None
    card = store.study_card(study)
    if card.spec.get("kind") != KIND:
        raise StudyError(
            f"study '{study}' has runs of '{card.name}' that were trained here; import into another with "
            "--study NAME"
        )
    return card


def _require_same(study: str, card: Card, roles: Roles) -> None:
    """Runs with other factors, or with seeds of another kind, are not those of the study."""
    columns, seed = card.spec["columns"], card.spec["seed"]
    if set(columns) != set(roles.factors):
        raise StudyError(
            f"study '{study}' was imported with the factors {', '.join(columns)}, not "
            f"{', '.join(roles.factors)}; name the same, or another study with --study NAME"
        )
    if (seed is None) != (roles.seed is None):
        how = "without seeds" if seed is None else f"with the seeds of column '{seed}'"
        raise StudyError(f"study '{study}' was imported {how}; do the same, or name another --study NAME")


def _all_metrics(declared: Sequence[Metric], known: Card | None) -> list[Metric]:
    """The metrics now declared, with the units that they had where none is told, and earlier imports'.

    Raises StudyError for one of which the other way was better.
    """
    earlier = {metric.name: metric for metric in known.declared} if known is not None else {}
    metrics = {}
    for metric in declared:
        before = earlier.get(metric.name, metric)
        if before.best != metric.best:
            raise StudyError(
                f"metric '{metric.name}' was imported as {metric.name}:{before.best}, not "
                f"{metric.name}:{metric.best}; type that again, or name another study with --study NAME"
            )
        metrics[metric.name] = dataclasses.replace(metric, unit=metric.unit or before.unit)
    return [*metrics.values(), *(metric for name, metric in earlier.items() if name not in metrics)]


def _gone(store: Store, study: str, known: Card | None, runs: Sequence[Run], sheet: Sheet) -> list[str]:
    """What the study has and the table has not, or no more."""
    if known is None:
        return []
    here = {run.run_id for run in runs}
    n_others = sum(folder.run_id not in here for folder in store.study_runs(study))
    if not n_others:
        return []
    which = "1 run of the study is" if n_others == 1 else f"{n_others} runs of the study are"
    return [f"{which} not in {sheet.name}; they stay in the study"]


def _baseline(
    store: Store, study: str, known: Card | None, rows: Sequence[Row], wanted: str | None
) -> str | None:
    """The name of the condition that ``wanted`` names or describes, such as ``lr=0.1,dropout=0``."""
    if wanted is None:
        return store.study_details(study).baseline if known is not None else None
    conditions: dict[str, Mapping[str, Any]] = {row.name: row.levels for row in rows}
    if known is not None:
        for folder in store.study_runs(study):
            conditions.setdefault(str(folder.name), folder.condition or {})
    if wanted in conditions:
        return wanted
    levels = _levels(wanted)
    matching = [
        name for name, condition in conditions.items() if levels and levels.items() <= condition.items()
    ]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise ConfigError(
            f"--baseline '{wanted}': {len(matching)} conditions are so, such as '{matching[0]}' and "
            f"'{matching[1]}'; name the level of every factor"
        )
    raise ConfigError(f"--baseline '{wanted}': no such condition{suggest(wanted, conditions)}")


def _levels(text: str) -> dict[str, Any]:
    """``lr=0.1,dropout=0`` as levels; empty for a text of another form."""
    pairs = [word.partition("=") for word in text.split(",")]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        return {}
    return {name.strip(): level_of(level) for name, _, level in pairs}


def _with_baseline(store: Store, study: str, known: Card | None, baseline: str) -> StudyDetails:
    details = StudyDetails() if known is None else store.study_details(study)
    return dataclasses.replace(details, baseline=baseline)


# --------------------------------------------------------------------------------------------- runs and rows


def _place(source: str) -> Path:
    """Where the runs came from, as their records say it."""
    return Path(source) if source.startswith("mlflow:") else Path(source).absolute()


def _run(row: Row, subject: ResultsSubject, dataset: Dataset) -> Run:
    levels = dict(row.levels)
    return Run(
        Settings({**levels, SEED: row.seed}),
        dataset,
        row.name,
        levels,
        SubjectRef(subject.name, subject.version),
    )


@dataclass(frozen=True)
class _News:
    """What a row says that the store does not. ``metrics`` are those that the run is to have."""

    metrics: Mapping[str, float | None]
    is_absent: bool
    is_written: bool
    contradicts: tuple[str, ...] = ()


def _compare(folder: RunFolder, row: Row) -> _News:
    """What there is of a run. One that an import was cut off at, or that was damaged, is written again."""
    state = folder.status().state
    stored = _stored(folder) if state in (State.FINISHED, State.INTERRUPTED) else {}
    merged = {**stored, **row.metrics}
    if state is not State.FINISHED:
        return _News(merged, is_absent=True, is_written=True)
    contradictions = tuple(
        f"{name} is {_shown(value)} and was {_shown(stored[name])}"
        if name in stored
        else f"{name} is {_shown(value)} and was not imported before"
        for name, value in row.metrics.items()
        if name not in stored or stored[name] != value
    )
    return _News(merged, is_absent=False, is_written=bool(contradictions), contradicts=contradictions)


def _stored(folder: RunFolder) -> Mapping[str, float | None]:
    """The metrics that a run has, some of them perhaps from another table. Raises StoreError."""
    result = folder.result()
    metrics: Mapping[str, float | None] = {} if result is None else result["metrics"]
    return metrics


def _shown(value: float | None) -> str:
    return "undefined" if value is None else repr(value)


def _require_no_conflict(study: str, sheet: Sheet, rows: Sequence[Row], news: Sequence[_News]) -> None:
    problems = [
        f"{sheet.name}, {row.place}: {row.name} seed={row.seed}: {'; '.join(new.contradicts)}"
        for row, new in zip(rows, news, strict=True)
        if new.contradicts
    ]
    if problems:
        advice = (
            f"study '{study}' has other numbers for these rows, and nothing was imported; --replace takes "
            "those of the table, --study NAME makes another study of it"
        )
        raise StudyError([*some(problems), advice])


def _write(folder: RunFolder, row: Row, metrics: Mapping[str, float | None], sheet: Sheet) -> None:
    """The folder of a finished run, as a worker would leave it."""
    try:
        with folder.claim():
            folder.begin()
            folder.write_result(
                {
                    "run_id": folder.run_id,
                    "metrics": dict(metrics),
                    "matrices": {},
                    "tables": {},
                    "files": [],
                    "facts": {"source": sheet.name, "place": row.place},
                    "duration_s": row.seconds or 0.0,
                    "device": DEVICE,
                    "versions": {},
                    "unread": [],
                }
            )
            folder.end(State.FINISHED)
    except RunBusy:
        raise StoreError(
            f"run {folder.run_id} ({row.name} seed={row.seed}) is being imported by another process; type "
            "the command again when that has ended"
        ) from None
    except OSError as error:
        raise StoreError(f"{folder.path}: cannot be written ({error.strerror or error})") from error
