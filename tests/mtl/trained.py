"""A network that has been trained for a moment, as a user's store has it."""

from pathlib import Path

from ablate.record.store import Store
from tests.command import SMALL, output_of

RUN = "baseline seed=0"


def train(root: Path, data: Path, *words: object) -> Store:
    """A store with one run of a study, trained in this process."""
    here = ["--launcher", "inline", "--device", "cpu", "--seeds", "1"]
    output_of("grid", "tiny", "--levels", "grl_pos=none", "--data", data, *here, *SMALL, *words, store=root)
    return Store(root)
