"""A job of a cluster: it takes runs of a study from the queue, and trains them on its own allocation.

``python -m ablate.campaign.element QUEUE`` is what each element of Slurm's job array runs. It is a campaign
without tracking: the controller, or a later one, ships what it leaves in the run folders. It ends when
nothing waits any more and no controller is there who may have more. Asked to end (SIGTERM), its runs save
where they are and go back to the others; so they do shortly before its time is up (SIGUSR1), when it asks
Slurm to be begun again.
"""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate.campaign.campaign import Campaign, Cancelled, Policy
from ablate.design.runs import Run
from ablate.ground.errors import AblateError, ConfigError
from ablate.ground.machine import cluster_job
from ablate.ground.version import VERSION
from ablate.launch.base import Event, Kind, Launcher
from ablate.launch.devices import find_workers
from ablate.launch.sharing import launcher_of
from ablate.launch.slurmcommands import requeue
from ablate.launch.tickets import Outbox, Queue, Sheet, Ticket
from ablate.record.cancellation import Cancellation
from ablate.record.rundir import RunFolder
from ablate.record.store import Store
from ablate.subject.interface import Subject
from ablate.subject.registry import open_subject

LINGER_S = 60.0  # for a controller that may have more runs, as a search has
LOOK_EVERY_S = 1.0  # for tickets, where there were none
LOOK_FOR_LOST_S = 10.0

log = logging.getLogger(__name__)


class TimeIsUp(KeyboardInterrupt):
    """The job's time limit is near."""


class Taking:
    """The tickets of a member as a campaign's feed; what happens to their runs goes to the controller."""

    def __init__(self, queue: Queue, member: str, sheet: Sheet, first: int) -> None:
        self._queue = queue
        self._member = member
        self._n_members = max(1, sheet.n_members)
        self._first = first
        self._outbox = Outbox(queue, member)
        self._taken: dict[str, Ticket] = {}  # by run id
        self._weights: dict[str, Path] = {}
        self._busy_at = self._reclaimed_at = time.monotonic()
        self._look_again_at = 0.0

    @property
    def may_go_on(self) -> bool:
        """Whether there are tickets, or a controller who may soon have some."""
        now = time.monotonic()
        if self._taken or now < self._look_again_at or self._queue.n_waiting() or self._reclaim():
            return True
        return now < self._busy_at + LINGER_S and self._queue.is_controlled()

    def next_runs(self, room: int) -> Sequence[Run]:
        """Its share of what waits: no more than would leave as many for each of the others."""
        now = time.monotonic()
        if now < self._look_again_at:
            return []
        self._reclaim()
        tickets = self._queue.take(self._member, room, self._first, self._n_members)
        runs = [run for ticket in tickets if (run := self._begin(ticket)) is not None]
        if not runs:
            self._look_again_at = now + LOOK_EVERY_S
        if runs or self._taken:
            self._busy_at = now
        return runs

    def weights(self, runs: Sequence[Run]) -> Mapping[str, Path]:
        return {run.training_id: self._weights[run.run_id] for run in runs if run.run_id in self._weights}

    def on_event(self, run: Run, event: Event) -> Sequence[tuple[str, str]]:
        if event.kind in (Kind.STARTED, Kind.EPOCH):
            self._outbox.add(event)
        elif event.kind in (Kind.FINISHED, Kind.FAILED, Kind.PRUNED):
            self._outbox.add(event)
            self._queue.done(self._member, self._taken.pop(run.run_id))
        why = self._queue.why_pruned(run.run_id) if event.kind is Kind.EPOCH else None
        return () if why is None else [(run.run_id, why)]

    def _begin(self, ticket: Ticket) -> Run | None:
        """The run of a ticket; None when it is to wait, or is a run no more."""
        task = ticket.task
        try:
            run = RunFolder(task.folder).run()
            if task.weights_of is not None:
                if task.weights_of.name in self._queue.tickets():  # still to be trained itself
                    self._queue.put_back(self._member, ticket)
                    return None
                self._weights[run.run_id] = task.weights_of
        except AblateError as error:
            self._outbox.add(Event(Kind.FAILED, task.run_id, cause="; ".join(error.problems)))
            self._queue.done(self._member, ticket)
            return None
        self._taken[run.run_id] = ticket
        return replace(run, dataset=replace(run.dataset, path=task.dataset))

    def _reclaim(self) -> int:
        """What members had who are gone; looked for every few seconds."""
        if time.monotonic() < self._reclaimed_at + LOOK_FOR_LOST_S:
            return 0
        self._reclaimed_at = time.monotonic()
        return self._queue.reclaim()


