"""Workers that race for the same runs. What they import is little: eight of them do, at once."""

import random
from multiprocessing.synchronize import Barrier
from pathlib import Path

from ablate.record.rundir import RunBusy, RunFolder, State
from tests.no_scores import NO_SCORES

N_WORKERS, N_RUNS = 8, 28


def take_part(root: Path, number: int, n_rounds: int, together: Barrier) -> None:
    """One of the workers: in each round it takes what it gets until all runs have finished."""
    for round_ in range(n_rounds):
        folders = [RunFolder(path) for path in sorted((root / str(round_)).iterdir())]
        random.Random(number).shuffle(folders)
        together.wait()
        while any(train_if_free(folder, number) for folder in folders):
            pass


def train_if_free(folder: RunFolder, number: int) -> bool:
    """Whether the run may still have to be trained."""
    try:
        with folder.claim():
            if folder.status().state is not State.FINISHED:
                folder.begin()
                with (folder.path / "trained").open("a") as handle:
                    handle.write(f"{number}\n")
                folder.write_result(NO_SCORES)
                folder.end(State.FINISHED)
            return False
    except RunBusy:
        return True
