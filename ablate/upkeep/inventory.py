"""What a store holds, read once for all checks; what cannot be read is noted, not raised."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ablate.design.runs import SCHEMA, Run, replicate_in_words
from ablate.ground.errors import AblateError, StoreError
from ablate.ground.files import read_json
from ablate.record.commands import here
from ablate.record.rundir import RunFolder, State, Status
from ablate.record.store import Store
from ablate.upkeep.findings import shell


@dataclass(frozen=True)
class KnownStudy:
    """A study's record: the run folders that it refers to, and what was typed to plan it."""

    name: str
    folders: list[RunFolder]
    commands: list[str]


@dataclass(frozen=True)
class KnownRun:
    """A run that studies refer to. ``damage``: what of its folder cannot be read; ``run`` is then None."""

    folder: RunFolder
    studies: tuple[KnownStudy, ...]
    run: Run | None
    status: Status
    damage: str | None
    other_schema: bool

    @property
    def title(self) -> str:
        """``grl_pos=S1, seed 3 (run id)``."""
        if self.run is None:
            return self.folder.run_id
        run = self.run
        return f"{run.name}, {replicate_in_words(run.seed, run.fold)} ({self.folder.run_id})"

    @property
    def is_unfinished(self) -> bool:
        return self.damage is None and self.status.state is not State.FINISHED


class Inventory:
    """The studies of a store, or one of them, and their runs. Reading writes nothing."""

    def __init__(self, store: Store, study: str | None = None) -> None:
        self.store = store
        self.studies: list[KnownStudy] = []
        self.unreadable: dict[Path, str] = {}  # study file -> why
        studies = store.root / "studies"
        try:
            files = sorted(file for file in studies.iterdir() if file.suffix == ".json")
        except (FileNotFoundError, NotADirectoryError):
            files = []
        except OSError as error:
            files, self.unreadable[studies] = [], f"{studies}: {error.strerror}"
        for file in files:
            if study in (None, file.stem):
                self._read(file)

    def _read(self, file: Path) -> None:
        name = file.stem
        try:
            commands = [here(self.store, command) for command in self.store.study_commands(name)]
            self.studies.append(KnownStudy(name, self.store.study_runs(name), commands))
        except AblateError as error:
            self.unreadable[file] = str(error)
        except (AttributeError, TypeError) as error:  # valid JSON of another form
            self.unreadable[file] = f"{file}: not a study's record ({error})"

    @cached_property
    def runs(self) -> list[KnownRun]:
        """Every run that the studies refer to, once."""
        studies: dict[str, list[KnownStudy]] = {}
        folders: dict[str, RunFolder] = {}
        for study in self.studies:
            for folder in study.folders:
                folders.setdefault(folder.run_id, folder)
                studies.setdefault(folder.run_id, []).append(study)
        return [_look(folder, tuple(studies[run_id])) for run_id, folder in folders.items()]

    def in_state(self, *states: State) -> list[KnownRun]:
        return [run for run in self.runs if run.damage is None and run.status.state in states]

    def counts(self) -> Counter[State]:
        return Counter(run.status.state for run in self.runs if run.damage is None)

    def command(self, *words: object) -> str:
        """An ``ablate`` command on this store."""
        return here(self.store, shell(["ablate", *words]))

    def commands_in(self, file: Path) -> tuple[str, ...]:
        """The planning commands that can still be found in a damaged study file."""
        try:
            found = re.findall(r'^ *("ablate .*")', file.read_text(encoding="utf-8", errors="replace"), re.M)
        except OSError:
            return ()
        commands = []
        for text in found:
            with suppress(ValueError):  # what of it is no text any more
                commands.append(here(self.store, json.loads(text)))
        return tuple(commands)


def planning_commands(runs: Iterable[KnownRun]) -> tuple[str, ...]:
    """What was typed to plan the studies of these runs: typed again, it trains what is left of them."""
    studies = {study.name: study for run in runs for study in run.studies}
    return tuple(dict.fromkeys(command for study in studies.values() for command in study.commands))


def _look(folder: RunFolder, studies: tuple[KnownStudy, ...]) -> KnownRun:
    other_schema = False
    try:
        other_schema = _schema(folder) not in (None, SCHEMA)
        run = folder.run()
        status = folder.status()
        damage = "; ".join(_damages(folder, status)) or None
    except (StoreError, OSError) as error:
        return KnownRun(folder, studies, None, Status(State.PENDING), str(error), other_schema)
    return KnownRun(folder, studies, run, status, damage, other_schema=False)


def _schema(folder: RunFolder) -> object:
    """The schema that the folder says it was written with; None when it does not say."""
    try:
        content = read_json(folder.path / "config.json")
    except (OSError, ValueError):
        return None
    return content.get("schema") if isinstance(content, dict) else None


def _damages(folder: RunFolder, status: Status) -> Iterator[str]:
    """What of the folder's other files cannot be read, or is not as it was when the run finished."""
    if status.state is State.DAMAGED:
        yield f"{folder.path}: {status.cause}"
        return
    if status.state is not State.RUNNING:  # a worker may be writing the last line just now
        try:
            folder.history()
        except StoreError as error:
            yield str(error)
    try:
        result = folder.result()
        if result is not None and not isinstance(result.get("metrics"), dict):
            yield f"{folder.path / 'result.json'}: has no metrics"
    except (StoreError, AttributeError) as error:
        yield str(error)