class Diary:
    """The campaign's watcher: what happens, and what goes wrong, is in the job's log."""

    def on_event(self, run: Run, event: Event) -> None:
        if event.kind is not Kind.EPOCH:
            log.info("%s: %s%s", run.title, event.kind, f" ({event.cause})" if event.cause else "")

    def on_warning(self, message: str) -> None:
        log.warning("%s", message)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ablate.campaign.element", description=__doc__)
    parser.add_argument("queue", type=Path)
    options = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    for request, handler in {signal.SIGTERM: _leave, signal.SIGUSR1: _leave_for_time}.items():
        signal.signal(request, handler)
    queue, member = Queue(options.queue), cluster_job() or str(os.getpid())
    log.info("job %s on %s, process %d, %s", member, os.uname().nodename, os.getpid(), queue.path)
    try:
        _train(queue, member)
    except TimeIsUp:
        log.info("the time limit is near; all runs have saved where they are")
        if queue.n_waiting():
            log.info("asking Slurm to begin this job again: %s", requeue() or "done")
    except (KeyboardInterrupt, Cancelled) as end:
        asked = "the study was cancelled" if isinstance(end, Cancelled) else "asked to end"
        log.info("%s; all runs have saved where they are", asked)
    except TimeoutError as error:  # the job is there twice
        log.error("%s", error)
    except AblateError as error:
        for problem in error.problems:
            log.error("%s", problem)
        _refuse(queue, member, error)
        return error.exit_code
    else:
        log.info("nothing waits any more")
    return 0


def _train(queue: Queue, member: str) -> None:
    """Take and train until nothing is left. Raises what ends it before, with all runs saved."""
    sheet = queue.sheet()
    store, subject = Store(Path(sheet.store)), _subject_of(sheet)
    cancellation = Cancellation(store, sheet.study)
    cancellation.last = sheet.cancelled
    if cancellation.is_new():
        raise Cancelled
    launcher = _launcher(sheet, subject)
    taking = Taking(queue, member, sheet, first=_number(member))
    policy = Policy(sheet.max_retries, is_cancelled=cancellation.is_new)
    campaign = Campaign(store, launcher, None, Diary(), policy)
    with queue.joined(member):
        launcher.warm_up(launcher.slots)
        campaign.execute([], feed=taking)


def _subject_of(sheet: Sheet) -> Subject:
    """Raises ConfigError when the two sides cannot train the same."""
    if sheet.version != VERSION:
        raise ConfigError(
            f"ablate {VERSION} is installed where the job runs, {sheet.version} where it was submitted; "
            "install the same on both sides"
        )
    if not Path(sheet.store).is_dir():
        raise ConfigError(f"the store {sheet.store} is not seen where the job runs")
    return open_subject(sheet.spec)


def _launcher(sheet: Sheet, subject: Subject) -> Launcher:
    """A worker on each device of the allocation."""
    devices = find_workers(sheet.device, sheet.gpus_per_run, sheet.workers)
    log.info("workers on %s", ", ".join(devices))
    return launcher_of(subject, devices, sheet.runs_per_gpu, sheet.workers)


def _refuse(queue: Queue, member: str, error: AblateError) -> None:
    """Tell the controller why this job cannot train; where the queue cannot be written, the log says it."""
    try:
        queue.refuse(member, "; ".join(error.problems))
    except OSError as failure:
        log.error("%s: %s", queue.path, failure.strerror or failure)


def _number(member: str) -> int:
    """The element's number in its array; 0 outside of one."""
    _, array, number = member.rpartition("_")
    return int(number) if array and number.isdecimal() else 0


def _leave(*_: Any) -> None:
    _ignore_further()
    raise KeyboardInterrupt


def _leave_for_time(*_: Any) -> None:
    _ignore_further()
    raise TimeIsUp


def _ignore_further() -> None:
    """What comes now would only cut the saving short."""
    for request in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(request, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
