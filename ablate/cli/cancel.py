"""``ablate cancel``: end a study's training, wherever it is under way."""

import time
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import typer

from ablate.cli.console import print_json, say
from ablate.cli.options import (
    Printout,
    PrintoutOption,
    StoreOption,
    StudyArgument,
    StudyOption,
    open_store,
    pick_study,
)
from ablate.ground.documents import Cancelled
from ablate.ground.wording import count, joined

if TYPE_CHECKING:
    from ablate.launch.tickets import Queue
    from ablate.record.rundir import RunFolder

PATIENCE_S = 100.0  # longer than Slurm, a launcher and a worker need to end a run that does not listen
LOOK_EVERY_S = 0.5


def cancel(
    study: StudyArgument = None,
    study_option: StudyOption = None,
    output: PrintoutOption = Printout.TABLE,
    store: StoreOption = None,
) -> None:
    """End a study's training on all hosts, and its jobs of Slurm; its runs save where they are.

    The command that trains the study goes on from there. Exit code 1 when something does not end.
    """
    from ablate.launch.slurm import queues
    from ablate.record.cancellation import Cancellation
    from ablate.record.rundir import State

    opened = open_store(store)
    name = pick_study(opened, study, study_option)
    running = _running(opened.study_runs(name))
    Cancellation(opened, name).say()
    jobs = queues(opened.study_folder(name), name)
    n_waiting = sum(queue.withdraw() for queue in jobs.values())
    problems = _end_jobs(jobs)
    left = _wait(running, jobs.values())
    for queue in jobs.values():  # what the jobs have given back
        queue.withdraw()
    n_saved = sum(folder.status().state is State.INTERRUPTED for folder in running)
    hosts = sorted({str(folder.status().host) for folder in left})
    if output is Printout.JSON:
        print_json(
            Cancelled(
                schema="ablate.cancel/1",
                study=name,
                saved=n_saved,
                withdrawn=n_waiting,
                problems=problems,
                under_way=len(left),
                hosts=hosts,
            )
        )
    else:
        _tell(name, n_saved, n_waiting, problems, was_running=bool(running))
    if left:
        if output is Printout.TABLE:
            say(f"{count(len(left), 'run')} still under way on {joined(hosts)}")
        raise typer.Exit(1)


def _tell(name: str, n_saved: int, n_waiting: int, problems: list[str], *, was_running: bool) -> None:
    if not was_running and not n_waiting:
        say(f"{name}: no run is under way")
    else:
        say(
            f"{name}: {count(n_saved, 'run')} saved where {'it is' if n_saved == 1 else 'they are'}"
            + (f", {count(n_waiting, 'run')} taken from the queue" if n_waiting else "")
            + "; the command that trains the study goes on from there"
        )
    for problem in problems:
        say(f"warning: {problem}; the jobs that it would have ended hear of it in the store")


def _running(folders: "Iterable[RunFolder]") -> "list[RunFolder]":
    from ablate.record.rundir import State

    return [folder for folder in folders if folder.status().state is State.RUNNING]


def _end_jobs(names: "Iterable[str]") -> list[str]:
    """Have Slurm end the jobs of these names; what it says against it."""
    from ablate.launch import slurmcommands

    problems: list[str] = []
    for name in names:
        try:
            if slurmcommands.jobs_of(name):
                slurmcommands.cancel(name)
        except slurmcommands.SlurmError as error:
            problems += error.problems
    return problems


def _wait(running: "list[RunFolder]", queues: "Collection[Queue]") -> "list[RunFolder]":
    """Wait until no run is under way and no job is there; the runs that still are when that takes long."""
    deadline = time.monotonic() + PATIENCE_S
    while (running or any(queue.present() for queue in queues)) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
        running = _running(running)
    return running
