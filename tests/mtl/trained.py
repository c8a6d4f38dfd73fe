"""A network that has been trained for a moment, as a user's store has it."""

import shutil
from pathlib import Path

from ablate.record.store import Store
from tests.command import SMALL, output_of

RUN = "baseline seed=0"


def empty_store(root: Path, database: Path) -> Store:
    """A store without studies, of which MLflow has made its part already."""
    root.mkdir()
    shutil.copy(database, root / "mlflow.db")
    return Store(root)


def train(store: Store, data: Path) -> Store:
    """A store with one run of a study, trained in this process."""
    words = ["--data", data, "--launcher", "inline", "--device", "cpu", "--seeds", "1", *SMALL]
    output_of("grid", "tiny", "--levels", "grl_pos=none", *words, store=store.root)
    return store
