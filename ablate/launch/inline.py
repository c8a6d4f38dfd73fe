"""One run after another in this process: for tests and for debugging a run with a debugger."""

from collections import deque
from collections.abc import Callable

from ablate.launch.base import Event, Launcher, Task

Train = Callable[[Task, str, Callable[[Event], None]], None]


class InlineLauncher(Launcher):
    """``train(task, device, emit)`` trains a run and emits its events; it is called from ``poll``."""

    slots = 1

    def __init__(self, train: Train, device: str) -> None:
        self._train = train
        self._device = device
        self._waiting: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        self._waiting.append(task)

    def poll(self, timeout_s: float) -> list[Event]:  # noqa: ARG002 - it never waits
        events: list[Event] = []
        if self._waiting:
            self._train(self._waiting.popleft(), self._device, events.append)
        return events

    def stop(self) -> list[Event]:
        self._waiting.clear()
        return []
