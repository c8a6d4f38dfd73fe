"""``ablate.load``: a study for a notebook."""

import pandas as pd

from ablate.analysis import query
from ablate.record.opening import StorePath, StudyName, open_study
from ablate.record.store import Store


def load(study: StudyName = None, store: StorePath | Store = None) -> pd.DataFrame:
    """A study's runs as a tidy table, one row a run, in the order of planning; read from the run folders.

    ``study`` is its name, the file of a bundle, or None for the study last planned. ``store`` is the folder
    of all results, or None for ``ABLATE_STORE``, else ``./mlruns``. The columns, in this order:

        run_id, name, seed, state, cause, duration_s, dataset, dataset_digest
        a column for each factor (``grl_pos``, ``lambda``, ...): the run's level
        a column for each setting by its dotted name (``optim.lr``, ...)
        a column for each metric (``event_micro_f``, ``event_f/car``, ...): a fraction, NaN where undefined
        and in runs that have not finished
        log, mlflow_run_id

    Raises StudyError when there is no such study, StoreError that names every damaged run folder.
    """
    return query.frame(query.load_runs(*open_study(study, store)))
