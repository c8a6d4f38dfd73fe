"""What a launcher does: it takes packs, and tells what became of their runs.

A launcher never imports training; it starts something that does. Every launcher passes the conformance
tests in ``tests/launch/test_conformance.py``.
"""

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ablate.ground.failures import Failure

DISK_FULL = os.strerror(errno.ENOSPC)


@dataclass(frozen=True)
class Task:
    """A run to train: its folder, and where its prepared data lie now.

    ``weights_of`` is the folder of a finished run that differs only in its scoring, if there is one.
    """

    folder: Path
    dataset: Path
    weights_of: Path | None = None

    @property
    def run_id(self) -> str:
        return self.folder.name


class Kind(StrEnum):
    """What an event tells of a run."""

    STARTED = "started"
    EPOCH = "epoch"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    PRUNED = "pruned"  # as ``Launcher.prune`` has asked for
    BUSY = "busy"  # another process is training it
    NO_MEMORY = "no_memory"  # memory ran out, or the system killed the worker, which looks the same
    DIED = "died"  # the worker ended without a word; the run can be resumed


@dataclass(frozen=True)
class Event:
    """Something that happened to a run. ``cause`` says why it failed, stopped or died.

    ``failure`` is what its launcher knows of that beside the words.
    """

    kind: Kind
    run_id: str
    epoch: int = 0
    cause: str | None = None
    failure: Failure | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Event":
        """From what ``dataclasses.asdict`` made of it. Raises ValueError, KeyError or TypeError."""
        failure = content.get("failure")
        return cls(
            Kind(content["kind"]),
            content["run_id"],
            content["epoch"],
            content["cause"],
            None if failure is None else Failure.of(failure),
        )

    @property
    def ends(self) -> bool:
        """Whether the run has left its slot."""
        return self.kind not in (Kind.STARTED, Kind.EPOCH)


class Launcher(ABC):
    """Trains tasks on a fixed number of slots."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many runs can train at the same time."""

    @property
    def capacity(self) -> int:
        """How many tasks it takes at a time: as many as ``slots``, or more, where tasks can wait for one."""
        return self.slots

    def warm_up(self, n_runs: int) -> None:  # noqa: B027 - most have nothing to do
        """Begin with what has to be there before ``n_runs`` tasks can be trained, and do not wait for it."""

    @abstractmethod
    def submit(self, task: Task) -> None:
        """Take a task, for a free slot. Call only when fewer than ``capacity`` tasks are under way."""

    def prune(self, run_id: str, cause: str) -> None:  # noqa: B027 - without it, runs go on to their ends
        """Ask for a run under way to be given up; it saves where it is. One that has just ended has ended."""

    @abstractmethod
    def poll(self, timeout_s: float) -> list[Event]:
        """What has happened since the last call, waiting at most ``timeout_s`` for something to happen."""

    def news(self) -> list[str]:
        """What a reader should know of where the runs train, in sentences: what is new."""
        return []

    def leave(self) -> str | None:
        """Have the runs go on without this process, where that is possible; then ``stop`` ends nothing.

        Returns what a reader is told of it, or None: they end with ``stop``.
        """
        return None

    @abstractmethod
    def stop(self) -> list[Event]:
        """Let every run save where it is, end all workers, and tell what became of their runs."""
