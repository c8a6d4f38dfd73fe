"""The runs that every harness trains, and what each logs of them to MLflow.

A run is ``ablate``'s own training, evaluation and scores: 40 epochs, as the quick profile has, of a network
of 1/32 width on four clips, which take a second. Runs differ in their seed.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.tracking.artifacts import TABLES_TAG, matrix_table

DATA = "tiny"  # within the folder of a measurement
SETTINGS = {"model.width": 0.03125, "optim.epochs": 40, "optim.batch_size": 4}
WEIGHTS = "weights.safetensors"
CONFUSION_PICTURE, CONFUSION_TABLE = "scene_confusion.png", "scene_confusion.json"
SCENE_TABLE, EVENT_TABLE = "scenes.json", "events.json"

OnEpoch = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Options:
    """How many runs, how many at the same time, the folder to write to, and when MLflow is told."""

    runs: int
    slots: int
    folder: Path
    at_the_end: bool = False

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.folder.resolve()}/mlflow.db"

    def shares(self) -> list[list[int]]:
        """The seeds of each slot, where they are dealt out beforehand."""
        return [list(range(slot, self.runs, self.slots)) for slot in range(self.slots)]


def options() -> Options:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--at-the-end", action="store_true")
    return Options(**vars(parser.parse_args()))


def make_data(folder: Path) -> None:
    """One clip of each scene in each split."""
    from ablate.mtl.data.prepared import prepare
    from ablate.mtl.data.soundscapes import generate

    generate(folder / DATA, minutes=4 / 6, eval_minutes=4 / 6, seed=0, workers=1)
    prepare(folder / DATA, workers=1)


@dataclass(frozen=True)
class Trained:
    """What is logged of a run once it is trained: its scores, what they were made of, and the weights."""

    scores: dict[str, float]
    confusion: Any  # (n_scenes, n_scenes) counts
    counts: dict[str, Any]  # by the name of the table: a row of TP, FP, FN for each class
    labels: dict[str, list[str]]  # by the same name
    weights: dict[str, Any]


def train_and_score(folder: Path, seed: int, on_epoch: OnEpoch = lambda _: None) -> Trained:
    """Train one run on one core. ``on_epoch`` gets each epoch's losses."""
    import torch

    from ablate.mtl.data.prepared import open_prepared
    from ablate.mtl.metrics.scores import event_scores, scene_counts, scene_scores
    from ablate.mtl.training.evaluate import evaluate
    from ablate.mtl.training.loop import train

    torch.set_num_threads(1)
    config, device = configuration(seed), torch.device("cpu")
    data = open_prepared(folder / DATA)
    model = train(config, data, device=device, on_epoch=on_epoch)
    counts = evaluate(model, data.evaluation, threshold=config.scoring.threshold, device=device)
    assert counts.scenes is not None
    assert counts.events is not None
    scores = scene_scores(counts.scenes, data.scenes) | event_scores(counts.events, data.events)
    return Trained(
        {name: value for name, value in scores.items() if value is not None},
        counts.scenes,
        {SCENE_TABLE: scene_counts(counts.scenes), EVENT_TABLE: counts.events},
        {SCENE_TABLE: data.scenes, EVENT_TABLE: data.events},
        model.state_dict(),
    )


def configuration(seed: int) -> Any:
    from ablate.mtl.definition import subject

    return subject.profile("quick").override({**SETTINGS, "seed": seed})


def train_and_log(given: Options, seed: int) -> None:
    """Train one run and log it as MLflow's guides do, a call for each thing."""
    import mlflow
    from safetensors.torch import save_file

    prepare_mlflow(given)
    with mlflow.start_run(run_name=f"seed={seed}"), tempfile.TemporaryDirectory() as name:
        config = configuration(seed)
        mlflow.log_params(config.flat())
        mlflow.log_dict(config.model_dump(), "config.json")

        def log_epoch(row: dict[str, Any]) -> None:
            mlflow.log_metrics(_numbers(row), step=int(row["epoch"]))

        trained = train_and_score(given.folder, seed, log_epoch)
        mlflow.log_metrics(_shown(trained.scores))
        mlflow.log_figure(_figure(trained), CONFUSION_PICTURE)
        for table, content in _tables(trained).items():
            columns, rows = content["columns"], zip(*content["data"], strict=True)
            mlflow.log_table(dict(zip(columns, map(list, rows), strict=True)), table)
        save_file(trained.weights, f"{name}/{WEIGHTS}")
        mlflow.log_artifact(f"{name}/{WEIGHTS}")


