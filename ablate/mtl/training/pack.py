"""Several runs trained at once on one device, each with the result that ``loop.train`` gives it alone.

The runs of a pack step together, and the last steps of their epochs fall together: a run that has fewer left,
since it was resumed in the middle of an epoch, waits for the others. So there are few different steps, and
each is soon recorded (see ``graphs``).
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.graphs import CaptureFailed, Way, first_cause, is_out_of_memory, let_go, ways_of
from ablate.mtl.training.loop import Features, Job, Training, upload

if TYPE_CHECKING:
    from ablate.mtl.data.prepared import Prepared

Outcome = Mtl | Exception

log = logging.getLogger(__name__)


def train_pack(
    jobs: Sequence[Job],
    data: "Prepared",
    *,
    device: torch.device,
    width: int = 1,
    ways: Sequence[Way] | None = None,
) -> Iterator[tuple[Job, Outcome]]:
    """Trains the jobs on ``data``, ``width`` of them at a time, which share one copy of the clips.

    Yields every job once, soon after it ended: with its network, or with the exception that ``loop.train``
    would have raised. What happens to one job, the others do not notice; when one ends, the next takes its
    place. Nobody trains while the caller looks at what was yielded.

    ``ways`` are those of ``graphs``, by default all that the device has. The first is taken, and another one
    when it does not work. When memory runs out, half as many runs step at the same time.

    Raises ValueError for a width below 1, and what torch raises when the device itself is lost: this process
    can then do no more on it, but jobs that were not yielded can be resumed in another.
    """
    if width < 1:
        raise ValueError(f"a pack of {width} runs trains nothing; its width is at least 1")
    waiting = deque(jobs)
    try:
        shared = upload(data, device)
    except Exception as error:
        yield from ((job, error) for job in waiting)
        return
    pack = Pack(data, shared, ways or ways_of(device))
    while waiting or pack.members:
        while waiting and len(pack.members) < width:
            pack.admit(waiting.popleft())
        pack.train_epoch()
        yield from pack.take_ended()


class Pack:
    """The runs that train together, and the way in which they do."""

    def __init__(self, data: "Prepared", shared: Features, ways: Sequence[Way]) -> None:
        self.members: list[Training] = []
        self.way, *self._other_ways = ways
        self.at_once: int | None = None  # how many step at the same time; None: all
        self._data = data
        self._shared = shared
        self._ended: list[tuple[Job, Outcome]] = []

    def admit(self, job: Job) -> None:
        """Begins a job, or resumes it."""
        try:
            training = Training(job, self._data, self._shared)
        except Exception as error:
            let_go(error)
            self._ended.append((job, error))
            return
        self.members.append(training)
        if training.finished:
            self._leave(training, training.model)

    def take_ended(self) -> list[tuple[Job, Outcome]]:
        """The jobs that have ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def train_epoch(self) -> None:
        """Trains every member to the end of its epoch."""
        self._each(self.members, Training.begin_epoch)
        while left := max((member.steps_left for member in self.members), default=0):
            self._step([member for member in self.members if member.steps_left == left][: self.at_once])
        self._wait()
        self._each(self.members, Training.end_epoch)
        for member in [member for member in self.members if member.finished]:
            self._leave(member, member.model)

    def _step(self, members: Sequence[Training]) -> None:
        """The next step of each, unless something must be changed first."""
        members = self._each(members, Training.before_step)
        if not members:
            return
        started = time.perf_counter()
        try:
            failures = self.way.take(members)
        except CaptureFailed as error:
            failures = dict.fromkeys(members, error)
        seconds = time.perf_counter() - started
        obstacle = None
        for member in members:
            failure = failures.get(member)
            if failure is None:
                member.advance(seconds)
            elif self._other_ways and (isinstance(failure, CaptureFailed) or is_out_of_memory(failure)):
                obstacle = failure
            else:
                self._leave(member, failure)
        if obstacle:
            self._change(members, obstacle)

    def _change(self, members: Sequence[Training], error: Exception) -> None:
        """What to do after ``members`` failed to step together: fewer at the same time, or another way."""
        cause = first_cause(error)
        reason, _, _ = f"{type(cause).__name__}: {cause}".partition("\n")
        let_go(error)
        self._let_go_of_memory(self.members)
        if is_out_of_memory(error) and len(members) > 1:
            self.at_once = len(members) // 2
            log.warning("%s; going on with %d of the runs at the same time", reason, self.at_once)
        else:
            self.way, *self._other_ways = self._other_ways
            log.warning("%s; going on with %s", reason, self.way.name)

    def _each(self, members: Sequence[Training], action: Callable[[Training], None]) -> list[Training]:
        """Does it with every member; those that raise leave. Returns the others."""
        stayed = []
        for member in list(members):
            try:
                action(member)
            except Exception as error:
                self._leave(member, error)
            else:
                stayed.append(member)
        return stayed

    def _wait(self) -> None:
        """For the device; that is a part of every member's time."""
        started = time.perf_counter()
        if self._shared.features.is_cuda:
            torch.cuda.synchronize(self._shared.features.device)
        for member in self.members:
            member.progress.seconds += time.perf_counter() - started

    def _leave(self, member: Training, outcome: Outcome) -> None:
        if isinstance(outcome, Exception):
            let_go(outcome)
        self.members.remove(member)
        self._let_go_of_memory([member])
        self._ended.append((member.job, outcome))

    def _let_go_of_memory(self, members: Sequence[Training]) -> None:
        for member in members:
            member.optimiser.zero_grad()  # gradients lie in what was recorded
        self.way.forget(members)
