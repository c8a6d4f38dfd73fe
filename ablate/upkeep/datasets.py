"""The data that runs not yet finished are to be trained on, and what killed preparations left of others."""

from collections.abc import Iterator
from pathlib import Path

from ablate.design.runs import Dataset
from ablate.ground import leases
from ablate.ground.errors import DataError
from ablate.record.store import Store
from ablate.upkeep.findings import Finding, Level, listed, shell
from ablate.upkeep.inventory import Inventory, KnownRun, planning_commands


def check_data(inventory: Inventory) -> Iterator[Finding]:
    """Every unfinished run's data are there, whole, and those that it was planned with."""
    waiting: dict[Dataset, list[KnownRun]] = {}
    for run in inventory.runs:
        if run.is_unfinished and run.run is not None:
            waiting.setdefault(run.run.dataset, []).append(run)
    for dataset, runs in waiting.items():
        yield _check(inventory.store, dataset, runs)
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


def _check(store: Store, dataset: Dataset, runs: list[KnownRun]) -> Finding:
    from ablate.mtl.data.prepared import open_prepared

    path = store.locate(dataset)
    n_waiting = f"{len(runs)} run{'s' * (len(runs) > 1)}"
    commands = planning_commands(runs)
    try:
        found = open_prepared(path)
    except DataError as error:
        if store.place_of(dataset):
            text = f"{error} ({n_waiting} to train on it); the study's command makes these data again"
            return Finding(Level.WARNING, "data", text, commands)
        text = (
            f"{error}; {n_waiting} of data '{dataset.name}' cannot be trained: bring them back there, "
            "or type the study's command with --data DIR"
        )
        return Finding(Level.PROBLEM, "data", text, tuple(f"{command} --data DIR" for command in commands))
    if found.digest != dataset.digest:
        text = (
            f"{path}: holds other data (digest {found.digest}) than {n_waiting} were planned with "
            f"({dataset.digest}): bring those back, or type the command again, which plans new runs"
        )
        return Finding(Level.PROBLEM, "data", text, commands)
    return Finding(Level.OK, "data", f"{path} is whole, and what {n_waiting} not finished were planned with")


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
