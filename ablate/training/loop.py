"""Training, from initial weights or a checkpoint to the last epoch's weights.

On a CPU the result is a function of the configuration and the data, bit for bit, however often the training
was interrupted and resumed.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ablate.config import RunConfig
from ablate.errors import DataError, NotConverged
from ablate.model.labels import training_labels
from ablate.model.mtl import Mtl
from ablate.model.seeding import generator
from ablate.training import checkpoint as checkpoints
from ablate.training.checkpoint import Progress, Row
from ablate.training.classes import without_classes
from ablate.training.step import Clips, tensor_of, training_step

if TYPE_CHECKING:
    from ablate.data.prepared import Prepared


class Interrupted(Exception):
    """``should_stop`` said so. The state is in the checkpoint, if one was asked for."""


def ignore(_row: Row) -> None:
    """Reports nothing."""


def never() -> bool:
    """Never stops."""
    return False


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
    ``without_classes(data, config)``, as its outputs are those of the other classes.

    An existing ``checkpoint`` is resumed from, and written every ``checkpoint_every_s`` seconds. ``on_epoch``
    gets a row for each epoch that was not in it: ``epoch`` (1, 2, ...), ``loss``, ``loss_scene``,
    ``loss_event`` (means over the epoch's clips; the latter two unweighted), ``grl_cosine``, ``grl_ratio``
    (measured on the epoch's last step; see ``model.reversal``), ``seconds``; None where not applicable.

    ``should_stop`` is asked before every step. Raises Interrupted when it says so, NotConverged when a loss
    or a weight is no longer finite.
    """
    data = without_classes(data, config)
    model = Mtl(config, len(data.scenes), len(data.events)).to(device)
    optimiser = torch.optim.RAdam(model.parameters(), lr=config.optim.lr, foreach=True)
    progress = Progress()
    if checkpoint:
        progress = checkpoints.restore(checkpoint, config, data, model, optimiser)
    progress.sums = progress.sums.to(device)
    saved_at = time.monotonic()

    def before_step() -> None:
        nonlocal saved_at
        stop = should_stop()
        if checkpoint and (stop or time.monotonic() - saved_at >= checkpoint_every_s):
            checkpoints.save(checkpoint, config, data, model, optimiser, progress)
            saved_at = time.monotonic()
        if stop:
            raise Interrupted(f"stopped in epoch {progress.epoch}, before step {progress.step + 1}")

    model.train()
    clips = None
    while progress.epoch <= config.optim.epochs:
        if clips is None or config.labels.redraw == "every_epoch":
            clips = _clips(config, data, progress.epoch, device)
        _train_epoch(config, clips, model, optimiser, progress, before_step)
        row = _row(config, data, model, progress)
        on_epoch(row)
        progress.history.append(row)
        progress.epoch, progress.step, progress.seconds = progress.epoch + 1, 0, 0.0
        progress.sums.zero_()
    return model


def batches(n_clips: int, batch_size: int, seed: int, epoch: int) -> list[torch.Tensor]:
    """The indices of each batch of an epoch: every clip once, the last batch with what is left."""
    order = generator(seed, "batch order", epoch).permutation(n_clips)
    return list(torch.split(torch.from_numpy(order), batch_size))


def _train_epoch(
    config: RunConfig,
    clips: Clips,
    model: Mtl,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    before_step: Callable[[], None],
) -> None:
    """Takes the steps of ``progress.epoch`` that are still to take."""
    order = batches(len(clips.scenes), config.optim.batch_size, config.seed, progress.epoch)
    for step in range(progress.step, len(order)):
        before_step()
        started = time.perf_counter()
        model.reversal.measuring = step == len(order) - 1
        batch = clips.at(order[step].to(clips.scenes.device))
        progress.sums += training_step(model, optimiser, batch, config.loss) * len(order[step])
        progress.step = step + 1
        progress.seconds += time.perf_counter() - started


def _clips(config: RunConfig, data: "Prepared", epoch: int, device: torch.device) -> Clips:
    """The development clips, with the labels of this epoch."""
    split = data.development
    if len(split) == 0:
        raise DataError(f"{data.path} has no development clips to train on")
    scenes, events = training_labels(split.scenes, split.events, len(data.scenes), config, epoch)
    return Clips(*(tensor_of(array, device) for array in (split.features, scenes, events, split.mask)))


def _row(config: RunConfig, data: "Prepared", model: Mtl, progress: Progress) -> Row:
    """What happened in the epoch that just ended. This is where its numbers leave the device."""
    total, scene, event = (progress.sums / len(data.development)).tolist()
    if not math.isfinite(total) or not all(bool(weight.isfinite().all()) for weight in model.parameters()):
        raise NotConverged(
            f"the loss or a weight is no longer finite in epoch {progress.epoch} (loss = {total}); "
            "a lower optim.lr may help"
        )
    reversal = model.reversal.reading() if model.reversed_at != "none" else None
    return {
        "epoch": progress.epoch,
        "loss": total,
        "loss_scene": scene if config.has_scene else None,
        "loss_event": event if config.has_event else None,
        "grl_cosine": reversal.cosine if reversal else None,
        "grl_ratio": reversal.ratio if reversal else None,
        "seconds": progress.seconds,
    }
