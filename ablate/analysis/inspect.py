"""One run in full, and two runs against each other."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablate.analysis import evidence, figures
from ablate.analysis.compare import group_runs
from ablate.analysis.query import RunRecord, load_runs
from ablate.design.runs import replicate
from ablate.ground.errors import StoreError, StudyError
from ablate.ground.files import read_json
from ablate.ground.wording import suggest
from ablate.launch.slurm import queues
from ablate.record.rundir import RunFolder, State, Status
from ablate.record.store import Store
from ablate.subject.interface import Row
from ablate.subject.registry import open_if_there
from ablate.subject.scores import shares
from ablate.subject.settings import Settings
from ablate.tracking.address import from_note
from ablate.tracking.artifacts import matrix_table, picture_name

MAX_SHOWN = 8  # runs that an error lists
TAIL = 5  # epochs of the history that are shown

_NAME_AND_SEED = re.compile(
    r"(?P<name>.+?)[\s,]+seed\s*=\s*(?P<seed>[0-9]{1,10})([\s,]+fold\s*=\s*(?P<fold>[0-9]{1,10}))?"
)
_RUN_ID = re.compile(r"[0-9a-f]{1,16}")


@dataclass(frozen=True)
class Found:
    """A run, and the study whose names it goes by."""

    study: str
    record: RunRecord
    folder: RunFolder


def find_run(store: Store, asked: str, study: str | None = None) -> Found:
    """The run of an id, of the beginning of one, or of ``NAME seed=K``, with folds ``NAME seed=K fold=J``.

    Ids are looked for in ``study`` or, without one, in all studies, the last planned first; names in
    ``study`` or the study last planned. Raises StudyError when no run matches, or several do.
    """
    text = " ".join(asked.split())
    named = _NAME_AND_SEED.fullmatch(text)
    if named is not None:
        fold = None if named["fold"] is None else int(named["fold"])
        return _by_name(store, store.choose_study(study), named["name"], int(named["seed"]), fold)
    studies = [store.choose_study(study)] if study is not None else store.study_names()
    if not studies:
        store.choose_study(None)
    where: dict[str, str] = {}
    for name in studies:
        try:
            for folder in store.study_runs(name):
                where.setdefault(folder.run_id, name)
        except StoreError:  # the others can still be looked through
            if study is not None:
                raise
    matches = [run_id for run_id in where if run_id.startswith(text.lower())]
    if len(matches) == 1:
        return _by_id(store, where[matches[0]], matches[0])
    if matches:
        raise StudyError(f"'{asked}' is the beginning of {len(matches)} run ids: {_list(matches)}")
    raise StudyError(_unknown(store, asked, studies))


def _unknown(store: Store, asked: str, studies: Sequence[str]) -> str:
    """Why there is no such run, and how to name one."""
    place = f"study '{studies[0]}'" if len(studies) == 1 else f"the store {store.title}"
    runs = ["ablate", "runs", *([] if store.bundle is None else [str(store.bundle)])]
    hint = f"; `{shlex.join(runs)}` lists them with their ids"
    if _RUN_ID.fullmatch(asked.lower()):
        return f"no run '{asked}' in {place}{hint}"
    names = list(dict.fromkeys(str(folder.name) for folder in store.study_runs(studies[0])))
    if asked in names:
        return f"'{asked}' is a condition; name one of its runs with '{asked} seed=0'"
    return f"no run '{asked}' in {place}{hint}, or write 'NAME seed=K'{suggest(asked, names)}"


def _by_name(store: Store, study: str, name: str, seed: int, fold: int | None) -> Found:
    groups = group_runs(load_runs(store, study))
    chosen = [group for group in groups if group.name == name] or [
        group for group in groups if group.first.name == name
    ]
    if not chosen:
        raise StudyError(
            f"study '{study}' has no condition '{name}'{suggest(name, [group.name for group in groups])}"
        )
    runs = [run for group in chosen for run in group.runs if run.seed == seed]
    if len(runs) > 1:
        names = ", ".join(f"'{group.name}'" for group in chosen)
        raise StudyError(f"'{name} seed={seed}' is {len(runs)} runs of study '{study}'; say which of {names}")
    if not runs:
        seeds = ", ".join(str(run.seed) for group in chosen for run in group.runs)
        raise StudyError(f"condition '{name}' of study '{study}' has no seed {seed}; it has {seeds}")
    return _found(store, study, _of_fold(runs[0], fold, study))


def _of_fold(seed: RunRecord, fold: int | None, study: str) -> RunRecord:
    """The run of a seed, or the one of its folds that is asked for."""
    if fold is None and not seed.folds:
        return seed
    found = [run for run in seed.runs if run.fold == fold]
    if found:
        return found[0]
    asked = f"{seed.name} seed={seed.seed}"
    if not seed.folds:
        raise StudyError(f"'{asked}' of study '{study}' has no folds; leave out fold={fold}")
    folds = ", ".join(str(run.fold) for run in seed.folds)
    raise StudyError(
        f"'{asked}' of study '{study}' has the folds {folds}; name one of them, such as "
        f"'{asked} fold={seed.folds[0].fold}'"
    )


def _by_id(store: Store, study: str, run_id: str) -> Found:
    """Raises StoreError when the run's folder is damaged beyond telling what it is."""
    record = next((record for record in load_runs(store, study) if record.run_id == run_id), None)
    if record is None:
        folder = store.folder(run_id)
        folder.run()  # raises
        raise StoreError(f"{folder.path}: changed while it was read; try again")
    return _found(store, study, record)


