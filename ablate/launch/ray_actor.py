"""A slot of a Ray cluster: an actor on some node, with a worker process of its own.

The actor trains nothing itself. It holds a ``LocalLauncher`` of one worker, so that a training that crashes,
freezes or runs out of memory takes no process of Ray's with it, and so that runs train as they do anywhere
else. When the actor ends, however it does, the worker finds its input closed, saves and leaves.
"""

import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import ray

from ablate.ground.errors import ConfigError
from ablate.ground.version import VERSION
from ablate.launch.base import Event, Kind, Task
from ablate.launch.local import WORKER, LocalLauncher
from ablate.launch.ray_cluster import UsedFolder
from ablate.launch.travel import Changes, Piece, Watched, arrive, unpack
from ablate.subject.code import digest_of, files_below, joint_digest

SCRATCH = "ablate-ray-"
HOME_EVERY_S = 3.0  # how often what a run has saved goes home, at most


@dataclass(frozen=True)
class Code:
    """The user's files that a subject is made of, as ``subject.code`` digests them."""

    entry: Path | None
    uses: tuple[Path, ...]
    folder: Path | None  # where a program runs
    digest: str

    def moved(self, root: Path) -> "Code":
        """The same code below ``root``, every file at the place that it has below ``/``."""
        return Code(
            None if self.entry is None else below(root, self.entry),
            tuple(below(root, each) for each in self.uses),
            None if self.folder is None else below(root, self.folder),
            self.digest,
        )

    def is_here(self) -> bool:
        """Whether this machine has the very same."""
        if self.folder is not None and not self.folder.is_dir():
            return False
        try:
            return digest_of(self.entry, self.uses) == self.digest
        except ConfigError:
            return False


def below(root: Path, path: Path) -> Path:
    """Where a file of the other machine lies on this one."""
    return root / place(path)


def place(path: Path) -> str:
    """The place of a file below the root of its machine."""
    return os.path.normpath(path.absolute()).lstrip("/")


@dataclass(frozen=True)
class Setup:
    """What every actor is told: what it trains, how, and how to find out whether it shares the store.

    ``token`` is the content of the file ``witness`` in the store. ``environment`` are the controller's own
    settings of this package.
    """

    name: str  # of the launcher, among all of the cluster's
    spec: Mapping[str, Any]
    device: str
    runs_per_gpu: int | None
    code: Code | None
    witness: Path
    token: str
    may_share: bool = True
    command: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hello:
    """What an actor finds on its node."""

    node: str
    host: str
    version: str
    source: str
    shares_store: bool
    has_code: bool


@cache
def source_digest() -> str:
    """The digest of this package's own code: a version under way has many."""
    files = files_below(Path(__file__).parent.parent)
    return joint_digest((name, path) for name, path in files if name.endswith(".py"))


@dataclass(frozen=True)
class Report:
    """What has happened in an actor, in its order: events, each with what of its run's folder has changed."""

    events: Sequence[tuple[Event | None, str, Changes | None]]


