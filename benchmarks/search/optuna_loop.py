"""Optuna's own way: a process a worker calls ``study.optimize`` on one journal file, ``optuna.log``."""

import json
import subprocess
import sys
import time

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from ablate.schedule.search import MAKE_SAMPLER, SAMPLERS
from benchmarks.search.commands import NAME


def objective(trial: optuna.Trial, seconds: float) -> float:
    x, y = trial.suggest_float("x", 0.01, 10, log=True), trial.suggest_float("y", 0, 1)
    time.sleep(seconds)
    return -((x - 0.3) ** 2) - (y - 0.7) ** 2


def main() -> None:
    """With a worker's number the worker; without one it starts them all, and waits."""
    given = json.loads(sys.argv[1])
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend("optuna.log"))
    if len(sys.argv) == 2:
        optuna.create_study(study_name=NAME, storage=storage, direction="maximize")
        command = [sys.executable, "-m", "benchmarks.search.optuna_loop", sys.argv[1]]
        workers = [subprocess.Popen([*command, str(number)]) for number in range(given["workers"])]
        sys.exit(max(abs(worker.wait()) for worker in workers))
    sampler = MAKE_SAMPLER[given["sampler"]](seed=int(sys.argv[2]), **SAMPLERS[given["sampler"]])
    study = optuna.load_study(study_name=NAME, storage=storage, sampler=sampler)
    share = given["trials"] // given["workers"]
    study.optimize(lambda trial: objective(trial, given["seconds"]), n_trials=share)


if __name__ == "__main__":
    main()
