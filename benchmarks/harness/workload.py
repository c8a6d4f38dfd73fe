"""The runs that every harness trains, and what each logs of them to MLflow.

A run is ``ablate``'s own training, evaluation and scores: 40 epochs, as the quick profile has, of a network
of 1/32 width on four clips, which take a second. Runs differ in their seed.
"""

import argparse
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = "tiny"  # within the folder of a measurement
SETTINGS = {"model.width": 0.03125, "optim.epochs": 40, "optim.batch_size": 4}

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
    from ablate.data.prepared import prepare
    from ablate.data.soundscapes import generate

    generate(folder / DATA, minutes=4 / 6, eval_minutes=4 / 6, seed=0, workers=1)
    prepare(folder / DATA, workers=1)


def train_and_score(folder: Path, seed: int, on_epoch: OnEpoch = lambda _: None) -> dict[str, float]:
    """Train one run on one core. Returns its scores; ``on_epoch`` gets each epoch's losses."""
    import torch

    from ablate.data.prepared import open_prepared
    from ablate.metrics.scores import event_scores, scene_scores
    from ablate.training.evaluate import evaluate
    from ablate.training.loop import train

    torch.set_num_threads(1)
    config, device = configuration(seed), torch.device("cpu")
    data = open_prepared(folder / DATA)
    model = train(config, data, device=device, on_epoch=on_epoch)
    counts = evaluate(model, data.evaluation, threshold=config.scoring.threshold, device=device)
    assert counts.scenes is not None
    assert counts.events is not None
    scores = scene_scores(counts.scenes, data.scenes) | event_scores(counts.events, data.events)
    return {name: value for name, value in scores.items() if value is not None}


def configuration(seed: int) -> Any:
    from ablate.config import override, profile

    return override(profile("quick"), {**SETTINGS, "seed": seed})


def train_and_log(given: Options, seed: int) -> None:
    """Train one run and log it as MLflow's guides do: params, losses at each epoch, scores at the end."""
    import mlflow

    prepare_mlflow(given)
    with mlflow.start_run(run_name=f"seed={seed}"):
        mlflow.log_params(configuration(seed).flat())

        def log_epoch(row: dict[str, Any]) -> None:
            mlflow.log_metrics(_numbers(row), step=int(row["epoch"]))

        scores = train_and_score(given.folder, seed, log_epoch)
        mlflow.log_metrics(_shown(scores))


def train_and_log_at_the_end(given: Options, seed: int) -> None:
    """As ``train_and_log``, with all of a run's points in one call: MLflow shows no curve before the end."""
    import mlflow
    from mlflow.entities import Metric

    prepare_mlflow(given)
    points: list[Metric] = []

    def note(values: dict[str, float], epoch: int) -> None:
        points.extend(Metric(name, value, 0, epoch) for name, value in values.items())

    with mlflow.start_run(run_name=f"seed={seed}") as run:
        mlflow.log_params(configuration(seed).flat())
        scores = train_and_score(given.folder, seed, lambda row: note(_numbers(row), int(row["epoch"])))
        note(_shown(scores), 0)
        mlflow.MlflowClient().log_batch(run.info.run_id, metrics=points)


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
