"""The data that runs not yet finished are to be trained on, and what killed preparations left of others."""

from collections.abc import Iterator
from pathlib import Path

from ablate.ground import leases
from ablate.ground.errors import ConfigError, DataError
from ablate.record.store import Store
from ablate.subject.interface import NO_DATA, Dataset
from ablate.subject.registry import open_subject
from ablate.upkeep.findings import Finding, Level, listed, shell
from ablate.upkeep.inventory import Inventory, KnownRun, planning_commands


def check_data(inventory: Inventory) -> Iterator[Finding]:
    """Every unfinished run's data are there, whole, and those that it was planned with."""
    waiting: dict[Dataset, list[KnownRun]] = {}
    for run in inventory.runs:
        if run.is_unfinished and run.run is not None:
            waiting.setdefault(run.run.dataset, []).append(run)
    for dataset, runs in waiting.items():
        yield from _check(inventory.store, dataset, runs)
    beside = {dataset.path.parent for dataset in waiting if inventory.store.place_of(dataset) is None}
    left = [path for folder in beside for path in _half_made_in(folder) if not is_locked(path)]
    if left:  # `ablate gc` knows of those in the store
        yield Finding(
            Level.WARNING,
            "data",
            f"left half-made by a preparation that was killed: {listed('folder', left)}",
            tuple(shell(["rm", "-r", path]) for path in left),
        )
    if not waiting and not left:
        yield Finding(Level.OK, "data", "no run is waiting for data")


def _check(store: Store, dataset: Dataset, runs: list[KnownRun]) -> Iterator[Finding]:
    path = store.locate(dataset)
    n_waiting = f"{len(runs)} run{'s' * (len(runs) > 1)}"
    commands = planning_commands(runs)
    try:
        card = store.study_card(runs[0].studies[0].name)
        found = open_subject(card.spec).data.digest(path)
    except ConfigError as error:
        text = f"{error} ({n_waiting} to train with it)"
        yield Finding(Level.PROBLEM, "data", text, commands)
        return
    except DataError as error:
        if store.place_of(dataset):
            text = f"{error} ({n_waiting} to train on it); the study's command makes these data again"
            yield Finding(Level.WARNING, "data", text, commands)
            return
        text = (
            f"{error}; {n_waiting} of data '{dataset.name}' cannot be trained: bring them back there, "
            "or type the study's command with --data DIR"
        )
        yield Finding(Level.PROBLEM, "data", text, tuple(f"{command} --data DIR" for command in commands))
        return
    if found is None or dataset.digest == NO_DATA:
        return
    if found != dataset.digest:
        text = (
            f"{path}: holds other data (digest {found}) than {n_waiting} were planned with "
            f"({dataset.digest}): bring those back, or type the command again, which plans new runs"
        )
        yield Finding(Level.PROBLEM, "data", text, commands)
        return
    yield Finding(Level.OK, "data", f"{path} is whole, and what {n_waiting} not finished were planned with")


def half_made(store: Store) -> list[Path]:
    """Folders in the store's data that a preparation or a generation fills, or has left half-filled."""
    folders = [store.data, *(path for path in _entries(store.data) if path.is_dir())]
    return [path for folder in folders for path in _half_made_in(folder)]


def _half_made_in(folder: Path) -> list[Path]:
    return [
        path
        for path in _entries(folder)
        if path.name == ".generating" or (path.name.startswith(".") and path.suffix in (".new", ".old"))
    ]


def lock_of(half: Path) -> Path:
    """The lock that whoever makes these data holds meanwhile."""
    return half.with_name(".lock") if half.name == ".generating" else half.with_suffix(".lock")


def is_locked(half: Path) -> bool:
    """Whether half-made data are being made now."""
    try:
        return leases.is_locked(lock_of(half))
    except OSError:
        return False


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder that is there; links lead elsewhere and are no part of it."""
    try:
        return sorted(path for path in folder.iterdir() if not path.is_symlink())
    except OSError:
        return []
