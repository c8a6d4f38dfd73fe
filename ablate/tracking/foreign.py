"""The runs of an MLflow experiment that ``ablate`` did not train, as a table. Nothing is written there."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.ground.errors import DataError
from ablate.ground.wording import suggest
from ablate.subject.sheet import Line, Sheet, places
from ablate.tracking.address import VARIABLE, is_database, without_password
from ablate.tracking.database import require_answer, sqlite_file
from ablate.tracking.problems import reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

PREFIX = "mlflow:"
DATABASE = Path("mlflow.db")  # where MLflow writes when nothing is told, and where it did before
FOLDER = Path("mlruns")
PAGE = 1000  # runs of one answer
MOST_RUNS = 100_000
ALLOW_FOLDERS = "MLFLOW_ALLOW_FILE_STORE"


def is_experiment(source: str) -> bool:
    return source.startswith(PREFIX)


def read_experiment(source: str, uri: str | None = None) -> Sheet:
    """The finished runs of ``mlflow:EXPERIMENT``, a name or an id: params, metrics and the users' tags.

    A name that is a param's and a metric's is ``params.NAME`` and ``metrics.NAME``. Of each metric it is the
    last value. ``uri`` is where MLflow is; by default what ``MLFLOW_TRACKING_URI`` says, else what MLflow
    itself would find in this folder.

    Raises DataError when there is no such experiment or MLflow cannot be read.
    """
    address = _address(uri)
    wanted = source.removeprefix(PREFIX).strip()
    # Here and not above: importing mlflow takes seconds.
    from ablate.tracking.client import FAILURES

    try:
        from mlflow import MlflowClient

        if is_database(address):
            require_answer(address)
        client = MlflowClient(address, registry_uri=address)
        experiment = _find(client, wanted, address)
        runs = list(_runs(client, str(experiment.experiment_id)))
    except FAILURES as error:
        text = str(error)
        if "out-of-date database schema" in text:
            raise DataError(
                f"{without_password(address)}: written by an older MLflow; `mlflow db upgrade ADDRESS` "
                "brings it up to date, on a copy if others use it"
            ) from error
        raise DataError(
            f"MLflow at {without_password(address)} cannot be read: {reason(error)}; "
            "name another with --tracking-uri"
        ) from error
    return _sheet(source, str(experiment.name), runs)


def _address(uri: str | None) -> str:
    """Where MLflow is. A database that is not there is not made."""
    address = (uri or os.environ.get(VARIABLE, "")).strip()
    if not address:
        if DATABASE.is_file():
            address = f"sqlite:///{DATABASE}"
        elif any(FOLDER.glob("*/meta.yaml")):
            address = str(FOLDER)
        else:
            raise DataError(
                f"where is MLflow? Name its server or database with --tracking-uri or {VARIABLE}, such as "
                "http://host:5000 or sqlite:///mlflow.db"
            )
    file = sqlite_file(address)
    if file is not None and not file.is_file():
        raise DataError(f"{without_password(address)}: no such file; name MLflow's database")
    folder = _folder(address)
    if folder is not None:
        if folder.is_file():
            raise DataError(f"{folder} is a file; write sqlite:///{folder} if it is MLflow's database")
        if not any(folder.glob("*/meta.yaml")):
            raise DataError(f"{folder}: no folder of MLflow's runs; name its server or database")
        os.environ.setdefault(ALLOW_FOLDERS, "true")  # which MLflow no longer writes, and still reads
    return address


def _folder(address: str) -> Path | None:
    """The folder that an address names, of the kind that MLflow wrote into before it had a database."""
    if address.startswith("file:"):
        return Path(address.removeprefix("file://").removeprefix("file:"))
    return None if "://" in address or address in ("databricks", "uc") else Path(address)


def _find(client: "MlflowClient", wanted: str, address: str) -> "Experiment":
    found = client.get_experiment_by_name(wanted)
    experiments = client.search_experiments()
    for experiment in experiments:
        if experiment.experiment_id == wanted and found is None:
            found = experiment
    if found is None or found.lifecycle_stage == "deleted":
        names = [str(experiment.name) for experiment in experiments]
        gone = " (it is in MLflow's bin)" if found is not None else ""
        raise DataError(
            f"no experiment '{wanted}' in MLflow at {without_password(address)}{gone}{suggest(wanted, names)}"
        )
    return found


def _runs(client: "MlflowClient", experiment: str) -> Iterator["Run"]:
    token: str | None = None
    n_runs = 0
    while True:
        page = client.search_runs(
            [experiment], max_results=PAGE, order_by=["attributes.start_time ASC"], page_token=token
        )
        n_runs += len(page)
        if n_runs > MOST_RUNS:
            raise DataError(f"the experiment has more than the {MOST_RUNS:,} runs that a study can have")
        yield from page
        token = page.token
        if not token:
            return


def _sheet(source: str, name: str, runs: list["Run"]) -> Sheet:
    params = {key for run in runs for key in run.data.params}
    metrics = {key for run in runs for key in run.data.metrics}
    both = params & metrics
    lines: list[Line] = []
    left: dict[str, list[str]] = {}
    for run in runs:
        place = f"run {run.info.run_name} ({run.info.run_id[:8]})"
        if run.info.status != "FINISHED":
            left.setdefault(str(run.info.status).lower(), []).append(place)
            continue
        cells = {
            **{key: value for key, value in _tags(run).items() if key not in params | metrics},
            **{f"params.{key}" if key in both else key: value for key, value in run.data.params.items()},
            **{f"metrics.{key}" if key in both else key: value for key, value in run.data.metrics.items()},
        }
        lines.append(Line(place, {key: _plain(value) for key, value in cells.items()}, _seconds(run)))
    if not lines:
        states = ", ".join(f"{len(found)} {state}" for state, found in left.items())
        raise DataError(f"experiment '{name}' has no finished run" + (f" ({states})" if states else ""))
    present = {key for line in lines for key in line.cells}
    tags = {key for run in runs for key in _tags(run)}
    ordered = [*sorted(params - both), *sorted(f"params.{key}" for key in both)]
    ordered += [
        *sorted(metrics - both),
        *sorted(f"metrics.{key}" for key in both),
        *sorted(tags - params - metrics),
    ]
    notes = [f"{places(found)} left out: {state}, not finished" for state, found in left.items()]
    columns = tuple(key for key in ordered if key in present)
    return Sheet(source, f"{PREFIX}{name}", columns, tuple(lines), tuple(notes))


def _tags(run: "Run") -> dict[str, str]:
    """A run's tags but for MLflow's own."""
    return {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}


def _plain(value: object) -> object:
    """A param's text without blanks around it; None for an empty one."""
    return (value.strip() or None) if isinstance(value, str) else value


def _seconds(run: "Run") -> float | None:
    start, end = run.info.start_time, run.info.end_time
    return max(0.0, (end - start) / 1000) if start and end else None
