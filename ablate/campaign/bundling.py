"""A study as one file: written with its report, and put into another store, where it can be extended.

Runs are known by their ids, which are hashes of settings, code and data: a run that a store has already is
not taken, and one that it has not finished is, with what came out of it.
"""

import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.analysis import report as reports
from ablate.analysis.material import gather
from ablate.design.study import check_study_name
from ablate.ground.errors import AblateError, StoreError, StudyError
from ablate.ground.files import flush_content, flush_names, make_folder, read_json
from ablate.record.bundle import OF_STUDY, Opened, Written, write_bundle
from ablate.record.rundir import RunBusy, RunFolder, State
from ablate.record.store import Store
from ablate.subject.code import digest_of
from ablate.subject.interface import Card
from ablate.subject.registry import open_subject


@dataclass(frozen=True)
class Imported:
    """What an import of a bundle did: runs that are ``new``, were there already, and what to know."""

    study: str
    n_new: int
    n_same: int
    notes: tuple[str, ...]


def bundle(
    store: Store, study: str, file: Path, *, report: bool = True, weights: bool = False, scores: bool = False
) -> Written:
    """Write a study and its report to ``file``. Raises StudyError, StoreError."""
    store.choose_study(study)
    text, notes = None, []
    if report:
        try:
            material = gather(store, study)
            text = reports.html(material, reports.album(material))
        except AblateError as error:
            notes.append(f"without a report: {error}")
    return write_bundle(store, study, file, report=text, weights=weights, scores=scores, notes=notes)


def import_bundle(store: Store, opened: Opened, command: str, study: str | None = None) -> Imported:
    """Put a bundle's runs and its study into a store; ``study`` is what it is to be called there.

    Raises StudyError when the store's study of that name is of another subject or code, or has other numbers
    for a run, StoreError when nothing can be written.
    """
    source, name = Store(opened.store.root), study or opened.study  # which knows the place of its code
    check_study_name(name)
    card = source.study_card(opened.study)
    known = store.study_card_of(name)
    store.require_subject(name, card.name)
    if known is not None and known.version != card.version:
        raise StudyError(
            f"study '{name}' is of other code of '{card.name}' than the bundle; give that "
            "another name with --study NAME"
        )
    folders = source.study_runs(opened.study)
    _require_same_numbers(store, folders)
    runs, notes = [], []
    for folder in folders:
        try:
            runs.append(folder.run())
        except StoreError as error:
            notes.append(f"run {folder.run_id} is left out: {opened.store.told(str(error))}")
    store.require_writable()
    try:
        make_folder(store.runs)
        taken = [
            _take(store, folder, notes) for folder in folders if _is_of(folder, [r.run_id for r in runs])
        ]
        base = source.study_base(opened.study)
        assert base is not None
        for typed in [*source.study_commands(opened.study), command]:
            details = source.study_details(opened.study) if known is None else None
            store.add_to_study(name, runs, typed, card=known or card, base=base, details=details)
        if known is None:
            _take_records(store, name, opened)
        elif any((source.study_folder(opened.study) / each).exists() for each in OF_STUDY):
            notes.append("the study was here already: its own looks, decisions and searches stay as they are")
    except OSError as error:
        raise StoreError(f"{error.filename or store.root}: {error.strerror or error}") from error
    notes += _code_notes(opened, card)
    return Imported(name, sum(taken), len(taken) - sum(taken), tuple(notes))


def _is_of(folder: RunFolder, run_ids: Sequence[str]) -> bool:
    return folder.run_id in run_ids


def _require_same_numbers(store: Store, folders: Sequence[RunFolder]) -> None:
    """Raises StudyError where both have finished a run, with other scores."""
    problems = []
    for folder in folders:
        own = store.folder(folder.run_id)
        both = [own.status().state, folder.status().state]
        if both != [State.FINISHED, State.FINISHED]:
            continue
        ours, theirs = own.result() or {}, folder.result() or {}
        other = [name for name, value in theirs["metrics"].items() if ours["metrics"].get(name) != value]
        if other:
            problems.append(
                f"run {folder.run_id} ({folder.name}, seed {folder.seed}) has other scores here "
                f"({', '.join(other[:3])}); nothing was imported"
            )
    if problems:
        raise StudyError([*problems, "use another store with --store DIR to keep both"])


def _take(store: Store, folder: RunFolder, notes: list[str]) -> bool:
    """Put a run's folder into the store, whole or not at all, unless there is as much of it; whether so."""
    own = store.folder(folder.run_id)
    state = own.status().state
    is_there = own.path.exists()
    if is_there and (state is State.FINISHED or folder.status().state is not State.FINISHED):
        return False
    draft = store.runs / f".{folder.run_id}.{uuid.uuid4().hex}"
    try:
        shutil.copytree(folder.path, draft)
        for file in draft.iterdir():
            flush_content(file)
        flush_names(draft)
        if not is_there:
            draft.rename(own.path)
            flush_names(store.runs)
            return True
        with own.claim():
            for file in sorted(draft.iterdir(), key=lambda file: file.name == "state.json"):
                file.replace(own.path / file.name)  # the state last, which says that the run has finished
            flush_names(own.path)
        return True
    except RunBusy:
        notes.append(f"run {folder.run_id} is being trained here, and goes on")
        return False
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _take_records(store: Store, name: str, opened: Opened) -> None:
    source, to = opened.store.study_folder(opened.study), store.study_folder(name)
    for each in OF_STUDY:
        if (source / each).exists():
            make_folder(to)
            shutil.copyfile(source / each, to / each)


def _code_notes(opened: Opened, card: Card) -> list[str]:
    """Whether the subject's code is here, and the one that the runs were made with. None of it is run."""
    try:
        digest = _code_digest(card.spec)
    except (AblateError, KeyError, TypeError):
        place = card.spec.get("code") or card.spec.get("path")
        return [f"the code of '{card.name}' is not at {place}; to train more, name it in the command"]
    made = set()
    for folder in opened.store.study_runs(opened.study):
        try:
            made.add(read_json(folder.path / "result.json").get("made", {}).get("code"))
        except (OSError, ValueError, AttributeError):
            continue
    if made - {None, digest}:
        return [
            f"the code of '{card.name}' here is another than the one that some of its runs were made with"
        ]
    return []


def _code_digest(spec: Mapping[str, Any]) -> str:
    """Raises AblateError, KeyError, TypeError where the code is not there."""
    if spec.get("kind") == "module":
        return digest_of(Path(spec["path"]), [Path(each) for each in spec["uses"]])
    return open_subject(spec).code_digest
