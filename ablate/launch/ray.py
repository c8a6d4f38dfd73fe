"""A Ray cluster as launcher: actors on its nodes, each with a worker process of its own.

Actors are placed by Ray, and are given runs when they are up. What a node's death costs is what its runs had
not saved: they are reported as died, and go on in another actor. Where a node does not see the store, run
folders and data travel (see ``travel``); meanwhile the launcher holds the lease of the run's folder at home.
"""

import fcntl
import hashlib
import os
import socket
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayError, RayTaskError

from ablate.ground.errors import AblateError, ConfigError, StudyError, brief
from ablate.ground.failures import Failure, FailureKind
from ablate.ground.leases import Lease, LeaseLost, is_locked
from ablate.ground.version import VERSION
from ablate.ground.wording import count
from ablate.launch.base import Event, Kind, Launcher, Task
from ablate.launch.local import MOST_RUNS_PER_GPU, STOP_GRACE_S
from ablate.launch.ray_actor import Actor, Code, Hello, Parcel, Report, Setup, place, source_digest
from ablate.launch.ray_cluster import INSTALL, ONE_CPU, Cluster, Need
from ablate.launch.travel import arrive, blocks, whole
from ablate.record.rundir import RunBusy, RunFolder
from ablate.subject.code import files_of
from ablate.subject.interface import NO_DATA

LONG_POLL_S = 0.25  # an actor with work answers at once when something happens, and after this time anyway
LOOK_AT_NODES_S = 5.0
PATIENCE_S = 20.0  # for a first place, before it is said that there is none
SAY_AGAIN_S = 120.0
MOST_FAILED_STARTS = 3


@dataclass
class _Away:
    """A run that is trained where its folder is not: the right to write it here, and how to give it back."""

    folder: RunFolder
    held: Lease
    leaving: ExitStack


@dataclass(eq=False)
class _Slot:
    """An actor, its runs, and what it says of its node; None before it is up."""

    actor: Any
    hello: Hello | None = None
    tasks: dict[str, Task] = field(default_factory=dict)
    calls: set[Any] = field(default_factory=set)  # of ray.ObjectRef
    polling: Any = None

    @property
    def where(self) -> str:
        return "a node" if self.hello is None else f"node {self.hello.host}"

    @property
    def is_apart(self) -> bool:
        """Whether its node does not see the store."""
        return self.hello is not None and not self.hello.shares_store