def _found(store: Store, study: str, record: RunRecord) -> Found:
    folder = next(folder for folder in store.study_runs(study) if folder.run_id == record.run_id)
    return Found(study, record, folder)


def _list(run_ids: Sequence[str]) -> str:
    more = f" and {len(run_ids) - MAX_SHOWN} more" if len(run_ids) > MAX_SHOWN else ""
    return ", ".join(run_ids[:MAX_SHOWN]) + more


def describe(store: Store, found: Found) -> dict[str, Any]:
    """Everything that is known of a run, as JSON has it. Scores are fractions, times seconds.

    Of a damaged run that is what was asked for, and what is wrong.
    """
    record, folder = found.record, found.folder
    damaged = record.state is State.DAMAGED
    status = asdict(Status(State.DAMAGED, record.cause) if damaged else folder.status())
    result = {} if damaged else folder.result() or {}
    history = [] if damaged else folder.history()
    return {
        "run_id": record.run_id,
        "study": found.study,
        "name": record.name,
        "condition": record.condition,
        "seed": record.seed,
        **({} if record.fold is None else {"fold": record.fold, "n_folds": record.n_folds}),
        **status,
        "state": str(record.state),
        "duration_s": record.duration_s,
        "dataset": {
            "name": record.dataset_name,
            "digest": record.dataset_digest,
            "path": None if damaged else str(store.locate(folder.run().dataset)),
        },
        "config": dict(record.config),
        "metrics": record.metrics,
        "tables": {name: _table(table) for name, table in record.tables.items()},
        "matrices": {name: matrix_table(matrix) for name, matrix in record.matrices.items()},
        "facts": record.facts,
        "unread": list(record.unread),
        "remarks": _remarks(record, history),
        "n_epochs": len(history),
        "history_tail": history[-TAIL:],
        "device": result.get("device"),
        "versions": result.get("versions", {}),
        "made": result.get("made", {}),
        "files": _as_named(
            store,
            {
                **_files(folder, result.get("files", [])),
                **_job_log(store.study_folder(found.study), found.study, status["job"]),
            },
        ),
        "mlflow": _mlflow(store, found),
    }


def _table(table: Mapping[str, Any]) -> dict[str, Any]:
    return {"columns": table["columns"], "data": table["rows"]}


def _remarks(record: RunRecord, history: Sequence[Row]) -> dict[str, Any]:
    """What the subject has to say of a training, where its code is there."""
    subject = open_if_there(record.subject.spec)
    if subject is None or not history:
        return {}
    remarks = subject.remarks(Settings(record.config), history)
    return {title: dict(lines) for title, lines in remarks.items()}


def _files(folder: RunFolder, returned: Sequence[str]) -> dict[str, str]:
    """What there is in the run's folder, by what it is."""
    files = {
        "folder": folder.path,
        "config": folder.path / "config.json",
        "history": folder.history_file,
        "result": folder.path / "result.json",
    }
    for file in (*(folder.path / name for name in returned), *folder.checkpoints()):
        taken = file.stem in files or file.stem == "log"
        files[file.name if taken else file.stem] = file
    files["log"] = folder.log_file
    return {name: str(path) for name, path in files.items() if path.exists()}


