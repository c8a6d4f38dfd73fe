"""Long-lived worker processes on this machine: each imports what it needs once and trains many runs.

The protocol is one JSON object a line: tasks go to a worker's standard input, events come from its
standard output. A worker whose input ends saves where it is and leaves, so that a controller that dies,
however it dies, leaves nobody behind. Between events a worker sends empty lines as a sign of life; one that
is silent for long, since it is frozen, is killed, and its run goes to another.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any

from ablate.ground.failures import Failure, failure_told, kind_of_end
from ablate.ground.machine import ONE_THREAD, killed_for_memory, memory_kills
from ablate.launch.base import Event, Kind, Launcher, Task

STOP_GRACE_S = 30.0  # to finish the step at hand and write a checkpoint
SILENCE_S = float(os.environ.get("ABLATE_WORKER_SILENCE_S", "60"))
MOST_RUNS_PER_GPU = 32
SILENCES_AT_FIRST = 5  # importing torch from a slow disk lets nothing else run
WORKER = (sys.executable, "-m", "ablate.worker")


@dataclass
class _Worker:
    """One process, its runs, and the unfinished line of its output."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    tasks: dict[str, Task] = field(default_factory=dict)  # by run id
    begun: set[str] = field(default_factory=set)
    leaving: bool = False  # it was asked to stop, by whomever
    unread: bytes = field(default=b"", repr=False)
    patience_s: float = field(default_factory=lambda: SILENCES_AT_FIRST * SILENCE_S)
    heard_at: float = field(default_factory=time.monotonic)
    killed_for: str | None = None
    memory_kills: int | None = field(default_factory=memory_kills)  # when it began

    def send(self, task: Task) -> None:
        self.tasks[task.run_id] = task
        weights_of = None if task.weights_of is None else str(task.weights_of)
        self._tell({"folder": str(task.folder), "dataset": str(task.dataset), "weights_of": weights_of})

    def prune(self, run_id: str, cause: str) -> None:
        self._tell({"prune": run_id, "cause": cause})

    def _tell(self, content: Mapping[str, Any]) -> None:
        line = json.dumps(content)
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is dead; its output ends too, and poll tells
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()

    def read(self) -> tuple[list[Event], bool]:
        """The events that have arrived, and whether the output has ended."""
        assert self.process.stdout is not None
        chunk = os.read(self.process.stdout.fileno(), 1 << 16)
        self.listen()
        self.patience_s = SILENCE_S
        *lines, self.unread = (self.unread + chunk).split(b"\n")
        events = [_event(line) for line in lines if line]
        for event in events:
            self.begun.add(event.run_id)
            self.leaving |= event.kind is Kind.INTERRUPTED
            if event.ends:
                self.begun.discard(event.run_id)
                self.tasks.pop(event.run_id, None)
        return events, not chunk

    def read_rest(self) -> list[Event]:
        """The events that an ended worker has left, whoever else still has hold of its output."""
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        events: list[Event] = []
        ended = False
        with contextlib.suppress(BlockingIOError):
            while not ended:
                arrived, ended = self.read()
                events += arrived
        return events

    def has_ended(self) -> bool:
        """Whether the process has ended. Its output may be open all the same, in a process that it forked."""
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return self.process.poll() is not None
        return self._wait(os.WNOHANG)

    def _wait(self, options: int) -> bool:
        """Wait for its end without burying it, which keeps its number from being given to another one."""
        try:
            return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT | options) is not None
        except ChildProcessError:
            return True

    def _end_group(self) -> None:
        """When it has ended, end what its trainings have left running."""
        if hasattr(os, "waitid"):
            self._wait(0)
        else:
            self.process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def listen(self) -> None:
        """Count its silence from now."""
        self.heard_at = time.monotonic()

    def kill(self, reason: str) -> None:
        self.killed_for = reason
        self.process.kill()

    def bury(self) -> list[Event]:
        """Close what is left of an ended worker; the runs that it had not ended have died with it.

        Those that it had not begun when it left in peace are as they were.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._end_group()
        code = self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        words = self._last_words()
        self.errors.close()
        cause = self.killed_for or f"its worker ended {_describe(code)}{words}"
        # The system kills what takes too much memory, and does not say so.
        by_system = code == -signal.SIGKILL and self.killed_for is None
        kind = Kind.NO_MEMORY if by_system else Kind.DIED
        lost = Event(kind, "", cause=cause, failure=self._failure(code, cause))
        left = Event(Kind.INTERRUPTED, "", cause="its worker left before the run began")
        return [
            replace(left if code == 0 and run_id not in self.begun else lost, run_id=run_id)
            for run_id in self.tasks
        ]

    def _failure(self, code: int, cause: str) -> Failure:
        if self.killed_for is not None:
            return failure_told(cause)
        kind = kind_of_end(code, no_memory=killed_for_memory(self.memory_kills))
        return failure_told(cause) if kind is None else Failure(kind)

    def _last_words(self) -> str:
        """The last line that a worker said before it took up a run, such as a failed import."""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""


class LocalLauncher(Launcher):
    """One worker process for each entry of ``devices``, started when there is something to do for it.

    ``spec`` says what they train, as ``subject.registry`` opens it. A worker on a GPU trains ``runs_per_gpu``
    runs at once; None: as many as it finds to be fastest there.
    """

    def __init__(
        self,
        devices: Sequence[str],
        spec: Mapping[str, Any],
        command: Sequence[str] = WORKER,
        *,
        runs_per_gpu: int | None = 1,
    ) -> None:
        self._devices = list(devices)
        self._spec = json.dumps(spec)
        self._runs_per_gpu = runs_per_gpu
        self._command = list(command)
        self._workers: dict[int, _Worker] = {}
        self._selector = selectors.DefaultSelector()
        self._polled_at = time.monotonic()

    @property
    def slots(self) -> int:
        return sum(map(self._room, self._devices))

    def _room(self, device: str) -> int:
        """How many runs a worker is given at a time; it may let some of them wait."""
        if device == "cpu":
            return 1
        return MOST_RUNS_PER_GPU if self._runs_per_gpu is None else self._runs_per_gpu

    def warm_up(self, n_runs: int) -> None:
        for slot in range(min(n_runs, self.slots, len(self._devices))):
            self._worker(slot)

    def submit(self, task: Task) -> None:
        free = [slot for slot in range(len(self._devices)) if self._is_free(slot)]
        # The least busy one, on the least busy device; a worker that is up has paid for importing torch.
        slot = min(free, key=lambda slot: (self._load(slot), self._load_of(slot), slot not in self._workers))
        self._worker(slot).send(task)

    def prune(self, run_id: str, cause: str) -> None:
        for worker in self._workers.values():
            if run_id in worker.tasks:
                worker.prune(run_id, cause)

    def _load(self, slot: int) -> int:
        return len(self._workers[slot].tasks) if slot in self._workers else 0

    def _is_free(self, slot: int) -> bool:
        return self._load(slot) < self._room(self._devices[slot])

    def _load_of(self, slot: int) -> int:
        """How many runs there are on the slot's device, by all its workers."""
        device = self._devices[slot]
        return sum(self._load(other) for other, its in enumerate(self._devices) if its == device)

    def _worker(self, slot: int) -> _Worker:
        """The slot's worker, started if need be."""
        if slot not in self._workers:
            self._workers[slot] = self._start(slot)
        return self._workers[slot]

    def _start(self, slot: int) -> _Worker:
        device = self._devices[slot]
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed when the worker is buried
        process = subprocess.Popen(
            [*self._command, "--subject", self._spec, "--device", device, *self._width(device)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=self._environment(device),
            # Ctrl-C in the terminal is the controller's to handle. Not a new session: in this one the system
            # wakes a frozen worker when its controller dies, so that it can leave.
            process_group=0,
        )
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, slot)
        return _Worker(process, errors)

    def _environment(self, device: str) -> dict[str, str]:
        """One thread a worker on a CPU: one process a core beats one process with all threads."""
        return {**os.environ, **(ONE_THREAD if device == "cpu" else {})}

    def _width(self, device: str) -> list[str]:
        if device == "cpu":
            return ["--width", "1"]
        return [] if self._runs_per_gpu is None else ["--width", str(self._runs_per_gpu)]

    def poll(self, timeout_s: float) -> list[Event]:
        events: list[Event] = []
        if not self._workers:
            return events
        for key, _ in self._selector.select(timeout_s):
            worker = self._workers[key.data]
            arrived, ended = worker.read()
            events += arrived
            if ended or (worker.leaving and not worker.tasks):
                events += self._bury(key.data)
        for slot in [slot for slot, worker in self._workers.items() if worker.has_ended()]:
            events += self._workers[slot].read_rest()
            events += self._bury(slot)
        self._kill_silent_workers(timeout_s)
        return events

    def _bury(self, slot: int) -> list[Event]:
        worker = self._workers.pop(slot)
        assert worker.process.stdout is not None
        self._selector.unregister(worker.process.stdout)
        return worker.bury()

    def _kill_silent_workers(self, timeout_s: float) -> None:
        now = time.monotonic()
        was_away = now - self._polled_at > timeout_s + SILENCE_S / 2  # frozen itself, it heard nobody
        self._polled_at = now
        for worker in self._workers.values():
            if was_away:
                worker.listen()
            elif now > worker.heard_at + worker.patience_s:
                worker.kill(
                    f"its worker was silent for {worker.patience_s:g} s, as if frozen, and was killed"
                )

    def stop(self) -> list[Event]:
        for worker in self._workers.values():
            assert worker.process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                worker.process.stdin.close()
        events: list[Event] = []
        deadline = time.monotonic() + STOP_GRACE_S
        try:
            while self._workers and time.monotonic() < deadline:
                events += self.poll(0.2)
        finally:  # also when a second Ctrl-C cuts the grace short
            for worker in self._workers.values():
                worker.kill("its worker did not stop in time and was killed")
            while self._workers:
                events += self.poll(1.0)
            self._selector.close()
        return events


def _event(line: bytes) -> Event:
    return Event.of(json.loads(line))


def _describe(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    name = signal.Signals(-code).name
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return f"by {name}{hint}"
