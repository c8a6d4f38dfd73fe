"""``ablate.load``: a study for a notebook."""

from os import PathLike
from pathlib import Path

import pandas as pd

from ablate.analysis import query
from ablate.record.store import Store, default_root


def load(study: str | None = None, store: str | PathLike[str] | None = None) -> pd.DataFrame:
    """A study's runs as a tidy table, one row a run, in the order of planning; read from the run folders.

    ``study`` is its name, or None for the study last planned. ``store`` is the folder of all results, or None
    for ``ABLATE_STORE``, else ``./mlruns``. The columns, in this order:

        run_id, name, seed, state, cause, duration_s, dataset, dataset_digest
        a column for each factor (``grl_pos``, ``lambda``, ...): the run's level
        a column for each setting by its dotted name (``optim.lr``, ...)
        a column for each metric (``event_micro_f``, ``event_f/car``, ...): a fraction, NaN where undefined
        and in runs that have not finished
        log, mlflow_run_id

    Raises StudyError when there is no such study, StoreError that names every damaged run folder.
    """
    opened = Store(default_root() if store is None else Path(store))
    return query.frame(query.load_runs(opened, opened.choose_study(study)))