def train_and_log_at_the_end(given: Options, seed: int) -> None:
    """As ``train_and_log`` with the fewest calls that there are: MLflow shows no curve before the end.

    Tables and picture are ablate's own functions, faster than those of MLflow and scikit-learn.
    """
    import mlflow
    from mlflow.entities import Metric, RunTag
    from safetensors.torch import save_file

    from ablate.tracking.pictures import matrix_picture

    prepare_mlflow(given)
    points: list[Metric] = []

    def note(values: dict[str, float], epoch: int) -> None:
        points.extend(Metric(name, value, 0, epoch) for name, value in values.items())

    with mlflow.start_run(run_name=f"seed={seed}") as run, tempfile.TemporaryDirectory() as name:
        config = configuration(seed)
        mlflow.log_params(config.flat())
        trained = train_and_score(given.folder, seed, lambda row: note(_numbers(row), int(row["epoch"])))
        note(_shown(trained.scores), 0)
        tables, files = _tables(trained), Path(name)
        picture = matrix_picture(_matrix(trained), f"seed={seed}")
        picture.save(files / CONFUSION_PICTURE)
        for file, content in {**tables, "config.json": config.model_dump()}.items():
            (files / file).write_text(json.dumps(content), encoding="utf-8")
        save_file(trained.weights, files / WEIGHTS)
        mlflow.log_artifacts(name)
        shown = json.dumps([{"path": table, "type": "table"} for table in tables])
        mlflow.MlflowClient().log_batch(run.info.run_id, points, tags=[RunTag(TABLES_TAG, shown)])


def prepare_mlflow(given: Options) -> None:
    """Point MLflow to the measurement's own database, which is created if need be."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    mlflow.set_tracking_uri(given.tracking_uri)
    mlflow.set_experiment("overhead")


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    return {
        f"curves/{name}": float(value) for name, value in row.items() if value is not None and name != "epoch"
    }


def _shown(scores: dict[str, float]) -> dict[str, float]:
    """Those that ablate logs too: of the scores per class F alone."""
    return {name: value for name, value in scores.items() if _is_shown(*name.split("/"))}


def _is_shown(group: str, *of_class: str) -> bool:
    return not of_class or group.endswith("_f")


def _tables(trained: Trained) -> dict[str, dict[str, Any]]:
    """The columns and rows of each table."""
    from ablate.mtl.scoring import class_table

    tables = {name: class_table(counts, trained.labels[name]) for name, counts in trained.counts.items()}
    return {
        **{name: {"columns": table.columns, "data": table.rows} for name, table in tables.items()},
        CONFUSION_TABLE: matrix_table(_matrix(trained)),
    }


def _matrix(trained: Trained) -> dict[str, Any]:
    """The confusion as ``ablate`` records it."""
    labels = trained.labels[SCENE_TABLE]
    return {"rows": labels, "columns": labels, "counts": trained.confusion.tolist()}


def _figure(trained: Trained) -> Any:
    """The confusion matrix as scikit-learn draws it, on a figure that pyplot keeps no list of."""
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay

    figure = Figure(figsize=(6.0, 5.4), dpi=120)
    display = ConfusionMatrixDisplay(trained.confusion, display_labels=trained.labels[SCENE_TABLE])
    display.plot(ax=figure.subplots(), colorbar=False, cmap="Blues")
    return figure


def in_processes(function: Callable[[Options, list[int]], None], given: Options) -> None:
    """A long-lived process a slot, each with its share of the seeds. Raises RuntimeError when one fails."""
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=function, args=(given, share)) for share in given.shares()]
    _end(processes)


def _end(processes: Iterable[Any]) -> None:
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode != 0:
            raise RuntimeError(f"a process ended with exit code {process.exitcode}")