class RayLauncher(Launcher):
    """At most ``workers`` actors on ``cluster``, each of which takes ``need`` of a node.

    ``spec`` and ``runs_per_gpu`` are as for ``LocalLauncher``. ``store`` is the root that nodes may see or
    not; ``may_share`` False takes it for granted that they do not. The cluster is closed when the launcher
    stops, unless ``keeps_cluster``.
    """

    def __init__(
        self,
        cluster: Cluster,
        spec: Mapping[str, Any],
        store: Path,
        *,
        workers: int | None = None,
        need: Need = ONE_CPU,
        runs_per_gpu: int | None = 1,
        command: Sequence[str] | None = None,
        may_share: bool = True,
        keeps_cluster: bool = False,
    ) -> None:
        self._cluster = cluster
        self._need = need
        self._workers = workers
        self._keeps_cluster = keeps_cluster
        self._news: list[str] = []
        self._token = uuid.uuid4().hex
        self._witness = store.absolute() / f"{_witnesses()}{self._token}"
        device = (
            ",".join(f"cuda:{index}" for index in range(max(1, round(need.gpus)))) if need.gpus else "cpu"
        )
        self._room = 1 if device == "cpu" else MOST_RUNS_PER_GPU if runs_per_gpu is None else runs_per_gpu
        self._setup = Setup(
            name=self._token[:12],
            spec=spec,
            device=device,
            runs_per_gpu=runs_per_gpu,
            code=code_of(spec),
            witness=self._witness,
            token=self._token,
            may_share=may_share,
            command=None if command is None else tuple(command),
            environment={name: value for name, value in os.environ.items() if name.startswith("ABLATE_")},
        )
        self._slots: list[_Slot] = []
        self._waiting: deque[Task] = deque()
        self._calls: dict[Any, _Slot] = {}  # by ray.ObjectRef
        self._events: list[Event] = []  # to be told by the next poll
        self._away: dict[str, _Away] = {}
        self._parcels: dict[Path | None, Parcel] = {}
        self._failed_starts = 0
        self._n_places = 1
        self._looked_at = -LOOK_AT_NODES_S
        self._patient_until = time.monotonic() + PATIENCE_S
        self._told_of_travel = False
        self._stopped = False
        self._presence = self._witness.open("w", encoding="ascii")
        fcntl.flock(self._presence, fcntl.LOCK_EX)
        self._witness.write_text(self._token, encoding="ascii")
        _remove_left(self._witness)
        self._look_at_nodes()

    # ---------------------------------------------------------------------------------------- its actors

    @property
    def slots(self) -> int:
        return self._n_actors * self._room

    @property
    def _n_actors(self) -> int:
        return max(1, self._n_places if self._workers is None else min(self._workers, self._n_places))

    def _look_at_nodes(self, *, now: bool = False) -> None:
        """Count the places again, since nodes come and go."""
        if now or time.monotonic() >= self._looked_at + LOOK_AT_NODES_S:
            self._looked_at = time.monotonic()
            self._n_places = sum(self._cluster.places(self._need))

    def warm_up(self, n_runs: int) -> None:
        while len(self._slots) < min(n_runs, self._n_actors):
            self._start()

    def _start(self) -> None:
        """Ask Ray for an actor, which it places where there is room."""
        kind = ray.remote(num_cpus=self._need.cpus, num_gpus=self._need.gpus, max_restarts=0)(Actor)
        slot = _Slot(kind.remote(self._setup))
        self._slots.append(slot)
        self._call(slot, slot.actor.hello)

    def _call(self, slot: _Slot, method: Any, *arguments: Any) -> Any:
        reference = method.remote(*arguments)
        self._calls[reference] = slot
        slot.calls.add(reference)
        return reference

    def _welcome(self, slot: _Slot, hello: Hello) -> None:
        """An actor is up: see that it is one of ours, have the code there, and its worker started.

        Raises ConfigError for a node with another version of this package.
        """
        slot.hello = hello
        self._failed_starts = 0
        self._patient_until = time.monotonic() + PATIENCE_S
        if hello.version != VERSION:
            raise ConfigError(
                f"{slot.where} has ablate {hello.version}, this machine {VERSION}; install the same on all"
            )
        if hello.source != source_digest():
            raise ConfigError(
                f"{slot.where} has ablate {VERSION} as this machine, but of other code; install the same "
                "on all"
            )
        if slot.is_apart and not self._told_of_travel:
            self._told_of_travel = True
            self._news.append(
                f"{slot.where} does not see the store: run folders and data travel to it and back"
            )
        if not hello.has_code:
            self._call(slot, slot.actor.unpack_code, self._parcel_of_code())
        self._call(slot, slot.actor.warm_up)

    # ------------------------------------------------------------------------------------------ its runs

    def submit(self, task: Task) -> None:
        weights_of = None if task.weights_of is None else task.weights_of.absolute()
        folder, dataset = task.folder.absolute(), task.dataset
        if not dataset.is_absolute() and dataset.parts:
            dataset = dataset.absolute()
        self._waiting.append(Task(folder, dataset, weights_of))
        self._place()

    def _place(self) -> None:
        """Give waiting runs to the least busy actors that are up, and start more where there is room."""
        while self._waiting:
            free = [slot for slot in self._slots if slot.hello and len(slot.tasks) < self._room]
            if not free:
                break
            self._give(min(free, key=lambda slot: len(slot.tasks)), self._waiting.popleft())
        placing = sum(slot.hello is None for slot in self._slots)
        while len(self._slots) < self._n_actors and placing * self._room < len(self._waiting):
            self._start()
            placing += 1

    def _give(self, slot: _Slot, task: Task) -> None:
        slot.tasks[task.run_id] = task
        if not slot.is_apart:
            self._call(slot, slot.actor.submit, task)
        elif not self._send(slot, task):
            del slot.tasks[task.run_id]
            return
        self._listen(slot)

    def _send(self, slot: _Slot, task: Task) -> bool:
        """Let a run's folder travel. False when another process trains it."""
        folder = RunFolder(task.folder)
        with ExitStack() as stack:
            try:
                held = stack.enter_context(folder.claim())
            except RunBusy as error:
                self._events.append(Event(Kind.BUSY, task.run_id, cause=str(error)))
                return False
            folder.sweep()
            source = None if task.weights_of is None else whole(task.weights_of)
            run, data = whole(task.folder), self._parcel_of_data(task)
            self._call(slot, slot.actor.submit_away, task, run, data, source)
            self._away[task.run_id] = _Away(folder, held, stack.pop_all())
        return True

    def _listen(self, slot: _Slot) -> None:
        """Have a call under way that answers when something happens to the slot's runs."""
        if slot.tasks and slot.polling is None and not self._stopped:
            slot.polling = self._call(slot, slot.actor.poll, LONG_POLL_S)

    def news(self) -> list[str]:
        news, self._news = self._news, []
        return news

    def prune(self, run_id: str, cause: str) -> None:
        for slot in self._slots:
            if run_id in slot.tasks:
                self._call(slot, slot.actor.prune, run_id, cause)

    # -------------------------------------------------------------------------------------- what happens

    def poll(self, timeout_s: float) -> list[Event]:
        self._look_at_nodes()
        self._place()
        self._hear(0.0 if self._events else timeout_s)
        self._place()
        self._say_what_it_waits_for()
        events, self._events = self._events, []
        return events

    def _hear(self, timeout_s: float) -> None:
        """Take what actors have answered, waiting at most ``timeout_s`` for a first answer."""
        if not self._calls:
            if self._waiting:
                time.sleep(timeout_s)
            return
        ready, _ = ray.wait(list(self._calls), num_returns=1, timeout=timeout_s)
        if ready and len(self._calls) > 1:
            ready, _ = ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0)
        for reference in ready:
            slot = self._calls.pop(reference, None)
            if slot is not None:  # its actor has not died with a call before this one
                self._take(slot, reference)

    def _take(self, slot: _Slot, reference: Any) -> None:
        slot.calls.discard(reference)
        if slot.polling == reference:
            slot.polling = None
        try:
            answer = ray.get(reference)
        except RayTaskError as error:
            self._blame(error)
        except RayError as error:
            self._lose(slot, error)
        else:
            if isinstance(answer, Hello):
                self._welcome(slot, answer)
            elif isinstance(answer, Report):
                self._tell(slot, answer)
            self._listen(slot)

    def _tell(self, slot: _Slot, report: Report) -> None:
        for event, run_id, changes in report.events:
            if run_id not in slot.tasks:
                continue
            away = self._away.get(run_id)
            if away is not None and changes is not None:
                try:
                    arrive(away.folder.path, changes, away.held.require)
                except LeaseLost as error:
                    event = Event(Kind.BUSY, run_id, cause=str(error))
                    self._call(slot, slot.actor.prune, run_id, str(error))
            if event is not None:
                if event.ends:
                    del slot.tasks[run_id]
                    self._release(run_id)
                self._events.append(event)

    def _release(self, run_id: str) -> None:
        away = self._away.pop(run_id, None)
        if away is not None:
            away.leaving.close()

    def _blame(self, error: RayTaskError) -> None:
        """What went wrong inside an actor is no loss of its node: it would go wrong again."""
        cause = error.cause
        if isinstance(cause, AblateError):
            raise cause
        if isinstance(cause, OSError):
            raise StudyError(f"a node of {self._cluster.label}: {brief(str(cause))}") from error
        raise error

    def _lose(self, slot: _Slot, error: RayError) -> None:
        """An actor has died, and its runs with it. Raises ConfigError when none can be started."""
        self._drop(slot)
        if slot.hello is None:
            self._count_failed_start(error)
        by_memory = isinstance(error, OutOfMemoryError) or "memory usage threshold" in str(error)
        kind = Kind.NO_MEMORY if by_memory else Kind.DIED
        cause = self._cause(slot, error)
        failure = Failure(self._failure_kind(slot, error, by_memory))
        for run_id in slot.tasks:
            self._release(run_id)
            self._events.append(Event(kind, run_id, cause=cause, failure=failure))
        self._look_at_nodes(now=True)

    def _drop(self, slot: _Slot) -> None:
        self._slots.remove(slot)
        for reference in slot.calls:
            self._calls.pop(reference, None)
        ray.kill(slot.actor, no_restart=True)

    def _failure_kind(self, slot: _Slot, error: RayError, by_memory: bool) -> FailureKind:
        if by_memory:
            return FailureKind.MEMORY
        is_of_node = isinstance(error, ActorUnavailableError) or self._has_lost_node(slot, error)
        return FailureKind.MACHINE if is_of_node else FailureKind.KILLED

    def _has_lost_node(self, slot: _Slot, error: RayError) -> bool:
        alive = {node.node_id for node in self._cluster.nodes()}
        return "node has died" in str(error) or (slot.hello is not None and slot.hello.node not in alive)

    def _cause(self, slot: _Slot, error: RayError) -> str:
        if isinstance(error, ActorUnavailableError):  # the cluster itself may take a minute to know why
            return f"{slot.where} died, or the connection to it was lost"
        if self._has_lost_node(slot, error):
            return f"{slot.where} died"
        return f"its actor on {slot.where} died: {brief(' '.join(str(error).split()))}"

    def _count_failed_start(self, error: RayError) -> None:
        said = " ".join(str(error).split())
        missing = said.partition("No module named ")[2]
        if missing:
            raise ConfigError(
                f"a node of {self._cluster.label} lacks {missing.split()[0]}; install ablate {VERSION} there "
                f"as here: {INSTALL}"
            )
        self._failed_starts += 1
        if self._failed_starts >= MOST_FAILED_STARTS:
            raise StudyError(f"no worker can be started on {self._cluster.label}: {brief(said)}")

    def _say_what_it_waits_for(self) -> None:
        """Tell, now and then, that runs wait and why Ray places no actor for them."""
        if not self._waiting or any(slot.hello for slot in self._slots):
            self._patient_until = max(self._patient_until, time.monotonic() + PATIENCE_S)
        elif time.monotonic() >= self._patient_until:
            self._patient_until = time.monotonic() + SAY_AGAIN_S
            self._news.append(self._reason())

    def _reason(self) -> str:
        name = "GPU" if self._need.gpus else "CPU"
        nodes = self._cluster.nodes()
        total = sum(node.resources.get(name, 0) for node in nodes)
        free = self._cluster.free().get(name, 0.0)
        return (
            f"no worker has a place on {self._cluster.label} yet: each takes {self._need}, and of its "
            f"{total:g} {name}s on {count(len(nodes), 'node')} {free:g} are free; `ray status` tells more"
        )

    # ------------------------------------------------------------------------------------- what travels

    def _parcel_of_code(self) -> Parcel:
        code = self._setup.code
        assert code is not None
        if None not in self._parcels:
            self._parcels[None] = _parcel("code", files_of(code.entry, code.uses))
        return self._parcels[None]

    def _parcel_of_data(self, task: Task) -> Parcel | None:
        if RunFolder(task.folder).run().dataset.digest == NO_DATA:
            return None
        if task.dataset not in self._parcels:
            files = sorted(path for path in task.dataset.rglob("*") if path.is_file())
            name = hashlib.sha256(os.fsencode(task.dataset)).hexdigest()[:16]
            self._parcels[task.dataset] = _parcel(name, files)
        return self._parcels[task.dataset]

    # --------------------------------------------------------------------------------------------- ends

    def stop(self) -> list[Event]:
        if self._stopped:
            return []
        self._stopped = True
        try:
            self._stop_actors()
        finally:
            for slot in list(self._slots):
                self._drop(slot)
            for run_id in list(self._away):
                self._release(run_id)
            self._witness.unlink(missing_ok=True)
            self._presence.close()
            if not self._keeps_cluster:
                self._cluster.close()
        left = "its worker left before the run began"
        self._events += [Event(Kind.INTERRUPTED, task.run_id, cause=left) for task in self._waiting]
        self._waiting.clear()
        events, self._events = self._events, []
        return events

    def _stop_actors(self) -> None:
        """Let every actor's runs save and come home; those that do not in time are given up."""
        stopping = {self._call(slot, slot.actor.stop): slot for slot in self._slots if slot.hello}
        deadline = time.monotonic() + STOP_GRACE_S + PATIENCE_S
        while any(reference in self._calls for reference in stopping) and time.monotonic() < deadline:
            self._hear(0.2)
        for slot in self._slots:
            late = "its worker did not stop in time and was killed"
            self._events += [Event(Kind.DIED, run_id, cause=late) for run_id in slot.tasks]


def _witnesses() -> str:
    """How the names of this host's witnesses begin."""
    return f".ray.{socket.gethostname()}."


def _remove_left(witness: Path) -> None:
    """Remove the witnesses of controllers of this host that were killed, of which nobody holds the lock."""
    for other in witness.parent.glob(".ray.*"):
        if other != witness and other.name.startswith(_witnesses()) and not is_locked(other):
            other.unlink(missing_ok=True)


def code_of(spec: Mapping[str, Any]) -> Code | None:
    """The user's files that a subject's spec names; None for a subject that comes with this package."""
    if spec.get("kind") not in ("script", "module"):
        return None
    is_script = spec["kind"] == "script"
    entry = spec["code"] if is_script else spec["path"]
    return Code(
        entry=None if entry is None else Path(entry),
        uses=tuple(Path(each) for each in spec["uses"]),
        folder=Path(spec["folder"]) if is_script else None,
        digest=spec["digest"],
    )


def _parcel(name: str, files: Sequence[Path]) -> Parcel:
    """Files, each at its place below the root, in the object store."""
    named = ((place(path), path) for path in files)
    return Parcel(name, tuple(ray.put(block) for block in blocks(named)))
