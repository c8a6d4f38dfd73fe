"""The store: one folder that holds everything a user's studies have produced.

<store>/mlflow.db       the MLflow tracking database, a projection of the run folders
<store>/artifacts/      MLflow's artifacts
<store>/runs/<run id>/  the run folders, shared by all studies
<store>/studies/        <study>.json: which runs belong to the study, and its names for them;
                        <study>/: what else is kept of it, such as the trials of its search, and the
                        index of its runs
<store>/data/           generated data sets
<store>/id              what tells the store from others on a server that shows several
"""

import os
import re
import shlex
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from ablate.design.claims import StudyDetails
from ablate.design.runs import SCHEMA, Run
from ablate.design.study import check_study_name, is_study_name
from ablate.ground.errors import StoreError, StudyError
from ablate.ground.files import flush_names, is_zip, make_folder, read_json, sweep, write_json, write_text
from ablate.ground.leases import lease
from ablate.ground.records import require
from ablate.ground.wording import suggest
from ablate.record.formats import StudyRecord
from ablate.record.rundir import RunFolder
from ablate.subject.interface import Card, Dataset
from ablate.subject.settings import Settings

DEFAULT = "mlruns"
LEASE_PATIENCE_S = 20.0
IDENTITY = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Store:
    """Where things are. Reading never creates a file. ``bundle`` is the file that it was unpacked from."""

    root: Path
    bundle: Path | None = None

    @property
    def title(self) -> Path:
        """What a user calls it: its folder, or the bundle's file."""
        return self.root if self.bundle is None else self.bundle

    def told(self, text: str) -> str:
        """A sentence about the store, in which a bundle's files have the names that they have there."""
        if self.bundle is None:
            return text
        within = text.replace(f"{self.root}{os.sep}", f"{self.bundle}: ")
        return within.replace(str(self.root), str(self.bundle))

    @cached_property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def database(self) -> Path:
        return self.root / "mlflow.db"

    def identity(self) -> str | None:
        """What tells this store from others, also after a move; None when it was never asked for."""
        try:
            found = (self.root / "id").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
        return found if IDENTITY.fullmatch(found) else None

    def identify(self) -> str:
        """Its identity, made when it has none. Only one process may do so at a time. Raises OSError."""
        found = self.identity()
        if found is None:
            found = uuid.uuid4().hex
            sweep(self.root / "id")
            write_text(self.root / "id", f"{found}\n", durable=True)
        return found

    def locate(self, dataset: Dataset) -> Path:
        """Where a run's prepared data are: in the store, which may have been moved, else as recorded."""
        own = self.place_of(dataset)
        return own if own is not None and own.exists() else dataset.path

    def place_of(self, dataset: Dataset) -> Path | None:
        """The place in the store's data folder that a recorded path names; None when it names another.

        A relative path is relative to where the study was planned, and a store may have been moved: what
        counts are the path's last two folders.
        """
        parts = dataset.path.parts
        if len(parts) >= 3 and parts[-3] == self.data.name and parts[-1] == "prepared":
            return self.data / parts[-2] / "prepared"
        if len(parts) >= 2 and parts[-2] == self.data.name:
            return self.data / parts[-1]
        return None

    def folder(self, run_id: str) -> RunFolder:
        return RunFolder(self.runs / run_id)

    def finished_runs(self) -> list[RunFolder]:
        """The folders of all runs that have a result, whatever their study."""
        return [RunFolder(file.parent) for file in sorted(self.runs.glob("*/result.json"))]

    def study_folder(self, name: str) -> Path:
        """What is kept of a study beside its record. It need not be there yet; it goes with the study."""
        check_study_name(name)
        return self.root / "studies" / name

    def require_folder(self) -> None:
        """Raises StoreError when the store's path, or a part of it, is a file."""
        files = [path for path in (self.root, self.runs, self.root / "studies") if path.is_file()]
        if files:
            raise StoreError(f"{files[0]} is a file, not a folder; choose another store with --store DIR")

    def require_writable(self) -> None:
        """Create the store if need be. Raises StoreError when nothing can be written there."""
        try:
            make_folder(self.root)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise StoreError(
                f"the store {self.root} cannot be written: {error.strerror or error}; "
                "choose another with --store DIR or ABLATE_STORE"
            ) from error

    def study_names(self) -> list[str]:
        """All studies, the one last planned first."""
        files = [file for file in (self.root / "studies").glob("[!.]*.json") if file.is_file()]
        return [file.stem for file in sorted(files, key=lambda file: -file.stat().st_mtime)]

    def has_study(self, name: str) -> bool:
        """Whether there is a record of a study; any text can be asked for."""
        return is_study_name(name) and self._study_file(name).is_file()

    def study_runs(self, name: str) -> list[RunFolder]:
        """The folders of a study's runs in the order of planning, with the study's names for them.

        Raises StudyError when the study is unknown.
        """
        runs, place = self._study(name)["runs"], self.runs
        return [
            RunFolder(place / run_id, of["name"], of["condition"], of["seed"], of.get("fold"))
            for run_id, of in runs.items()
        ]

    def n_runs(self, name: str) -> int:
        """How many runs a study has. Raises StudyError when it is unknown."""
        return len(self._study(name)["runs"])

    def study_details(self, name: str) -> StudyDetails:
        """The study's question, baseline, claims and published scores. Raises StudyError when unknown."""
        return StudyDetails.from_json(self._study(name)["details"])

    def study_commands(self, name: str) -> list[str]:
        """What was typed to plan the study, each command once. Raises StudyError when unknown."""
        return list(self._study(name)["commands"])

    def study_base(self, name: str) -> Settings | None:
        """The settings that the study's conditions are named against; None when there is no study."""
        return Settings(self._study(name)["base"]) if self._study_file(name).exists() else None

    def study_card(self, name: str) -> Card:
        """Whose runs a study has; of a bundle without the place of code. Raises StudyError when unknown."""
        card = Card.from_json(self._study(name)["subject"])
        return card if self.bundle is None else card.without_code()

    def study_card_of(self, name: str) -> Card | None:
        """As ``study_card``; None when there is no such study yet."""
        return self.study_card(name) if self._study_file(name).exists() else None

    def require_subject(self, name: str, subject: str) -> None:
        """Raises StudyError when a study that exists is of another subject."""
        card = self.study_card_of(name)
        if card is not None and card.name != subject:
            raise StudyError(
                f"study '{name}' has runs of '{card.name}', not of '{subject}'; choose another name for it"
            )

    def require_folds(self, name: str, card: Card, base: Settings) -> None:
        """Raises StudyError when a study that exists has its training data in another number of folds."""
        known = self.study_card_of(name)
        if known is None or known.version != card.version or card.folds is None:
            return
        asked, has = (
            int(settings.values.get(card.folds[0]) or 0)
            for settings in (base, Settings(self._study(name)["base"]))
        )
        if asked != has:
            there, here = (f"{n} folds" if n else "no folds" for n in (has, asked))
            same = f"--folds {has}" if has else "no --folds"
            raise StudyError(
                f"study '{name}' has {there}, and this command asks for {here}: scores over other folds are "
                f"of other trainings. Choose another name for it, or type {same} to go on with this one"
            )

    def add_to_study(
        self,
        name: str,
        runs: Sequence[Run],
        command: str,
        *,
        card: Card,
        base: Settings,
        details: StudyDetails | None = None,
    ) -> None:
        """Record that runs belong to a study, after those that it has already, and make their folders.

        ``card`` says whose runs they are. ``base`` is what its conditions are named against; a study keeps
        the first. ``details`` replace those that it had; without any it keeps them. Runs of another version
        of the code do not stay beside the new ones: a study named ``<name>.<version>`` keeps them.

        Raises StudyError when the study is of another subject, or has another number of folds.
        """
        check_study_name(name)
        self.require_subject(name, card.name)
        self.require_folds(name, card, base)
        file = self._study_file(name)
        try:
            self._create(runs)
            with self.planning():  # two controllers may plan one study at once
                self._create(runs)  # those that `ablate gc` removed since, as no study referred to them yet
                self._extend(name, runs, command, card, base, details)
        except OSError as error:
            raise StoreError(f"{file}: cannot be written ({error.strerror or error})") from error

    @contextmanager
    def planning(self) -> Iterator[None]:
        """While it lasts, no other process changes which runs the studies refer to.

        Raises StoreError when another process keeps them for long, or the store cannot be written.
        """
        studies = self.root / "studies"
        with ExitStack() as stack:
            try:
                make_folder(studies)
                stack.enter_context(lease(studies / ".lock", LEASE_PATIENCE_S))
            except TimeoutError as error:
                raise StoreError(f"{error}; try again when it has ended") from None
            except OSError as error:
                raise StoreError(f"{studies}: cannot be written ({error.strerror or error})") from error
            yield

    def forget_study(self, name: str) -> None:
        """Remove a study's record and what is kept beside it; its runs stay. Call within ``planning``."""
        self._study_file(name).unlink(missing_ok=True)
        shutil.rmtree(self.study_folder(name), ignore_errors=True)

    def _create(self, runs: Sequence[Run]) -> None:
        make_folder(self.runs)
        for run in runs:
            self.folder(run.run_id).create(run)
        flush_names(self.runs)

    def _extend(
        self,
        name: str,
        runs: Sequence[Run],
        command: str,
        card: Card,
        base: Settings,
        details: StudyDetails | None,
    ) -> None:
        file = self._study_file(name)
        fresh: dict[str, Any] = {
            "base": base.flat(),
            "runs": {},
            "commands": [],
            "details": StudyDetails().to_json(),
        }
        known = self._study(name) if file.exists() else fresh
        if known is not fresh and known["subject"]["version"] != card.version:
            self._set_aside(name, known)
            known = {**known, "runs": {}, "base": base.flat()}
        called = {run.run_id: _called(run) for run in runs}
        content = {
            "schema": SCHEMA,
            "name": name,
            "subject": card.to_json(),
            "base": known["base"],
            "details": known["details"] if details is None else details.to_json(),
            "runs": {**known["runs"], **called},
            "commands": list(dict.fromkeys([*known["commands"], command])),
        }
        sweep(file)
        write_json(file, content, durable=True)

    def _set_aside(self, name: str, study: dict[str, Any]) -> None:
        """Keep the runs of former code as a study of its own."""
        former = f"{name}.{study['subject']['version'][:8] or 'former'}"
        write_json(self._study_file(former), {**study, "name": former}, durable=True)

    def _study_file(self, name: str) -> Path:
        return self.root / "studies" / f"{name}.json"

    def _study(self, name: str) -> dict[str, Any]:
        """The content of a study's file. Raises StudyError when there is none, StoreError when damaged."""
        check_study_name(name)
        file = self._study_file(name)
        try:
            stat = file.stat()
            return _read_study(file, (stat.st_mtime_ns, stat.st_size, stat.st_ino))
        except FileNotFoundError:
            known = self.study_names()
            hint = suggest(name, known) if known else "; the store is empty, start with `ablate grid`"
            raise StudyError(f"no study '{name}' in the store {self.root}{hint}") from None
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{file}: unreadable ({error}); move it away and plan the study again"
            ) from error

    def choose_study(self, name: str | None) -> str:
        """``name``, or the study last planned. Raises StudyError when there is none, or it is a bundle."""
        if name is not None:
            if not self.has_study(name) and is_zip(Path(name)):
                raise StudyError(
                    f"{name} is a bundle, which can only be read; `{importing(name)}` puts it into a store, "
                    "where it is a study like others"
                )
            self._study(name)
            return name
        names = self.study_names()
        if not names:
            raise StudyError(f"the store {self.root} holds no study yet; start with `ablate grid`")
        return names[0]


def _called(run: Run) -> dict[str, Any]:
    """What a study says of a run beside its id."""
    fold = {} if run.fold is None else {"fold": run.fold}
    return {"name": run.name, "condition": run.condition, "seed": run.seed, **fold}


@lru_cache(maxsize=1)
def _read_study(file: Path, _stamp: tuple[int, int, int]) -> dict[str, Any]:
    """A study's record, read once as long as the file is the same: a command asks for it several times.

    Nobody may change what this returns. Raises OSError, ValueError, or StoreError for other records.
    """
    content: dict[str, Any] = read_json(file)
    if isinstance(content, dict) and "runs" in content and content.get("schema") != SCHEMA:
        raise StoreError(f"{file}: written by a version of ablate with other records; use a new --store")
    require(StudyRecord, content)
    return content


def importing(file: str | Path) -> str:
    """The command that puts a bundle into a store."""
    return shlex.join(["ablate", "import", str(file)])


def default_root() -> Path:
    return Path(os.environ.get("ABLATE_STORE") or DEFAULT)
