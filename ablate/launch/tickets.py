"""Tickets: tasks that wait as files, for whoever takes them on whatever host.

A controller and the workers of a cluster meet in a folder that all of them see:

<queue>/sheet.json            what every member must know before it takes a ticket
<queue>/waiting/              a ticket for each task that nobody has taken
<queue>/taken/<member>/       those that a member has
<queue>/members/<member>      the member's lease: it is there as long as it holds it
<queue>/events/<member>.jsonl what has happened to its runs, a line each
<queue>/pruned/<run id>       why a run is to be given up
<queue>/logs/                 what the members have printed
<queue>/refused/<member>      why a member cannot train where it is
<queue>/controller            the lease of a controller that waits for the events

A ticket changes hands by being renamed, which one process of all hosts succeeds in. Nothing here is the truth
of a run: its folder is, and its own lease guards it. A ticket that is lost is written anew, one that is taken
twice finds its run finished.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ablate.ground.errors import StoreError
from ablate.ground.files import read_json, write_json, write_text
from ablate.ground.leases import LEASE_S, holder, lease
from ablate.ground.records import Record, Text, require
from ablate.launch.base import Event, Kind, Task

SHEET = "sheet.json"
NO_PATIENCE_S = 0.0
EPOCHS_EVERY_S = 1.0


@dataclass(frozen=True)
class Sheet:
    """What a member must know: what it trains, and on what of its allocation.

    ``spec`` opens the subject; ``device``, ``workers``, ``runs_per_gpu`` and ``gpus_per_run`` are as on the
    command line. ``version`` is that of the controller's ablate. ``n_members`` share the tickets evenly.
    ``cancelled`` is the study's last cancellation when the sheet was written: a later one ends its members.
    """

    store: str
    study: str
    spec: Mapping[str, Any]
    version: str
    device: str = "auto"
    workers: int | None = None
    runs_per_gpu: int | None = None
    gpus_per_run: int = 1
    max_retries: int = 1
    n_members: int = 1
    cancelled: str | None = None


class _SheetRecord(Record):
    store: Text
    study: Text
    spec: dict[Text, Any]
    version: Text
    device: Text
    workers: int | None
    runs_per_gpu: int | None
    gpus_per_run: int
    max_retries: int
    n_members: int
    cancelled: Text | None


class _TicketRecord(Record):
    folder: Text
    dataset: Text
    weights_of: Text | None


class _EventRecord(Record):
    kind: Text
    run_id: Text
    epoch: int
    cause: Text | None
    failure: dict[str, Text | None] | None = None


@dataclass(frozen=True)
class Ticket:
    """A task that its member has taken; ``name`` is that of its file."""

    name: str
    task: Task


@dataclass
class Queue:
    """The folder of tickets. Reading never creates a file."""

    path: Path
    _place: int = field(default=0, init=False)

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def _waiting(self) -> Path:
        return self.path / "waiting"

    def open(self, sheet: Sheet) -> None:
        """Make the folder, or go on with it, and say what its members must know. Raises StoreError."""
        try:
            for name in ("waiting", "taken", "members", "events", "pruned", "refused", "logs"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            write_json(self.path / SHEET, asdict(sheet))
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written ({error.strerror or error})") from error
        self._place = 1 + max((_place_of(name) for name in self._all_tickets()), default=-1)

    def sheet(self) -> Sheet:
        """Raises StoreError when there is none to be read."""
        try:
            return Sheet(**require(_SheetRecord, read_json(self.path / SHEET)))
        except (OSError, ValueError, TypeError) as error:
            raise StoreError(f"{self.path / SHEET}: cannot be read ({error})") from error

    # What a controller does.

    def put(self, task: Task) -> None:
        """Let a task wait for a member, after those that wait already."""
        content = {
            "folder": str(task.folder.absolute()),
            "dataset": str(task.dataset.absolute()),
            "weights_of": None if task.weights_of is None else str(task.weights_of.absolute()),
        }
        (self.path / "pruned" / task.run_id).unlink(missing_ok=True)
        write_json(self._waiting / f"{self._place:08d}-{task.run_id}.json", content)
        self._place += 1

    def prune(self, run_id: str, cause: str) -> None:
        write_text(self.path / "pruned" / run_id, cause)

    def tickets(self) -> set[str]:
        """The ids of the runs that wait or are taken."""
        return {_run_of(name) for name in self._all_tickets()}

    def n_waiting(self) -> int:
        return len(_names(self._waiting))

    def withdraw(self) -> int:
        """Remove all tickets that nobody has taken; how many those were."""
        gone = 0
        for name in _names(self._waiting):
            with contextlib.suppress(FileNotFoundError):  # taken just now
                (self._waiting / name).unlink()
                gone += 1
        return gone

    def refusals(self, array: str) -> list[str]:
        """Why members of a job array cannot train, each reason once."""
        folder = self.path / "refused"
        texts = [
            (folder / name).read_text(encoding="utf-8", errors="replace")
            for name in _names(folder)
            if name.startswith(f"{array}_")
        ]
        return list(dict.fromkeys(texts))

    @contextmanager
    def controlled(self) -> Iterator[None]:
        """Members stay while a controller is there. Of several controllers one is enough to be seen."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(TimeoutError):
                stack.enter_context(lease(self.path / "controller", NO_PATIENCE_S))
            yield

    # What a member does.

    @contextmanager
    def joined(self, member: str) -> Iterator[None]:
        """Be a member while it lasts. What it has taken and not done goes back to the others.

        Raises TimeoutError when another process is that member.
        """
        # One that was begun again on another host waits until its former self has lost the lease.
        with lease(self.path / "members" / member, 1.5 * LEASE_S):
            self._give_back(member)  # of the same member before it was killed and begun again
            try:
                yield
            finally:
                self._give_back(member)

    def refuse(self, member: str, cause: str) -> None:
        """Tell the controller why this member cannot train. Raises OSError."""
        write_text(self.path / "refused" / member, cause)

    def is_controlled(self) -> bool:
        return holder(self.path / "controller") is not None

    def take(self, member: str, n: int, first: int = 0, among: int = 1) -> list[Ticket]:
        """At most ``n`` tickets for the member, and no more than its share of those that wait ``among`` all.

        It tries them in their order from the ``first`` on, so that members who look at the same moment do not
        all reach for the same one.
        """
        names = _names(self._waiting)
        start = first % len(names) if names else 0
        n = min(n, -(-len(names) // among))
        own = self.path / "taken" / member
        own.mkdir(exist_ok=True)
        found: list[Ticket] = []
        for name in [*names[start:], *names[:start]]:
            if len(found) == n:
                break
            try:
                (self._waiting / name).rename(own / name)
            except FileNotFoundError:  # another one was faster
                continue
            ticket = self._read(own / name)
            if ticket is not None:
                found.append(ticket)
        return found

    def _read(self, file: Path) -> Ticket | None:
        """None, and the ticket gone, when it is damaged: who waits for its run writes another."""
        try:
            content = require(_TicketRecord, read_json(file))
        except (OSError, ValueError):
            file.unlink(missing_ok=True)
            return None
        source = content["weights_of"]
        weights_of = None if source is None else Path(source)
        return Ticket(file.name, Task(Path(content["folder"]), Path(content["dataset"]), weights_of))

    def put_back(self, member: str, ticket: Ticket) -> None:
        """Let the others have it."""
        with contextlib.suppress(FileNotFoundError):
            (self.path / "taken" / member / ticket.name).rename(self._waiting / ticket.name)

    def done(self, member: str, ticket: Ticket) -> None:
        (self.path / "taken" / member / ticket.name).unlink(missing_ok=True)
        (self.path / "pruned" / ticket.task.run_id).unlink(missing_ok=True)

    def why_pruned(self, run_id: str) -> str | None:
        try:
            return (self.path / "pruned" / run_id).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None

    def reclaim(self) -> int:
        """Let others have what members who are gone had taken; how many tickets those were."""
        return sum(
            self._give_back(member)
            for member in _names(self.path / "taken")
            if _names(self.path / "taken" / member) and not self.is_present(member)
        )

    def _give_back(self, member: str) -> int:
        given = 0
        for name in _names(self.path / "taken" / member):
            with contextlib.suppress(FileNotFoundError):
                (self.path / "taken" / member / name).rename(self._waiting / name)
                given += 1
        return given

    def is_present(self, member: str) -> bool:
        return holder(self.path / "members" / member) is not None

    def present(self) -> list[str]:
        """The members that are there now."""
        return [member for member in self.members() if self.is_present(member)]

    def members(self) -> list[str]:
        """All that ever came."""
        return [name for name in _names(self.path / "members") if "." not in name]

    def _all_tickets(self) -> list[str]:
        taken = [
            name for member in _names(self.path / "taken") for name in _names(self.path / "taken" / member)
        ]
        return [*taken, *_names(self._waiting)]


class Outbox:
    """A member's events. They are written together, but those that somebody waits for at once."""

    def __init__(self, queue: Queue, member: str) -> None:
        self._file = queue.path / "events" / f"{member}.jsonl"
        self._lines: list[str] = []
        self._written_at = time.monotonic()

    def add(self, event: Event) -> None:
        self._lines.append(json.dumps(asdict(event)) + "\n")
        if event.kind is not Kind.EPOCH or time.monotonic() - self._written_at > EPOCHS_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Opened each time: a network file system shows others what a closed file holds."""
        if self._lines:
            with self._file.open("a", encoding="utf-8") as handle:
                handle.write("".join(self._lines))
        self._lines = []
        self._written_at = time.monotonic()


class Inbox:
    """The events of all members, each once: those that are written after it was made."""

    def __init__(self, queue: Queue) -> None:
        self._folder = queue.path / "events"
        self._read_to: dict[str, int] = {
            name: (self._folder / name).stat().st_size for name in _names(self._folder)
        }

    @property
    def members(self) -> set[str]:
        """Those that have written something, ever."""
        return {name.removesuffix(".jsonl") for name in self._read_to}

    def read(self) -> list[Event]:
        return [event for name in _names(self._folder) for event in self._read(name)]

    def _read(self, name: str) -> Sequence[Event]:
        start = self._read_to.setdefault(name, 0)
        with (self._folder / name).open("rb") as lines:
            lines.seek(start)
            whole, newline, _ = lines.read().rpartition(b"\n")
        self._read_to[name] = start + len(whole) + len(newline)
        return [event for line in whole.splitlines() if (event := _event(line)) is not None]


def _event(line: bytes) -> Event | None:
    """None for a line that a dying host has left in pieces: its run's folder says the same."""
    try:
        return Event.of(require(_EventRecord, json.loads(line)))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _names(folder: Path) -> list[str]:
    """What is in a folder but for hidden and unfinished files, in order; nothing where there is none."""
    try:
        with os.scandir(
            folder
        ) as files:  # a path for each of ten thousand tickets would take four times as long
            return sorted(file.name for file in files if not file.name.startswith("."))
    except FileNotFoundError:
        return []


def _place_of(name: str) -> int:
    place = name.partition("-")[0]
    return int(place) if place.isdecimal() else 0


def _run_of(name: str) -> str:
    return name.partition("-")[2].removesuffix(".json")
