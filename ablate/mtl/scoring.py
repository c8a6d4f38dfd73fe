"""What is kept of a trained network: its scores, the counts that they come from, and the weights."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import Prepared
from ablate.mtl.metrics.counts import EventCounts
from ablate.mtl.metrics.scores import (
    SCENE_IN_DISGUISE,
    event_scores,
    f_score,
    precision,
    recall,
    scene_counts,
    scene_scores,
)
from ablate.mtl.metrics.scores import Scores as Metrics
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.classes import without_classes
from ablate.mtl.training.evaluate import Evaluation, evaluate
from ablate.subject.scores import Matrix, Scores, Table

WEIGHTS = "weights.safetensors"
SCENE_CONFUSION = "scene_confusion"
SCENES = "scenes"
EVENTS = "events"


def score(config: RunConfig, data: Prepared, model: Mtl, device: torch.device) -> Scores:
    """Evaluates a trained network on ``data.evaluation``."""
    started = time.perf_counter()
    scored = without_classes(data, config)
    evaluation = evaluate(model, scored.evaluation, threshold=config.scoring.threshold, device=device)
    seconds = time.perf_counter() - started
    return Scores(
        {**_metrics(config, scored, evaluation), **counts_of(evaluation, scored.scenes, scored.events)},
        files={WEIGHTS: save(model.state_dict())},
        facts={"n_parameters": sum(parameter.numel() for parameter in model.parameters())},
        versions={"torch": torch.__version__},
        seconds=seconds,
    )


def counts_of(
    evaluation: Evaluation, scenes: Sequence[str], events: Sequence[str]
) -> dict[str, Matrix | Table]:
    """The confusion of the scenes (clips; rows true), and a table of the classes of each task."""
    found: dict[str, Matrix | Table] = {}
    if evaluation.scenes is not None:
        found[SCENE_CONFUSION] = Matrix(scenes, evaluation.scenes)
        found[SCENES] = class_table(scene_counts(evaluation.scenes), scenes)
    if evaluation.events is not None:
        found[EVENTS] = class_table(evaluation.events, events)
    return found


def class_table(counts: EventCounts, labels: Sequence[str]) -> Table:
    """A row for each class: its scores in % ("-" where undefined) and the counts that they come from."""
    columns = {
        "class": list(labels),
        "F %": _percent(f_score(counts)),
        "precision %": _percent(precision(counts)),
        "recall %": _percent(recall(counts)),
        "TP": counts.true_positives.tolist(),
        "FP": counts.false_positives.tolist(),
        "FN": counts.false_negatives.tolist(),
    }
    return Table(list(columns), [list(row) for row in zip(*columns.values(), strict=True)])


def _percent(fractions: Sequence[float | None]) -> list[float | str]:
    return ["-" if fraction is None else round(100 * fraction, 1) for fraction in fractions]


def load_weights(config: RunConfig, data: Prepared, path: Path) -> Mtl:
    """The trained network of a run on ``data``. Raises OSError, or what torch raises for other weights."""
    classes = without_classes(data, config)
    model = Mtl(config, len(classes.scenes), len(classes.events))
    model.load_state_dict(load_file(path))
    return model


def _metrics(config: RunConfig, data: Prepared, evaluation: Evaluation) -> Metrics:
    metrics: Metrics = {}
    if evaluation.scenes is not None:
        metrics.update(scene_scores(evaluation.scenes, data.scenes))
    if evaluation.events is not None:
        metrics.update(_event_scores(config, evaluation.events, data.events))
    return metrics


def _event_scores(config: RunConfig, counts: EventCounts, events: Sequence[str]) -> Metrics:
    """As ``event_scores``; scores "without fan" also where fan was left out from the start.

    They are over the same classes, so that a run with and one without that class can be compared.
    """
    scores = event_scores(counts, events)
    if set(SCENE_IN_DISGUISE) <= set(config.removed_events):
        suffix = "_".join(SCENE_IN_DISGUISE)
        scores |= {f"{name}_without_{suffix}": scores[name] for name in ("event_micro_f", "event_macro_f")}
    return scores
