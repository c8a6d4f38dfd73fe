"""The worker's process.

``python -m ablate.worker --subject SPEC --device cpu`` reads tasks from standard input and writes events to
standard output, one JSON object a line, with empty lines between as a sign of life (see ``launch.local``).
When its input ends or it is asked to terminate, it saves where it is and leaves.
"""

import argparse
import atexit
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from ablate.ground.collector import importing
from ablate.launch.base import Event, Task
from ablate.subject.registry import open_subject
from ablate.worker.bench import Bench, Stops

SIGN_OF_LIFE_S = 2.0
LEAVE_WITHIN_S = 30.0  # of being asked to, whatever goes on
REQUESTS = (signal.SIGTERM, signal.SIGHUP)


class _Inbox:
    """Tasks from standard input, read beside the training so that the end of input is noticed at once."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        # Not Queue: a signal handler puts into it, and may interrupt a get that holds Queue's lock.
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self.pruned: dict[str, str] = {}  # run id -> why it is to be given up
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        # Unbuffered: at exit the interpreter must not wait for the lock of a buffer that is being read.
        with open(0, "rb", buffering=0, closefd=False) as lines:
            for line in lines:
                content = json.loads(line)
                if "prune" in content:
                    self.pruned[content["prune"]] = content["cause"]
                    continue
                source = content["weights_of"]
                self._tasks.put(
                    Task(
                        Path(content["folder"]),
                        Path(content["dataset"]),
                        None if source is None else Path(source),
                    )
                )
        self.close()

    def close(self) -> None:
        if not self.stop.is_set():
            self.stop.set()
            self._tasks.put(None)
            threading.Thread(target=_leave_in_the_end, daemon=True).start()

    def take(self, *, wait: bool) -> list[Task]:
        """The tasks that have arrived; with ``wait`` at least one, unless there will be none any more."""
        tasks = []
        while wait or not self._tasks.empty():
            task = self._tasks.get()
            if task is None:
                break
            tasks.append(task)
            wait = False
        return tasks


def _leave_in_the_end() -> None:
    """Evaluation and reading data are not asked to stop; what they take long for is not waited for."""
    time.sleep(LEAVE_WITHIN_S)
    os._exit(1)


class _Outbox:
    """Lines on what is standard output now; from here on, prints of libraries go to the errors."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._stream = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        threading.Thread(target=self._show_life, daemon=True).start()

    def emit(self, event: Event) -> None:
        self._write(json.dumps(asdict(event)).encode() + b"\n")

    def _show_life(self) -> None:
        while True:
            self._write(b"\n")
            time.sleep(SIGN_OF_LIFE_S)

    def _write(self, line: bytes) -> None:
        try:
            self._stream.write(line)
        except BrokenPipeError:  # the controller is gone; the end of input says so too
            self._stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ablate.worker", description=__doc__)
    parser.add_argument("--subject", default="{}", help="what to train, as JSON; the built-in subject")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--width", type=int, help="runs to train at once; by default what is fastest")
    options = parser.parse_args()
    atexit.register(_end_orphans, os.getppid())
    inbox = _Inbox()
    for request in REQUESTS:
        signal.signal(request, lambda *_: inbox.close())
    os.register_at_fork(after_in_child=_be_no_worker)
    outbox = _Outbox(inbox.close)
    stops = Stops(inbox.stop.is_set, inbox.pruned)
    with importing():
        subject = open_subject(json.loads(options.subject))
        subject.set_up_worker(options.device)
        bench = Bench(subject, options.device, outbox.emit, stops, options.width)
    with bench:
        while not inbox.stop.is_set():
            for task in inbox.take(wait=bench.is_idle):
                bench.put(task)
            bench.train_epoch()
        bench.drop_waiting()
        while not bench.is_idle:  # whatever is under way saves where it is
            bench.train_epoch()
    _end_children()


def _be_no_worker() -> None:
    """A process that a training forks is to end when it is asked to, as any other."""
    with suppress(ValueError):
        for request in REQUESTS:
            signal.signal(request, signal.SIG_DFL)


def _end_children() -> None:
    """Those of multiprocessing, which Python would wait for when it exits. The launcher ends all others."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None:
        for child in multiprocessing.active_children():
            child.kill()


def _end_orphans(launcher: int) -> None:
    """What our trainings have left running, and us, when there is no launcher any more to do so."""
    if os.getppid() != launcher and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