class Actor:
    """What Ray starts on a node. Its methods are called one after another."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._spec = dict(setup.spec)
        self._launcher: LocalLauncher | None = None
        self._scratch: Scratch | None = None
        self._away: dict[str, Watched] = {}
        self._looked_at: dict[str, float] = {}
        os.environ.update(setup.environment)

    def hello(self) -> Hello:
        code = self._setup.code
        address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        return Hello(
            node=ray.get_runtime_context().get_node_id(),
            host=f"{socket.gethostname()} ({address})",
            version=VERSION,
            source=source_digest(),
            shares_store=self._setup.may_share and self._sees_witness(),
            has_code=code is None or (self._setup.may_share and code.is_here()),
        )

    def _sees_witness(self) -> bool:
        try:
            return self._setup.witness.read_text(encoding="ascii") == self._setup.token
        except OSError:
            return False

    def warm_up(self) -> Report:
        self._local.warm_up(1)
        return Report([])

    @property
    def _local(self) -> LocalLauncher:
        if self._launcher is None:
            self._launcher = LocalLauncher(
                [self._setup.device],
                self._spec,
                self._setup.command or WORKER,
                runs_per_gpu=self._setup.runs_per_gpu,
            )
        return self._launcher

    def unpack_code(self, parcel: "Parcel") -> None:
        """Have the user's code here, and train by it. Raises ConfigError when it is not all there."""
        assert self._setup.code is not None
        root = self._own.receive(parcel)
        code = self._setup.code.moved(root)
        if code.folder is not None:
            code.folder.mkdir(parents=True, exist_ok=True)
        if not code.is_here():
            raise ConfigError("the code that the study was planned with has changed; type the command again")
        self._spec = moved_spec(self._spec, code)

    @property
    def _own(self) -> "Scratch":
        if self._scratch is None:
            self._scratch = Scratch(f"{self._setup.name}-{ray.get_runtime_context().get_node_id()[:16]}")
        return self._scratch

    def submit(self, task: Task) -> Report:
        """Train a run whose folders are here."""
        self._local.submit(task)
        return Report([])

    def submit_away(self, task: Task, run: Changes, data: "Parcel | None", source: Changes | None) -> Report:
        """Train a run whose folders are elsewhere, and are given."""
        folder = self._own.run_folder(task.folder)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        arrive(folder, run)
        weights_of = None
        if source is not None and task.weights_of is not None:
            weights_of = self._own.run_folder(task.weights_of)
            weights_of.mkdir(parents=True, exist_ok=True)
            arrive(weights_of, source)
        dataset = task.dataset if data is None else below(self._own.receive(data), task.dataset)
        self._away[task.run_id] = watched = Watched(folder)
        watched.changes()  # that is what home has
        self._looked_at[task.run_id] = time.monotonic()
        return self.submit(replace(task, folder=folder, dataset=dataset, weights_of=weights_of))

    def prune(self, run_id: str, cause: str) -> Report:
        self._local.prune(run_id, cause)
        return Report([])

    def poll(self, timeout_s: float) -> Report:
        return self._report(self._local.poll(timeout_s))

    def stop(self) -> Report:
        report = self._report([] if self._launcher is None else self._launcher.stop())
        if self._scratch is not None:
            self._scratch.leave()
        return report

    def _report(self, events: Sequence[Event]) -> Report:
        told: list[tuple[Event | None, str, Changes | None]] = []
        for event in events:
            told.append((event, event.run_id, self._changes(event)))
        told += [(None, run_id, changes) for run_id, changes in self._saved()]
        return Report(told)

    def _changes(self, event: Event) -> Changes | None:
        """What goes home with an event: all that is new of a run that begins or ends."""
        watched = self._away.get(event.run_id)
        if watched is None or event.kind is Kind.EPOCH:
            return None
        changes = watched.changes()
        if event.ends:
            del self._away[event.run_id]
            shutil.rmtree(watched.folder, ignore_errors=True)
        return changes

    def _saved(self) -> Iterator[tuple[str, Changes]]:
        """What runs under way have saved, from time to time."""
        now = time.monotonic()
        for run_id, watched in self._away.items():
            if now >= self._looked_at[run_id] + HOME_EVERY_S:
                changes = watched.changes()
                self._looked_at[run_id] = time.monotonic()
                if changes is not None:
                    yield run_id, changes


@dataclass(frozen=True)
class Parcel:
    """Files in Ray's object store: references to their blocks, and the digest that names them."""

    digest: str
    blocks: tuple[Any, ...]  # of ray.ObjectRef[list[Piece]]


class Scratch:
    """A folder of this node that the launcher's actors on it share; the last of them removes it."""

    def __init__(self, name: str) -> None:
        self._used = UsedFolder(f"{SCRATCH}{os.getuid()}-", name)
        self._root = self._used.path

    def run_folder(self, home: Path) -> Path:
        return self._root / "runs" / home.name

    def receive(self, parcel: Parcel) -> Path:
        """The folder that a parcel is unpacked in, which one of the node's actors does."""
        folder = self._root / parcel.digest
        with (self._root / f"{parcel.digest}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not folder.exists():
                draft = folder.with_suffix(".draft")
                shutil.rmtree(draft, ignore_errors=True)
                draft.mkdir()
                for reference in parcel.blocks:
                    block: list[Piece] = ray.get(reference)
                    unpack(block, draft)
                draft.rename(folder)
        return folder

    def leave(self) -> None:
        self._used.leave()


def moved_spec(spec: Mapping[str, Any], code: Code) -> dict[str, Any]:
    """A subject's spec for where its code lies now."""
    moved = {**spec, "uses": [str(each) for each in code.uses]}
    if code.folder is not None:
        moved |= {"folder": str(code.folder), "code": None if code.entry is None else str(code.entry)}
    else:
        moved |= {"path": str(code.entry)}
    return moved
