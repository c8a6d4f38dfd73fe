"""Optuna: its BruteForceSampler in a process a slot, on a journal that they share.

With ``--at-the-end``, a run's points go to MLflow in one call.
"""

import warnings

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks.harness.workload import (
    Options,
    in_processes,
    options,
    prepare_mlflow,
    train_and_log,
    train_and_log_at_the_end,
)

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


def study(given: Options) -> optuna.Study:
    return optuna.create_study(
        study_name="overhead",
        storage=JournalStorage(JournalFileBackend(str(given.folder / "journal.log"))),
        sampler=optuna.samplers.BruteForceSampler(),
        load_if_exists=True,
    )


def train(given: Options, _: list[int]) -> None:
    log = train_and_log_at_the_end if given.at_the_end else train_and_log

    def objective(trial: optuna.Trial) -> float:
        log(given, trial.suggest_int("seed", 0, given.runs - 1))
        return 0.0

    study(given).optimize(objective)  # ends when the grid is exhausted


if __name__ == "__main__":
    asked = options()
    prepare_mlflow(asked)
    study(asked)
    in_processes(train, asked)
