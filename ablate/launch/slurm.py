"""Runs as jobs of a Slurm cluster: one array a study, of which each element takes runs until none is left.

The elements (see ``campaign.element``) and this launcher meet in a queue of tickets in the store, which login
and compute nodes must share. A controller that goes leaves its jobs at work; the next one finds them by their
name, ``ablate-STUDY-DIGEST``, and goes on listening.
"""

import hashlib
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.ground.errors import StoreError
from ablate.ground.wording import count
from ablate.launch import slurmcommands
from ablate.launch.base import Event, Kind, Launcher, Task
from ablate.launch.slurmcommands import Job, SlurmError, minutes
from ablate.launch.tickets import Inbox, Queue, Sheet

LOOK_EVERY_S = 15.0  # at squeue, which a cluster's users share
FIRST_LOOK_S = 5.0  # after a submission
READ_EVERY_S = 0.5  # the events
LEAD_S = 120  # between the signal and the time limit; with a short limit, a third of it
LEAVE_S = 90.0  # for jobs to save and go: Slurm's KillWait and a node's delay
TOP_UP_EVERY_S = 120.0  # where jobs have gone; a node on which all die at once gets no more than that
UNLIMITED = 1_000_000  # tickets; they are small files
QUEUES = "slurm"  # in the folder of the study
DIGITS = 8
MOST_SUBMISSIONS = 3  # in a row without any run that ends


@dataclass(frozen=True)
class Jobs:
    """What is submitted: at most ``most`` jobs of ``workers`` each, with sbatch's ``options``."""

    name: str
    options: Mapping[str, str | None]
    most: int
    workers: int

    @property
    def lead_s(self) -> int:
        limit = minutes(self.options.get("time") or "")
        return LEAD_S if limit is None else min(LEAD_S, round(20 * limit))


def queue_of(study_folder: Path, study: str, spec: Mapping[str, Any]) -> tuple[Queue, str]:
    """The queue of a study's runs of one subject, and the name of its jobs."""
    said = json.dumps([str(study_folder.resolve()), spec], sort_keys=True)
    digest = hashlib.sha256(said.encode()).hexdigest()[:DIGITS]
    return Queue(study_folder / QUEUES / digest), f"ablate-{study}-{digest}"


def queues(study_folder: Path, study: str) -> dict[str, Queue]:
    """All queues that a study has ever had, by the name of their jobs."""
    folders = sorted((study_folder / QUEUES).glob("*/"))
    return {f"ablate-{study}-{folder.name}": Queue(folder) for folder in folders}


