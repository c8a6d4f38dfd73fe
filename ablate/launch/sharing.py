"""GPUs that several worker processes share: for subjects of which a process trains one run at a time.

Through CUDA MPS they compute at the same time. Without it they take turns, which rarely gains, so they share
a GPU only where the user asks for it. In both cases they are admitted as the GPU's memory allows.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from ablate.ground.errors import ConfigError
from ablate.launch import mps
from ablate.launch.admission import Door
from ablate.launch.base import Event, Task
from ablate.launch.cards import Gauge, read_cards
from ablate.launch.local import WORKER, LocalLauncher
from ablate.subject.interface import Subject

MOST_UNASKED = 8  # processes on a GPU where nobody has said how many; that more would gain was never measured
UNREADABLE = "nvidia-smi does not say how much memory is free"


@dataclass(frozen=True)
class Terms:
    """How GPUs are shared: ``devices`` has the device of each that there may be, ``why`` is for the plan.

    ``is_mps``: whether they are to compute at the same time; ``needs_mps``: whether, should that fail, there
    is to be one process a GPU.
    """

    devices: tuple[str, ...]
    why: str
    is_mps: bool = False
    needs_mps: bool = False

    @property
    def are_shared(self) -> bool:
        return len(set(self.devices)) < len(self.devices)


def launcher_of(
    subject: Subject, devices: Sequence[str], runs_per_gpu: int | None, workers: int | None
) -> LocalLauncher:
    """What trains a subject's runs on devices of this machine, in as many processes as suits it."""
    if subject.trains_together:
        return LocalLauncher(devices, subject.spec, runs_per_gpu=runs_per_gpu)
    terms = terms_of(devices, runs_per_gpu, workers)
    if terms is not None and terms.are_shared:
        return SharingLauncher(terms, subject.spec)
    return LocalLauncher(devices if terms is None else terms.devices, subject.spec)


def terms_of(devices: Sequence[str], runs_per_gpu: int | None, workers: int | None) -> Terms | None:
    """How processes may share ``devices``, such as ``cuda:0``; None where each takes no or several GPUs.

    ``runs_per_gpu`` and ``workers`` are what the user asks for: how many on each GPU at most, and how many in
    all, which ``devices`` has then. Raises ConfigError for what cannot be had.
    """
    if not all(device.removeprefix("cuda:").isdecimal() for device in devices):
        _require_no_number(devices, runs_per_gpu)
        return None
    cards = tuple(dict.fromkeys(devices))
    per_worker = None if workers is None else ceil(workers / len(cards))
    asked = min((number for number in (runs_per_gpu, per_worker) if number is not None), default=None)
    if asked == 1:
        return Terms(cards, "one run at a time on a GPU, as asked for")
    terms = _terms_on(cards, asked)
    return Terms(terms.devices[:workers], terms.why, terms.is_mps, terms.needs_mps)


def _require_no_number(devices: Sequence[str], runs_per_gpu: int | None) -> None:
    if (runs_per_gpu or 1) > 1:
        what = "runs train on the CPU" if devices[0] == "cpu" else f"a run takes several GPUs ({devices[0]})"
        raise ConfigError(f"--runs-per-gpu {runs_per_gpu}: {what}; --workers N says how many train at once")


def _terms_on(cards: tuple[str, ...], asked: int | None) -> Terms:
    """With ``asked`` processes on each, more than one; None: as is best."""
    known = read_cards(cards)
    obstacle = mps.obstacle(known.values())
    is_readable = all(card in known and known[card].free_mib is not None for card in cards)
    exclusive = [card for card, its in known.items() if its.compute_mode == "Exclusive_Process"]
    no_mps = f"no CUDA MPS here ({obstacle})"
    if asked is None and (obstacle or not is_readable):
        reason = no_mps if obstacle else f"{UNREADABLE}; --runs-per-gpu N says how many fit"
        return Terms(cards, f"one run at a time on a GPU: {reason}")
    if obstacle and exclusive:
        raise ConfigError(
            f"{exclusive[0]} takes one process at a time (compute mode Exclusive_Process), and there is "
            f"{no_mps}; leave out --runs-per-gpu and --workers"
        )
    each = asked or MOST_UNASKED
    where = f"{', '.join(cards)}: up to {each} processes{' on each' * (len(cards) > 1)}"
    way = f"taking turns, since there is {no_mps}" if obstacle else "at a time through CUDA MPS"
    how_many = "as many as its memory admits" if is_readable else f"as asked for: {UNREADABLE}"
    return Terms(
        cards * each, f"{where} {way}, {how_many}", obstacle is None, asked is None or bool(exclusive)
    )


class SharingLauncher(LocalLauncher):
    """One run a worker process, and several of these on a GPU, as ``terms`` allow and its memory admits."""

    def __init__(self, terms: Terms, spec: Mapping[str, Any], command: Sequence[str] = WORKER) -> None:
        super().__init__(terms.devices, spec, command)
        self._terms = terms
        cards = list(dict.fromkeys(terms.devices))
        free = {card: its.free_mib for card, its in read_cards(cards).items()}
        self._doors = {card: Door(terms.devices.count(card), free.get(card)) for card in cards}
        self._places: dict[str, Door] = {}  # by run id
        self._gauge: Gauge | None = None
        self._service: mps.Service | None = None

    @property
    def slots(self) -> int:
        """How many runs are admitted now."""
        return sum(door.room for door in self._doors.values())

    def _is_free(self, slot: int) -> bool:
        door = self._doors[self._devices[slot]]
        return super()._is_free(slot) and door.n_inside < door.room

    def submit(self, task: Task) -> None:
        super().submit(task)
        door = next(self._doors[self._devices[slot]] for slot in self._workers if self._has(slot, task))
        door.enter(task.run_id)
        self._places[task.run_id] = door

    def _has(self, slot: int, task: Task) -> bool:
        return task.run_id in self._workers[slot].tasks

    def _environment(self, device: str) -> dict[str, str]:
        """A worker's; with the first one begins what all of them need."""
        if self._gauge is None:
            self._gauge = Gauge(list(self._doors))
            if self._terms.is_mps:
                self._begin_service()
        served = {} if self._service is None else self._service.environment
        # cuda:1 is to be the card that nvidia-smi calls 1, also where one is faster than another.
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **super()._environment(device), **served}

    def _begin_service(self) -> None:
        try:
            self._service = mps.Service()
        except mps.MpsError as error:
            instead = (
                "one run at a time trains on a GPU" if self._terms.needs_mps else "the processes take turns"
            )
            print(f"warning: CUDA MPS does not start ({error}); {instead}", file=sys.stderr, flush=True)
            if self._terms.needs_mps:
                for door in self._doors.values():
                    door.narrow(1)

    def poll(self, timeout_s: float) -> list[Event]:
        self._read_memory()  # before the events: what a run takes is there when it has told of an epoch
        events = super().poll(timeout_s)
        for event in events:
            self._places[event.run_id].hear(event)
            if event.ends:
                del self._places[event.run_id]
        return events

    def _read_memory(self) -> None:
        for reading in self._gauge.take() if self._gauge else ():
            for card, free_mib in reading.items():
                n_processes = sum(self._devices[slot] == card for slot in self._workers)
                self._doors[card].read(free_mib, n_processes)

    def stop(self) -> list[Event]:
        try:
            return super().stop()
        finally:
            if self._gauge is not None:
                self._gauge.end()
            if self._service is not None:
                self._service.end()
