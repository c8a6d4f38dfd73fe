"""``ablate cancel``: end a study's training, wherever it is under way."""

import time

import typer

from ablate.cli.console import say
from ablate.cli.options import StoreOption, StudyArgument, StudyOption, open_store, pick_study
from ablate.ground.wording import count, joined

PATIENCE_S = 100.0  # longer than Slurm, a launcher and a worker need to end a run that does not listen
LOOK_EVERY_S = 0.5


def cancel(study: StudyArgument = None, study_option: StudyOption = None, store: StoreOption = None) -> None:
    """End a study's training on all hosts, and its jobs of Slurm; its runs save where they are.

    The command that trains the study goes on from there. Exit code 1 when something does not end.
    """
    from ablate.launch import slurm, slurmcommands
    from ablate.record.cancellation import Cancellation
    from ablate.record.rundir import State

    opened = open_store(store)
    name = pick_study(opened, study, study_option)
    folders = opened.study_runs(name)
    running = [folder for folder in folders if folder.status().state is State.RUNNING]
    Cancellation(opened, name).say()
    problems: list[str] = []
    queues = slurm.queues(opened.study_folder(name), name)
    n_waiting = sum(queue.withdraw() for queue in queues.values())
    for jobs in queues:
        try:
            if slurmcommands.jobs_of(jobs):
                slurmcommands.cancel(jobs)
        except slurmcommands.SlurmError as error:
            problems += error.problems
    deadline = time.monotonic() + PATIENCE_S
    left = running
    while (left or any(queue.present() for queue in queues.values())) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
        left = [folder for folder in left if folder.status().state is State.RUNNING]
    for queue in queues.values():  # what the jobs have given back
        queue.withdraw()
    n_saved = sum(folder.status().state is State.INTERRUPTED for folder in running)
    if not running and not n_waiting:
        say(f"{name}: no run is under way")
    else:
        say(
            f"{name}: {count(n_saved, 'run')} saved where {'it is' if n_saved == 1 else 'they are'}"
            + (f", {count(n_waiting, 'run')} taken from the queue" if n_waiting else "")
            + "; the command that trains the study goes on from there"
        )
    for problem in problems:
        say(f"warning: {problem}; the jobs that it would have ended hear of it in the store")
    if left:
        hosts = sorted({f"{status.host}" for status in (folder.status() for folder in left)})
        say(f"{count(len(left), 'run')} still under way on {joined(hosts)}")
        raise typer.Exit(1)
