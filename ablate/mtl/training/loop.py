"""Training, from initial weights or a checkpoint to the last epoch's weights.

``train`` is the definition: one run, one step after the other. ``pack`` trains several runs at once and gives
the same. On a CPU the result is a function of the configuration and the data, bit for bit, however often the
training was interrupted and resumed.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.ground.errors import DataError, NotConverged
from ablate.mtl.config import RunConfig
from ablate.mtl.model.labels import training_labels
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.model.reversal import compare
from ablate.mtl.model.seeding import generator
from ablate.mtl.training import checkpoint as checkpoints
from ablate.mtl.training import precision
from ablate.mtl.training.checkpoint import Progress, Row
from ablate.mtl.training.classes import without_classes
from ablate.mtl.training.evaluate import evaluate_run, scores_of
from ablate.mtl.training.held_out import trained_on
from ablate.mtl.training.step import Clips, make_optimiser, tensor_of, training_step
from ablate.subject.interface import Interrupted, never

if TYPE_CHECKING:
    from ablate.mtl.data.prepared import Prepared


MOST_FOR_SAVING = 0.02


def ignore(_row: Row) -> None:
    """Reports nothing."""


@dataclass(frozen=True, eq=False)  # two jobs may look alike
class Job:
    """A run to train, where its state is saved, and who is told of it; see ``train``."""

    config: RunConfig
    checkpoint: Path | None = None
    on_epoch: Callable[[Row], None] = ignore
    should_stop: Callable[[], bool] = never
    checkpoint_every_s: float = 60.0


def train(
    config: RunConfig,
    data: "Prepared",
    *,
    device: torch.device,
    checkpoint: Path | None = None,
    on_epoch: Callable[[Row], None] = ignore,
    should_stop: Callable[[], bool] = never,
    checkpoint_every_s: float = 60.0,
) -> Mtl:
    """Trains on ``data.development`` and returns the network with its last weights.

    Event classes that ``config.labels.without`` names are left out here; score the network on
    ``without_classes(data, config)``, as its outputs are those of the other classes. The clips that
    ``config.validation`` holds out are not trained on.

    An existing ``checkpoint`` is resumed from, and written every ``checkpoint_every_s`` seconds, or less
    often where that would take more than ``MOST_FOR_SAVING`` of the time; 0: before every step. ``on_epoch``
    gets a row for each epoch that was not in it: ``epoch`` (1, 2, ...), ``loss``, ``loss_scene``,
    ``loss_event`` (means over the epoch's clips; the latter two unweighted), ``grl_cosine``, ``grl_ratio``
    (measured on the epoch's last step; see ``model.reversal``), ``seconds``; None where not applicable. Where
    clips are held out, also the scores on these, by their names.

    ``should_stop`` is asked before every step. Raises Interrupted when it says so, NotConverged when a loss
    or a weight is no longer finite.
    """
    job = Job(config, checkpoint, on_epoch, should_stop, checkpoint_every_s)
    training = Training(job, data, upload(data, device))
    while not training.finished:
        training.begin_epoch()
        while training.steps_left:
            training.before_step()
            started = time.perf_counter()
            training.fill()
            training.compute()
            training.advance(time.perf_counter() - started)
        training.end_epoch()
    return training.model


def batches(n_clips: int, batch_size: int, seed: int, epoch: int) -> list[Tensor]:
    """The indices of each batch of an epoch: every clip once, the last batch with what is left."""
    order = generator(seed, "batch order", epoch).permutation(n_clips)
    return list(torch.split(torch.from_numpy(order), batch_size))


class Features(NamedTuple):
    """What runs on the same data share: the clips without their labels, on one device."""

    features: Tensor  # (n_clips, frames, 64) float32
    mask: Tensor  # (n_clips, frames) uint8


def upload(data: "Prepared", device: torch.device) -> Features:
    """The development clips on the device; on a CPU they stay memory-mapped. Raises DataError for none."""
    split = data.development
    if len(split) == 0:
        raise DataError(f"{data.path} has no development clips to train on")
    return Features(tensor_of(split.features, device), tensor_of(split.mask, device))


class Kind(NamedTuple):
    """What a step does, but for the numbers: steps of the same kind are the same work for a device."""

    n_clips: int
    measuring: bool  # the reversal, on an epoch's last step


class Snapshot(NamedTuple):
    """Where a training's state lies, and what it was."""

    places: list[Tensor]
    values: list[Tensor]
    has_stepped: bool  # before its first step an optimiser has no state


class Training:
    """A job under way: its network, and all that its remaining steps depend on.

    A step is in three parts: ``fill`` says which clips it trains on, ``compute`` is the device's work, and
    ``advance`` counts it. ``compute`` never waits for the device, and all that it reads and writes stays in
    its place in memory, so that a GPU can record the step of a kind once and repeat it; see ``graphs``.

    Raises ConfigError and DataError for a configuration that the data or the device cannot serve.
    """

    def __init__(self, job: Job, data: "Prepared", shared: Features) -> None:
        config, device = job.config, shared.features.device
        precision.check(config.precision, device)
        self.job = job
        self._data = data = without_classes(data, config)
        self.model = Mtl(config, len(data.scenes), len(data.events)).to(device).train()
        self.optimiser = make_optimiser(self.model, config, device)
        self.progress = Progress()
        if job.checkpoint:
            self.progress = checkpoints.restore(job.checkpoint, config, data, self.model, self.optimiser)
        self.progress.sums = self.progress.sums.to(device)
        self._labels_of = self.progress.epoch
        scenes, events = (tensor_of(labels, device) for labels in self._labels())
        self._clips = Clips(shared.features, scenes, events, shared.mask)
        self._trained = torch.from_numpy(trained_on(data, config.validation))
        self._batches: list[Tensor] = []
        self._indices = torch.empty(config.optim.batch_size, dtype=torch.int64, device=device)
        self._reversal = torch.zeros(3, dtype=torch.float64, device=device)
        self._save_at = time.monotonic() + job.checkpoint_every_s

    @property
    def finished(self) -> bool:
        return self.progress.epoch > self.job.config.optim.epochs

    @property
    def steps_left(self) -> int:
        """Steps of this epoch that are still to take."""
        return math.ceil(len(self._trained) / self.job.config.optim.batch_size) - self.progress.step

    @property
    def kind(self) -> Kind:
        """The kind of the next step."""
        left = len(self._trained) - self.progress.step * self.job.config.optim.batch_size
        measuring = self.steps_left == 1 and self.model.reversed_at != "none"
        return Kind(min(left, self.job.config.optim.batch_size), measuring)

    def begin_epoch(self) -> None:
        """Draws the order of the clips, and new labels where they are redrawn."""
        config, epoch = self.job.config, self.progress.epoch
        order = batches(len(self._trained), config.optim.batch_size, config.seed, epoch)
        self._batches = [self._trained[batch].to(self._indices.device) for batch in order]
        if config.labels.redraw == "every_epoch" and self._labels_of != epoch:
            self._labels_of = epoch
            scenes, events = self._labels()
            # Only what is drawn is written to: true labels may lie in a file that is read-only.
            if config.fakes_scene:
                self._clips.scenes.copy_(torch.from_numpy(scenes))
            if config.fakes_event:
                self._clips.events.copy_(torch.from_numpy(events))

    def before_step(self) -> None:
        """Saves the state when it is time to. Raises Interrupted when the job is to stop."""
        job, progress = self.job, self.progress
        stop = job.should_stop()
        started = time.monotonic()
        if job.checkpoint and (stop or started >= self._save_at):
            checkpoints.save(job.checkpoint, job.config, self._data, self.model, self.optimiser, progress)
            took = time.monotonic() - started
            pause = max(job.checkpoint_every_s, took / MOST_FOR_SAVING) if job.checkpoint_every_s else 0.0
            self._save_at = started + pause
        if stop:
            raise Interrupted(f"stopped in epoch {progress.epoch}, before step {progress.step + 1}")

    def fill(self) -> None:
        """The clips of the next step."""
        batch = self._batches[self.progress.step]
        self._indices[: len(batch)].copy_(batch)

    def compute(self) -> None:
        """The device's work of the next step."""
        kind = self.kind
        self.model.reversal.measuring = kind.measuring
        batch = self._clips.at(self._indices[: kind.n_clips])
        losses = training_step(self.model, self.optimiser, batch, self.job.config)
        self.progress.sums += losses * kind.n_clips
        if kind.measuring:
            self._reversal.copy_(self.model.reversal.products())

    def advance(self, seconds: float) -> None:
        """Counts a step that was taken, and the time that it took."""
        self.progress.step += 1
        self.progress.seconds += seconds

    def end_epoch(self) -> None:
        """Reports the epoch. Raises NotConverged when a loss or a weight is no longer finite."""
        row, progress = self._row(), self.progress
        self.job.on_epoch(row)
        progress.history.append(row)
        progress.epoch, progress.step, progress.seconds = progress.epoch + 1, 0, 0.0
        progress.sums.zero_()

    def snapshot(self) -> Snapshot:
        """A copy of all that a step changes, to ``restore`` when the step fails in the middle."""
        optimiser = [tensor for state in self.optimiser.state.values() for tensor in state.values()]
        places = [*self.model.parameters(), *self.model.buffers(), *optimiser, self.progress.sums]
        return Snapshot(places, [tensor.detach().clone() for tensor in places], has_stepped=bool(optimiser))

    @torch.no_grad()
    def restore(self, snapshot: Snapshot) -> None:
        for place, value in zip(snapshot.places, snapshot.values, strict=True):
            place.copy_(value)
        if not snapshot.has_stepped:
            self.optimiser.state.clear()
        self.optimiser.zero_grad()

    def _labels(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        split = self._data.development
        return training_labels(
            split.scenes, split.events, len(self._data.scenes), self.job.config, self.progress.epoch
        )

    def _row(self) -> Row:
        """What happened in the epoch that just ended. This is where its numbers leave the device."""
        config, progress = self.job.config, self.progress
        started = time.perf_counter()
        total, scene, event = (progress.sums / len(self._trained)).tolist()
        held_out = self._held_out_scores()
        progress.seconds += time.perf_counter() - started
        finite = torch.stack([weight.isfinite().all() for weight in self.model.parameters()]).all()
        if not math.isfinite(total) or not bool(finite):
            raise NotConverged(
                f"the loss or a weight is no longer finite in epoch {progress.epoch} (loss = {total}); "
                "a lower optim.lr may help"
            )
        reversal = compare(*self._reversal.tolist()) if self.model.reversed_at != "none" else None
        return {
            "epoch": progress.epoch,
            "loss": total,
            "loss_scene": scene if config.has_scene else None,
            "loss_event": event if config.has_event else None,
            "grl_cosine": reversal.cosine if reversal else None,
            "grl_ratio": reversal.ratio if reversal else None,
            **held_out,
            "seconds": progress.seconds,
        }

    def _held_out_scores(self) -> dict[str, float | None]:
        """Those of no single class, on the clips that are held out; none where there are no such clips."""
        config = self.job.config
        if not config.validation.share:
            return {}
        evaluation = evaluate_run(self.model, self._data, config, self._clips.features.device)
        scores = scores_of(evaluation, self._data, config)
        return {name: score for name, score in scores.items() if "/" not in name}
