"""What is kept of a trained network: its scores, the counts that they come from, and the weights."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from ablate.mtl import keeping
from ablate.mtl.config import RunConfig
from ablate.mtl.data.features import CLIP_FRAMES
from ablate.mtl.data.prepared import Prepared
from ablate.mtl.metrics.by_item import f_overall, f_ratios
from ablate.mtl.metrics.counts import EventCounts
from ablate.mtl.metrics.scores import SCENE_IN_DISGUISE, f_score, precision, recall, scene_counts, slugs
from ablate.mtl.model.macs import multiply_accumulates
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.network import network_files
from ablate.mtl.training.classes import without_classes
from ablate.mtl.training.evaluate import Evaluation, judge_run, outputs_of_run, scores_of
from ablate.subject.items import Items, Overall, Ratios
from ablate.subject.scores import Matrix, Scores, Table

WEIGHTS = "weights.safetensors"
SCENE_CONFUSION = "scene_confusion"
SCENES = "scenes"
EVENTS = "events"


def score(
    config: RunConfig, data: Prepared, model: Mtl, device: torch.device, *, keep_outputs: bool = True
) -> Scores:
    """Evaluates a trained network on ``data.evaluation``, or on the clips that its run holds out.

    What it says of them is kept where ``keep_outputs``.
    """
    started = time.perf_counter()
    scored = without_classes(data, config)
    split, clips, said = outputs_of_run(model, scored, config, device)
    evaluation = judge_run(said, split, clips, config)
    seconds = time.perf_counter() - started
    return Scores(
        {**scores_of(evaluation, scored, config), **counts_of(evaluation, scored.scenes, scored.events)},
        items=items_of(evaluation, scored.scenes, scored.events),
        kept={keeping.FILE: keeping.keep(said, split, clips, scored)} if keep_outputs else {},
        files={WEIGHTS: save(model.state_dict()), **network_files(config, data)},
        facts={
            "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
            "macs_10s": multiply_accumulates(model, CLIP_FRAMES),  # a clip has 10 s
        },
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


def items_of(evaluation: Evaluation, scenes: Sequence[str], events: Sequence[str]) -> Items:
    """The counts of each recording, and the scores that they make."""
    ratios: dict[str, Ratios] = {}
    overall: dict[str, Overall] = {}
    if evaluation.scenes_of is not None:
        of_scenes = scene_counts(evaluation.scenes_of)
        ratios |= {
            "scene_f": f_ratios(of_scenes, scenes),
            f"{SCENE_CONFUSION}_recall": _recall(of_scenes, scenes),
        }
        overall |= f_overall("scene")
    if evaluation.events_of is not None:
        ratios["event_f"] = f_ratios(evaluation.events_of, events)
        overall |= f_overall("event")
        if disguised := [event for event in SCENE_IN_DISGUISE if event in events]:
            overall |= f_overall("event", without=slugs(disguised))
    return Items(evaluation.recordings, ratios, overall, kind="recording")


def _recall(counts: EventCounts, labels: Sequence[str]) -> Ratios:
    hits = counts.true_positives
    return Ratios(slugs(labels), hits, hits + counts.false_negatives)


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
