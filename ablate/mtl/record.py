"""What is kept of a trained run: its scores, what they were measured with, and the weights."""

import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors.torch import load_file, save

import ablate
from ablate.design.runs import Run
from ablate.ground.files import replacing
from ablate.mtl.data.prepared import Prepared
from ablate.mtl.metrics.counts import EventCounts
from ablate.mtl.metrics.scores import SCENE_IN_DISGUISE, Scores, event_scores, scene_scores
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.classes import without_classes
from ablate.mtl.training.evaluate import Evaluation, evaluate
from ablate.record.rundir import RunFolder


def score(run: Run, data: Prepared, model: Mtl, device: torch.device, folder: RunFolder) -> dict[str, Any]:
    """The content of ``result.json``; its keys are described at ``RunFolder.result``."""
    started = time.perf_counter()
    scored = without_classes(data, run.config)
    evaluation = evaluate(model, scored.evaluation, threshold=run.config.scoring.threshold, device=device)
    evaluation_s = time.perf_counter() - started
    return {
        "run_id": run.run_id,
        "metrics": _metrics(run, scored, evaluation),
        "scenes": scored.scenes,
        "events": scored.events,
        "scene_confusion": None if evaluation.scenes is None else evaluation.scenes.tolist(),
        "event_counts": evaluation.events
        and {name: counts.tolist() for name, counts in vars(evaluation.events).items()},
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "duration_s": sum(row["seconds"] for row in folder.history()) + evaluation_s,
        "device": _device_name(device),
        "versions": {
            "ablate": ablate.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
    }


def save_weights(model: Mtl, path: Path) -> None:
    with replacing(path, durable=True) as temporary:
        temporary.write_bytes(save(model.state_dict()))


def load_weights(run: Run, data: Prepared, path: Path) -> Mtl:
    """The trained network of a run on ``data``. Raises OSError, or what torch raises for other weights."""
    classes = without_classes(data, run.config)
    model = Mtl(run.config, len(classes.scenes), len(classes.events))
    model.load_state_dict(load_file(path))
    return model


def _metrics(run: Run, data: Prepared, evaluation: Evaluation) -> Scores:
    metrics: Scores = {}
    if evaluation.scenes is not None:
        metrics.update(scene_scores(evaluation.scenes, data.scenes))
    if evaluation.events is not None:
        metrics.update(_event_scores(run, evaluation.events, data.events))
    return metrics


def _event_scores(run: Run, counts: EventCounts, events: Sequence[str]) -> Scores:
    """As ``event_scores``; scores "without fan" also where fan was left out from the start.

    They are over the same classes, so that a run with and one without that class can be compared.
    """
    scores = event_scores(counts, events)
    if set(SCENE_IN_DISGUISE) <= set(run.config.removed_events):
        suffix = "_".join(SCENE_IN_DISGUISE)
        scores |= {f"{name}_without_{suffix}": scores[name] for name in ("event_micro_f", "event_macro_f")}
    return scores


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"
