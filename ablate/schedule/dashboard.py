"""A search as a study of Optuna's, for ``optuna-dashboard``: a copy, which can be made again at any time.

Trials are added as they end, so that Optuna's own numbers are in the order of their ends; ours stand beside
each as ``trial``.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from ablate.design.space import Space
from ablate.schedule.search import DIRECTIONS, distribution, quiet


@dataclass(frozen=True)
class Ended:
    """A trial that has ended: ``values`` of the objectives, or None where it was ``pruned`` or has failed."""

    number: int
    name: str
    draws: Mapping[str, Any]
    runs: Sequence[str]
    values: Sequence[float] | None
    pruned: bool
    curve: Mapping[int, float]


def copy_to(
    file: Path, study: str, objectives: Mapping[str, str], space: Space, ended: Iterable[Ended]
) -> None:
    """Add to the copy in ``file`` what it lacks.

    Raises whatever Optuna does for a file that it cannot use, such as one of another version.
    """
    _require_journal(file)
    with quiet():
        copy = optuna.create_study(
            study_name=study,
            storage=JournalStorage(JournalFileBackend(str(file))),
            directions=[DIRECTIONS[best] for best in objectives.values()],
            load_if_exists=True,
        )
        copy.set_metric_names(list(objectives))
        known = {trial.user_attrs.get("trial") for trial in copy.get_trials(deepcopy=False)}
        for trial in ended:
            if trial.number not in known:
                copy.add_trial(_frozen(trial, space))


def _require_journal(file: Path) -> None:
    """Raises ValueError for a file that is none of Optuna's, to which it would append all the same."""
    if file.exists():
        with file.open(encoding="utf-8") as lines:
            first = lines.readline()
        if first and "op_code" not in json.loads(first):
            raise ValueError("not written by Optuna")


def _frozen(trial: Ended, space: Space) -> optuna.trial.FrozenTrial:
    state = TrialState.PRUNED if trial.pruned else TrialState.FAIL
    return optuna.trial.create_trial(
        state=state if trial.values is None else TrialState.COMPLETE,
        values=trial.values,
        params=dict(trial.draws),
        distributions={
            dimension.name: distribution(dimension)
            for dimension in space.dimensions
            if dimension.name in trial.draws
        },
        user_attrs={"trial": trial.number, "condition": trial.name, "runs": list(trial.runs)},
        intermediate_values=dict(trial.curve),
    )