def _as_named(store: Store, files: dict[str, str]) -> dict[str, str]:
    """The files of a bundle by their names in it."""
    if store.bundle is None:
        return files
    within = {name: Path(path).relative_to(store.root).as_posix() for name, path in files.items()}
    return {"bundle": str(store.bundle), **within}


def _job_log(folder: Path, study: str, job: str | None) -> dict[str, str]:
    """What the job of a cluster has printed in which the run was trained last."""
    logs = [queue.logs / f"{job}.log" for queue in queues(folder, study).values()]
    found = next((log for log in logs if log.exists()), None)
    return {} if found is None else {"job log": str(found)}


def logs(store: Store, found: Found) -> dict[str, Path]:
    """The logs that there are of a run: its own, and that of the job of a cluster that trained it last."""
    job = None if found.record.state is State.DAMAGED else found.folder.status().job
    of_job = _job_log(store.study_folder(found.study), found.study, job)
    files = {"log": found.folder.log_file, **{name: Path(path) for name, path in of_job.items()}}
    return {name: path for name, path in files.items() if path.exists()}


def _mlflow(store: Store, found: Found) -> dict[str, Any] | None:
    """Which MLflow run shows this one, and its pictures where the artifacts are files of this store."""
    try:
        note = read_json(found.folder.mlflow_file)[found.study]
        mlflow_run_id, uri = str(note["mlflow_run_id"]), from_note(store, str(note["uri"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    artifacts = store.artifacts / found.study / mlflow_run_id / "artifacts"
    pictures = [artifacts / picture_name(name) for name in found.record.matrices]
    return {
        "run_id": mlflow_run_id,
        "uri": re.sub(r"//[^/@]*@", "//", uri),  # without a password
        "pictures": [str(picture) for picture in pictures if picture.exists()],
    }


def save_pictures(found: Found, folder: Path) -> list[Path]:
    """The run's square matrices and its curves as SVG and PNG. Creates the folder; returns the files."""
    record = found.record
    title = f"{record.name} {replicate(record.seed, record.fold)}"
    drawn = {
        name: figures.confusion_matrices({title: shares(matrix["counts"])}, matrix["rows"])
        for name, matrix in record.matrices.items()
        if matrix["rows"] == matrix["columns"]
    }
    histories = [] if record.state is State.DAMAGED else [found.folder.history()]
    curves = evidence.curves(histories, evidence.curve_names(record.subject, histories))
    if curves is not None:
        drawn["curves"] = figures.learning_curves({title: curves})
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, figure in drawn.items():
        for suffix in (".svg", ".png"):
            files.append(folder / f"{record.run_id}-{name}{suffix}")
            figures.save(figure, files[-1])
    return files


@dataclass(frozen=True)
class Diff:
    """How a second run differs from a first: settings (name -> both values) and metrics (name -> both)."""

    first: Found
    second: Found
    settings: dict[str, tuple[Any, Any]]
    metrics: dict[str, tuple[float | None, float | None]]


def diff_runs(first: Found, second: Found) -> Diff:
    """Settings that differ, the data set among them, and every metric that either run has.

    A setting that one of them does not have, as when they are of two subjects, is None there.
    """
    ours = {**first.record.config, **_data(first.record)}
    theirs = {**second.record.config, **_data(second.record)}
    both = {name: (ours.get(name), theirs.get(name)) for name in dict.fromkeys([*ours, *theirs])}
    settings = {name: values for name, values in both.items() if values[0] != values[1]}
    names = dict.fromkeys([*first.record.metrics, *second.record.metrics])
    metrics = {name: (first.record.metrics.get(name), second.record.metrics.get(name)) for name in names}
    return Diff(first, second, settings, metrics)


def _data(record: RunRecord) -> dict[str, str]:
    return {"dataset": record.dataset_name, "dataset_digest": record.dataset_digest}


def title(found: Found) -> str:
    record = found.record
    return f"{record.name} {replicate(record.seed, record.fold)} ({record.run_id}, {found.study})"
