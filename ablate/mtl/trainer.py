"""Trains the subject's runs: those on the same data in one pack on one device."""

import functools
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from ablate.ground.errors import AblateError, DataError
from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import Prepared, open_prepared
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.scoring import WEIGHTS, load_weights, score
from ablate.mtl.training import loop
from ablate.mtl.training.capacity import best_width
from ablate.mtl.training.checkpoint import load_history, remove_checkpoints
from ablate.mtl.training.graphs import is_out_of_memory, ways_of
from ablate.mtl.training.pack import Pack
from ablate.subject.interface import Dataset, Job, Outcome, Source, Subject, Trainer
from ablate.subject.reading import watched
from ablate.subject.scores import Scores
from ablate.subject.settings import Settings

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class _Run:
    """A run under way: as the harness gave it, its configuration, and which settings were read of it."""

    job: Job
    config: RunConfig
    seen: set[str]
    data: Prepared


class PackTrainer(Trainer):
    """Trains all runs that were begun at once, those on the same data in one pack, whose clips they share."""

    def __init__(self, subject: Subject, device: str) -> None:
        self._subject = subject
        self._device = torch.device(device)
        self._packs: dict[Path, Pack] = {}  # by data set
        self._runs: dict[Path, _Run] = {}  # by checkpoint, which tells jobs apart
        self._ended: list[tuple[Job, Outcome]] = []

    def begin(self, job: Job) -> None:
        config, seen = watched(self._configure(job.settings))
        data = _data(job.data.path)
        if data.digest != job.data.digest:
            raise DataError(
                f"{job.data.path}: the data have changed since the run was planned; plan it again"
            )
        run = _Run(job, config, seen, data)
        model = self._take_over(run, job.source) if job.source is not None else None
        if model is not None:
            self._ended.append((job, functools.partial(self._score, run, model)))
            return
        checkpoint = job.folder / CHECKPOINT
        job.resumed(load_history(checkpoint, config, data))
        self._runs[checkpoint] = run
        job.log.info("training %s on %s", job.title, self._device)
        training = loop.Job(config, checkpoint, job.report, job.should_stop, job.save_every_s)
        self._pack(job.data.path, data).admit(training)

    def advance(self) -> list[tuple[Job, Outcome]]:
        for path, pack in list(self._packs.items()):
            pack.train_epoch()
            for training, outcome in pack.take_ended():
                assert training.checkpoint is not None
                self._end(self._runs.pop(training.checkpoint), outcome)
            if not pack.members:
                del self._packs[path]  # and its clips from the device's memory
        ended, self._ended = self._ended, []
        return ended

    def width(self, settings: Settings, data: Dataset) -> int:
        return best_width(self._configure(settings), _data(data.path), device=self._device)

    def tidy(self, folder: Path) -> None:
        remove_checkpoints(folder / CHECKPOINT)

    def is_out_of_memory(self, error: BaseException) -> bool:
        return is_out_of_memory(error)

    @property
    def device_name(self) -> str:
        if self._device.type == "cuda":
            return torch.cuda.get_device_name(self._device)
        return f"cpu ({platform.machine()})"

    def _configure(self, settings: Settings) -> RunConfig:
        config = self._subject.configure(settings)
        assert isinstance(config, RunConfig)
        return config

    def _pack(self, path: Path, data: Prepared) -> Pack:
        """The runs on the same data."""
        if path not in self._packs:
            self._packs[path] = Pack(data, loop.upload(data, self._device), ways_of(self._device))
        return self._packs[path]

    def _end(self, run: _Run, outcome: Mtl | Exception) -> None:
        if isinstance(outcome, Exception):
            self._ended.append((run.job, outcome))
        else:
            self._ended.append((run.job, functools.partial(self._score, run, outcome)))

    def _score(self, run: _Run, model: Mtl) -> Scores:
        scores = score(run.config, run.data, model, self._device, keep_outputs=not run.job.lean)
        scores.unread = tuple(name for name in run.job.settings.values if name not in {*run.seen, "seed"})
        return scores

    def _take_over(self, run: _Run, source: Source) -> Mtl | None:
        """The network of a finished run, whose history becomes the run's. None to train it."""
        job = run.job
        try:
            model = load_weights(run.config, run.data, source.folder / WEIGHTS).to(self._device)
        except (AblateError, OSError, RuntimeError) as error:
            job.log.info("the weights in %s cannot be used: %s", source.folder, error)
            return None
        job.resumed(source.history)
        job.log.info("scoring %s with the weights of run %s", job.title, source.folder.name)
        return model


@functools.lru_cache(maxsize=4)
def _data(path: Path) -> Prepared:
    return open_prepared(path)


def set_up(device: str) -> None:
    """As many threads of torch as a worker is to have."""
    if device == "cpu":
        torch.set_num_threads(1)
