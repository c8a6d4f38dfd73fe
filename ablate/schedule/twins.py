"""Runs that differ only in how they are scored: one of them is trained, the others take its weights.

They are runs of their own, each with its folder and its id, so that nothing else needs to know. What they
share is the training, named by ``Run.training_id``.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ablate.design.runs import Run
from ablate.ground.errors import StoreError
from ablate.record.rundir import State
from ablate.record.store import Store


def weights_for(runs: Iterable[Run], store: Store) -> dict[str, Path]:
    """The folder of a finished run with weights for each training of ``runs`` that the store has."""
    wanted = {run.training_id for run in runs if run.scoring}
    found: dict[str, Path] = {}
    for folder in store.finished_runs() if wanted else ():
        try:
            training = folder.run().training_id
            if training in wanted and folder.status().state is State.FINISHED and folder.has_outcome():
                found[training] = folder.path
        except StoreError:  # damaged, so its weights cannot be trusted either
            continue
    return found


def to_be_trained(runs: Sequence[Run], weights: Mapping[str, Path]) -> list[Run]:
    """One of each training that has no weights yet, in the order of planning."""
    first: dict[str, Run] = {}
    for run in runs:
        if run.training_id not in weights:
            first.setdefault(run.training_id, run)
    return list(first.values())
