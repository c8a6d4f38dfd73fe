"""What a run's folder says, as tables need it: everything at once, but for what few of them ask for.

The matrices and tables of a run are most of its result. They are read when somebody looks at them, and only
if the result is still the one that the rest was read from.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ablate.ground.errors import StoreError
from ablate.record.rundir import RESCORED, RunFolder, Status
from ablate.record.seals import RECORDS, SEAL, STATE
from ablate.subject.metrics import energy_in

RESULT = "result.json"
Shape = tuple[str, tuple[str, ...], tuple[str, ...]]  # a matrix's name, rows, columns


class Reading(NamedTuple):
    """A run's folder at one moment.

    ``name``, ``condition`` and all that follows from the settings are as ``RunFolder.run`` has them.
    ``metrics`` (with those that were ``added`` later), ``facts`` and ``unread`` are empty until the run has
    finished, ``duration_s`` is None; ``device`` and ``versions`` say what it was trained with. ``shapes`` are
    those of its matrices, ``digest`` is the SHA-256 of its result. ``shown`` maps studies to the MLflow runs
    that show the run there.

    ``files`` are the names of those files in the folder that the rest follows from. It follows from nothing
    else but which files there are, unless a process holds the run, or did and died.
    """

    name: str
    condition: Mapping[str, Any]
    condition_id: str
    seed: int
    fold: int | None
    n_folds: int
    dataset_name: str
    dataset_digest: str
    config: Mapping[str, Any]
    status: Status
    metrics: Mapping[str, float | None]
    duration_s: float | None
    device: str | None
    versions: Mapping[str, str]
    facts: Mapping[str, Any]
    unread: tuple[str, ...]
    added: tuple[str, ...]
    shapes: tuple[Shape, ...]
    digest: str | None
    has_log: bool
    shown: Mapping[str, str]
    files: tuple[str, ...]


def read(folder: RunFolder) -> Reading:
    """Read a run's folder. Raises OtherSchema, or StoreError when it is damaged."""
    run = folder.run()
    contents: dict[str, bytes] = {}
    status, found = folder.look(contents)
    result: dict[str, Any] = found or {"metrics": {}, "facts": {}, "files": []}
    rescored = folder.rescored() if found else {}
    names = (*RECORDS, "config.json", STATE, SEAL, RESCORED, folder.mlflow_file.name, *result["files"])
    return Reading(
        name=run.name,
        condition=run.condition,
        condition_id=run.condition_id,
        seed=run.seed,
        fold=run.fold,
        n_folds=run.n_folds,
        dataset_name=run.dataset.name,
        dataset_digest=run.dataset.digest,
        config=run.config.flat(),
        status=status,
        metrics={**rescored, **energy_in(result["facts"]), **result["metrics"]},
        duration_s=result.get("duration_s"),
        device=result.get("device"),
        versions=result.get("versions", {}),
        facts=result["facts"],
        unread=tuple(result.get("unread", ())),
        added=tuple(name for name in rescored if name not in result["metrics"]),
        shapes=shapes(result.get("matrices", {})),
        digest=hashlib.sha256(contents[RESULT]).hexdigest() if found else None,
        has_log=folder.log_file.exists(),
        shown=_shown(folder),
        files=tuple(name for name in dict.fromkeys(names) if (folder.path / name).exists()),
    )


def _shown(folder: RunFolder) -> dict[str, str]:
    """The MLflow run that shows this run in each study's experiment."""
    notes = folder.mlflow_notes().items()
    return {study: str(note["mlflow_run_id"]) for study, note in notes if "mlflow_run_id" in note}


def shapes(matrices: Mapping[str, Any]) -> tuple[Shape, ...]:
    """The names of matrices with their rows and columns; nothing is read for that."""
    if isinstance(matrices, _Later):
        return matrices.shapes
    return tuple((name, tuple(matrix["rows"]), tuple(matrix["columns"])) for name, matrix in matrices.items())


def matrices(folder: RunFolder, reading: Reading) -> Mapping[str, Any]:
    """The matrices of a run by name, read when one is asked for."""
    return _Later(folder.path, reading.digest, "matrices", reading.shapes) if reading.shapes else {}


def tables(folder: RunFolder, reading: Reading) -> Mapping[str, Any]:
    """The tables of a run by name, read when one is asked for."""
    return _Later(folder.path, reading.digest, "tables") if reading.digest else {}


class _Later(Mapping[str, Any]):
    """A part of the result in a folder, if that still has the ``digest``. Of matrices the names are known."""

    def __init__(
        self, folder: Path, digest: str | None, part: str, shapes: tuple[Shape, ...] | None = None
    ) -> None:
        self._folder, self._digest, self._part = folder, digest, part
        self.shapes = shapes or ()
        self._is_named = shapes is not None

    @cached_property
    def _content(self) -> Mapping[str, Any]:
        """Raises StoreError when the result is not the one that was read before."""
        file = self._folder / RESULT
        try:
            content = file.read_bytes()
        except OSError as error:
            raise StoreError(f"{file}: cannot be read any more ({error.strerror})") from error
        if hashlib.sha256(content).hexdigest() != self._digest:
            raise StoreError(f"{file}: was changed while it was read; type the command again")
        found: Mapping[str, Any] = json.loads(content)[self._part]
        return found

    @property
    def _names(self) -> Collection[str]:
        return [shape[0] for shape in self.shapes] if self._is_named else self._content

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._content[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
