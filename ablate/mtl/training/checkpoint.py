"""The state of an unfinished training: everything that its remaining steps depend on.

Random draws are functions of (seed, purpose, epoch), so no generator's state is in it. A file that is
damaged, or that belongs to another configuration, data set or version, is ignored with a warning: the run
then goes on from the one before it, or starts over, which costs time but never a wrong number.
"""

import io
import logging
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ablate.ground.files import replacing
from ablate.mtl.config import RunConfig
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.radam import RAdam

if TYPE_CHECKING:
    from ablate.mtl.data.prepared import Prepared

SCHEMA = 1  # raise it when the meaning of a saved state changes

Row = dict[str, float | int | None]

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far a training is: the next step to take, and what was measured on the way."""

    epoch: int = 1
    step: int = 0  # within the epoch
    # Of this epoch so far: the sums over clips of the losses that a step returns, and the time.
    sums: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    seconds: float = 0.0
    history: list[Row] = field(default_factory=list)  # one row for each finished epoch


def save(
    path: Path,
    config: RunConfig,
    data: "Prepared",
    model: Mtl,
    optimiser: RAdam,
    progress: Progress,
) -> None:
    """Writes the file whole or not at all, and keeps the one before it."""
    state = {
        "identity": _identity(config, data),
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "progress": vars(progress) | {"sums": progress.sums.cpu()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    torch.save(state, content)  # not into the file: what torch says of a full disk nobody understands
    with replacing(path, durable=True) as temporary:
        temporary.write_bytes(content.getbuffer())
        if path.exists():
            path.replace(_before(path))


def restore(path: Path, config: RunConfig, data: "Prepared", model: Mtl, optimiser: RAdam) -> Progress:
    """Brings the model and the optimiser to the saved state; a fresh start when there is none to use."""
    state = _load(path, config, data)
    if state is None:
        return Progress()
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return Progress(**state["progress"])


def load_history(path: Path, config: RunConfig, data: "Prepared") -> list[Row]:
    """The epochs that a resumed training will not report again: those that the checkpoint holds.

    Empty when ``train`` would start over.
    """
    state = _load(path, config, data)
    return [] if state is None else list(state["progress"]["history"])


def remove_checkpoints(path: Path) -> None:
    """Removes the file and the one before it."""
    path.unlink(missing_ok=True)
    _before(path).unlink(missing_ok=True)


def _before(path: Path) -> Path:
    """Where the checkpoint is kept that was written before the last one."""
    return path.with_name(f"{path.stem}.before{path.suffix}")


def _load(path: Path, config: RunConfig, data: "Prepared") -> dict[str, Any] | None:
    """The last state that can be used, if any."""
    states = (_read(file, config, data) for file in (path, _before(path)) if file.exists())
    return next((state for state in states if state is not None), None)


def _read(path: Path, config: RunConfig, data: "Prepared") -> dict[str, Any] | None:
    try:
        with zipfile.ZipFile(path) as archive:  # torch writes checksums, but does not check them
            if broken := archive.testzip():
                raise ValueError(f"the checksum of {broken} is wrong")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        identity = state["identity"]
        Progress(**state["progress"])
    except Exception as error:  # a damaged file makes torch raise nearly anything
        log.warning("%s is damaged and is ignored (%s)", path, error)
        return None
    if identity != _identity(config, data):
        log.warning("%s belongs to another configuration, data set or version and is ignored", path)
        return None
    return state


def _identity(config: RunConfig, data: "Prepared") -> dict[str, Any]:
    return {"schema": SCHEMA, "config": config.model_dump(), "data": data.digest}