class SlurmLauncher(Launcher):
    """Writes tickets, sees to it that there are jobs to take them, and reads what those tell."""

    def __init__(self, queue: Queue, sheet: Sheet, jobs: Jobs, python: str = sys.executable) -> None:
        self._queue = queue
        self._sheet = sheet
        self._jobs = jobs
        self._python = python
        self._tasks: dict[str, Task] = {}  # that have not ended, by run id
        self._begun: set[str] = set()
        self._news: list[str] = []
        self._told: str | None = None  # what was last said of the jobs, as long as it is so
        self._arrays: list[str] = []
        self._n_submissions = 0
        self._look_at = 0.0
        self._top_up_at = 0.0
        self._read_at = 0.0
        self._left = False
        self._presence = ExitStack()
        queue.open(sheet)
        self._known = queue.tickets()  # of a former controller, whose jobs may be at them
        self._inbox = Inbox(queue)
        self._presence.enter_context(queue.controlled())

    @property
    def slots(self) -> int:
        return self._jobs.most * self._jobs.workers

    @property
    def capacity(self) -> int:
        return UNLIMITED

    def warm_up(self, n_runs: int) -> None:
        self._staff(n_runs)

    def submit(self, task: Task) -> None:
        self._tasks[task.run_id] = task
        if task.run_id in self._known:
            self._known.discard(task.run_id)
        else:
            self._queue.put(task)

    def prune(self, run_id: str, cause: str) -> None:
        if run_id in self._tasks:
            self._queue.prune(run_id, cause)

    def news(self) -> list[str]:
        news, self._news = self._news, []
        return news

    def poll(self, timeout_s: float) -> list[Event]:
        time.sleep(max(0.0, min(timeout_s, self._read_at - time.monotonic())))
        if not self._tasks or time.monotonic() < self._read_at:
            return []
        events = self._read()
        self._read_at = time.monotonic() + READ_EVERY_S
        if self._tasks and time.monotonic() >= self._look_at:
            events += self._look()
            self._look_at = time.monotonic() + LOOK_EVERY_S
        return events

    def _read(self) -> list[Event]:
        """The events of our runs. What is told of others, or twice, is not ours."""
        events = []
        for event in self._inbox.read():
            if event.run_id not in self._tasks:
                continue
            events.append(event)
            self._begun.add(event.run_id)
            if event.ends:
                self._n_submissions = 0
                del self._tasks[event.run_id]
        return events

    def _look(self) -> list[Event]:
        """See to it that every run has a ticket, and the tickets have jobs."""
        self._queue.reclaim()
        there = self._queue.tickets()
        events = self._read()  # what was told before its ticket went
        for run_id, task in list(self._tasks.items()):
            if run_id not in there:
                self._queue.put(task)  # lost; should its run have ended, whoever takes it says so
        self._staff(len(self._tasks))
        return events

    def _staff(self, n_runs: int) -> None:
        """Submit the jobs that are lacking for so many runs. Raises StoreError when none comes to work."""
        try:
            jobs = slurmcommands.jobs_of(self._jobs.name)
            lacking = min(self._jobs.most, -(-n_runs // self._jobs.workers)) - len(jobs)
            if not jobs:
                self._require_sense()
            if lacking > 0 and (not jobs or time.monotonic() >= self._top_up_at):
                self._submit(lacking)
                jobs = slurmcommands.jobs_of(self._jobs.name)
        except SlurmError as error:
            if not self._arrays and not self._begun:  # nothing has begun: it is not a moment's trouble
                raise
            self._tell_once(f"Slurm: {'; '.join(error.problems)}; looking again every {LOOK_EVERY_S:.0f} s")
            return
        self._tell(jobs)

    def _submit(self, n: int) -> None:
        command = [self._python, "-m", "ablate.campaign.element", str(self._queue.path.absolute())]
        script = f"#!/bin/sh\nexec {shlex.join(command)}\n"
        log = str(self._queue.logs.absolute() / "%A_%a.log")
        jobs = self._jobs
        self._arrays += slurmcommands.submit(jobs.name, script, n, log, jobs.lead_s, jobs.options)
        self._n_submissions += 1
        self._look_at = time.monotonic() + FIRST_LOOK_S
        self._top_up_at = time.monotonic() + TOP_UP_EVERY_S

    def _require_sense(self) -> None:
        """Raises StoreError when jobs that we have submitted have gone without doing anything."""
        if not self._arrays:
            return
        last = f"{self._arrays[-1]}_0"
        refused = self._queue.refusals(self._arrays[-1])
        if refused:
            raise StoreError([f"the jobs cannot train: {cause}" for cause in refused])
        has_come = any(member.startswith(f"{self._arrays[-1]}_") for member in self._queue.members())
        if has_come and self._n_submissions < MOST_SUBMISSIONS:
            return
        said = slurmcommands.describe(last) or "Slurm says nothing of them any more"
        log = self._queue.logs / f"{last}.log"
        raise StoreError(
            f"the jobs of Slurm end without training anything ({said}). "
            + (f"The log {log} ends: {_tail(log)}" if log.exists() else self._unseen())
        )

    def _unseen(self) -> str:
        return (
            f"They left no log in {self._queue.logs.absolute()}: do the nodes see it, and {self._python}? "
            "Login and compute nodes must share the store's file system; choose another with --store DIR"
        )

    def _tell(self, jobs: Sequence[Job]) -> None:
        """Why jobs wait, when none runs and that has not been said yet."""
        waiting = sorted({job.reason for job in jobs if job.waits} - {"None"})
        if waiting and not any(job.runs for job in jobs):
            self._tell_once(
                f"{count(len(jobs), 'job')} of Slurm wait: {', '.join(waiting)} "
                f"(`squeue --name={self._jobs.name}`)"
            )
        elif jobs:
            self._told = None

    def _tell_once(self, sentence: str) -> None:
        """What goes on being so is said when it begins."""
        if sentence != self._told:
            self._news.append(sentence)
        self._told = sentence

    def leave(self) -> str | None:
        self._left = True
        self._presence.close()
        n, study = count(len(self._tasks), "run"), self._sheet.study
        return (
            f"{n} left to Slurm's jobs {self._jobs.name}; the same command joins them, "
            f"`ablate status {study}` says how far they are, `ablate cancel {study}` ends them"
        )

    def stop(self) -> list[Event]:
        """End the jobs, unless they were left to themselves or have nothing to do any more."""
        self._presence.close()
        if self._left or not self._tasks:
            self._dismiss()
            return []
        self._queue.withdraw()
        events: list[Event] = []
        try:
            slurmcommands.cancel(self._jobs.name)
            deadline = time.monotonic() + LEAVE_S
            while self._queue.present() and time.monotonic() < deadline:
                time.sleep(READ_EVERY_S)
        except SlurmError as error:
            self._news += error.problems
        finally:
            events += self._read()
            self._queue.reclaim()
            self._queue.withdraw()
        cause = "its job was ended"
        begun = [run_id for run_id in self._tasks if run_id in self._begun]
        events += [Event(Kind.INTERRUPTED, run_id, cause=cause) for run_id in begun]
        self._tasks.clear()
        return events

    def _dismiss(self) -> None:
        """Have jobs that still wait not begin for nothing; those that run leave by themselves."""
        if self._arrays and not self._queue.tickets():
            with suppress(SlurmError):
                slurmcommands.cancel(self._jobs.name, waiting=True)


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return " / ".join([line.strip() for line in lines if line.strip()][-3:])[-500:]
