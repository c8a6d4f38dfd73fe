"""Run folders as a worker would leave them, without training: real files with plausible numbers."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ablate.design.runs import Run, SubjectRef
from ablate.mtl.config import RunConfig
from ablate.mtl.data.vocabulary import EVENTS, SCENES
from ablate.mtl.definition import subject
from ablate.mtl.metrics.counts import EventCounts
from ablate.mtl.metrics.scores import event_scores, scene_scores
from ablate.mtl.scoring import WEIGHTS, counts_of
from ablate.mtl.training.evaluate import Evaluation
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from ablate.subject.interface import Dataset
from ablate.subject.scores import Matrix, Table
from ablate.subject.settings import Settings

CARD = subject.card
BASE = Settings(RunConfig().flat())
DATASET = Dataset("toy", "d1" * 8, Path("data/toy"))


def make_run(
    name: str = "baseline",
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    condition: Mapping[str, Any] | None = None,
    dataset: Dataset = DATASET,
) -> Run:
    """A run of the default configuration with some settings replaced, such as ``{"grl.position": "S1"}``."""
    return run_of(RunConfig(seed=seed).override(settings or {}), dataset, name, condition)


def run_of(
    config: RunConfig,
    dataset: Dataset = DATASET,
    name: str = "baseline",
    condition: Mapping[str, Any] | None = None,
) -> Run:
    """A run of a configuration."""
    settings, scoring = Settings(config.flat()), tuple(subject.scoring)
    return Run(settings, dataset, name, dict(condition or {}), SubjectRef(subject.name), scoring)


def make_result(run: Run, scene_skill: float = 0.85, event_skill: float = 0.45) -> dict[str, Any]:
    """A result whose counts fit its scores. The same run has the same result, and seeds scatter a little.

    ``scene_skill`` is about the scene micro F and ``event_skill`` about the event micro F.
    """
    # By its name, as its id changes with every new setting of the configuration.
    rng = np.random.default_rng(zlib.crc32(f"a {run.name} {run.seed}".encode()))
    config = subject.configure(run.config)
    scenes = _confusion(rng, scene_skill) if config.has_scene else None
    events = _event_counts(rng, event_skill) if config.has_event else None
    of_all = (
        None if events is None else _of_one_recording(events),
        None if scenes is None else scenes[None],
    )
    counts = counts_of(Evaluation(("all.wav",), *of_all), SCENES, EVENTS)
    return {
        "metrics": {
            **({} if scenes is None else scene_scores(scenes, SCENES)),
            **({} if events is None else event_scores(events, EVENTS)),
        },
        "matrices": {name: each.to_json() for name, each in counts.items() if isinstance(each, Matrix)},
        "tables": {name: each.to_json() for name, each in counts.items() if isinstance(each, Table)},
        "files": [WEIGHTS],
        "facts": {"n_parameters": 12345},
        "unread": [],
        "duration_s": 60.0 + 10 * rng.random(),
        "device": "cpu",
        "versions": {"ablate": "0.1.0"},
    }


def _of_one_recording(counts: EventCounts) -> EventCounts:
    return EventCounts(*(each[None] for each in vars(counts).values()))


def _confusion(rng: np.random.Generator, skill: float) -> Any:
    n = len(SCENES)
    shares = np.full((n, n), (1 - skill) / (n - 1))
    np.fill_diagonal(shares, skill)
    return np.stack([rng.multinomial(110, row) for row in shares]).astype(np.int64)


def _event_counts(rng: np.random.Generator, skill: float) -> EventCounts:
    frames = rng.integers(200, 20_000, len(EVENTS))
    recalls = np.clip(skill + 0.02 * rng.standard_normal() + np.linspace(-0.2, 0.2, len(EVENTS)), 0, 1)
    true_positives = (frames * recalls).astype(np.int64)
    missed = frames - true_positives
    false_alarms = (missed * rng.uniform(0.5, 1.2, len(EVENTS))).astype(np.int64)
    return EventCounts(true_positives, false_alarms, missed)


def make_history(run: Run, epochs: int) -> list[dict[str, Any]]:
    """One row an epoch as training writes it: falling losses, and the gradient evidence where one reverses.

    The same run has the same history, and seeds scatter a little.
    """
    # By its name, as its id changes with every new setting of the configuration.
    rng = np.random.default_rng(zlib.crc32(f"a {run.name} {run.seed}".encode()))
    config = subject.configure(run.config)
    decay = np.exp(-np.arange(epochs) / max(2, epochs / 4)) * rng.uniform(0.9, 1.1, epochs)
    scene = (0.1 + 1.3 * decay).tolist() if config.has_scene else [None] * epochs
    event = (0.05 + 0.5 * decay).tolist() if config.has_event else [None] * epochs
    reversed_ = config.grl.position != "none"
    return [
        {
            "epoch": epoch + 1,
            "loss": config.loss.alpha * (scene[epoch] or 0) + config.loss.beta * (event[epoch] or 0),
            "loss_scene": scene[epoch],
            "loss_event": event[epoch],
            "grl_cosine": -1.0 if reversed_ and config.grl.strength > 0 else None,
            "grl_ratio": config.grl.strength if reversed_ else None,
            "seconds": 1.0,
        }
        for epoch in range(epochs)
    ]


def fabricate_run(
    store: Store,
    run: Run,
    *,
    state: State = State.FINISHED,
    cause: str | None = None,
    metrics: Mapping[str, float | None] | None = None,
    scene_skill: float = 0.85,
    event_skill: float = 0.45,
    epochs: int = 3,
) -> RunFolder:
    """A run's folder in any state but running. ``metrics`` replaces the scores of a finished run.

    Its weights are some bytes.
    """
    folder = store.folder(run.run_id)
    folder.create(run)
    if state is State.PENDING:
        return folder
    folder.begin()
    folder.log_file.write_text(f"{run.name}, seed {run.seed}\n", encoding="utf-8")
    folder.write_history(make_history(run, epochs))
    if state is State.FINISHED:
        result = make_result(run, scene_skill, event_skill)
        (folder.path / WEIGHTS).write_bytes(b"weights")
        folder.write_result(result if metrics is None else {**result, "metrics": dict(metrics)})
    folder.end(state, cause)
    return folder


def fabricate_study(store: Store, study: str, runs: Sequence[Run], **how: Any) -> None:
    """A study of runs that are all in one state; ``how`` as for ``fabricate_run``."""
    store.require_writable()
    for run in runs:
        fabricate_run(store, run, **how)
    add_runs(store, study, runs)


def add_runs(store: Store, study: str, runs: Sequence[Run]) -> None:
    store.require_writable()
    store.add_to_study(study, runs, "ablate grid", card=CARD, base=BASE)
