"""``ablate status``: how far a study is, and where it is under way."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from ablate.cli.options import (
    Printout,
    PrintoutOption,
    StoreOption,
    StudyArgument,
    StudyOption,
    open_study,
)
from ablate.ground.wording import count

if TYPE_CHECKING:
    from ablate.analysis.query import RunRecord
    from ablate.record.store import Store


def status(
    study: StudyArgument = None,
    study_option: StudyOption = None,
    store: StoreOption = None,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Show how far a study is, per condition and seed, and where it is under way."""
    from ablate.analysis.compare import distinct_names, group_runs, suspects
    from ablate.analysis.query import load_runs
    from ablate.cli.console import print_json, say
    from ablate.cli.damages import end_with_damages
    from ablate.cli.failures import print_failures
    from ablate.cli.plan import describe_run, print_states
    from ablate.schedule.grid import tally

    opened, name = open_study(store, study, study_option)
    runs = load_runs(opened, name)
    counts = Counter(run.state for run in runs)
    hosts, jobs = _hosts(opened, runs), _jobs(opened, name)
    if output is Printout.JSON:
        print_json(
            {
                "study": name,
                "store": str(opened.root),
                "counts": counts,
                "hosts": hosts,
                "jobs": jobs,
                "runs": [describe_run(run) for run in runs],
            }
        )
    else:
        say(f"Study {name} in {opened.root}: {tally(counts)}")
        if hosts:
            say("  running on " + ", ".join(f"{host} ({n})" for host, n in hosts.items()))
        for each in jobs:
            say(f"  {_in_words(each)}")
        print_states(runs, distinct_names(runs))
        print_failures(runs, name, opened)
        for doubt in suspects(group_runs(runs)):
            say(doubt)
    end_with_damages(opened, name, runs)


def _hosts(store: "Store", runs: "list[RunRecord]") -> dict[str, int]:
    """How many runs are under way on which host."""
    from ablate.record.rundir import State

    running = [store.folder(run.run_id).status().host for run in runs if run.state is State.RUNNING]
    return dict(Counter(host or "an unknown host" for host in running))


def _jobs(store: "Store", study: str) -> list[dict[str, Any]]:
    """The study's jobs of Slurm: those that are there, and what waits for them."""
    from ablate.launch.slurm import queues
    from ablate.launch.slurmcommands import SlurmError, jobs_of

    found = []
    for name, queue in queues(store.study_folder(study), study).items():
        content: dict[str, Any] = {"name": name, "queued_runs": queue.n_waiting(), "logs": str(queue.logs)}
        try:
            jobs = jobs_of(name)
        except SlurmError as error:  # on a host of another kind
            content["problem"] = "; ".join(error.problems)
        else:
            waiting = [job for job in jobs if job.waits]
            content["running"] = sum(job.runs for job in jobs)
            content["waiting"] = len(waiting)
            content["reasons"] = sorted({job.reason for job in waiting})
            if not jobs and not content["queued_runs"]:
                continue
        found.append(content)
    return found


def _in_words(jobs: dict[str, Any]) -> str:
    queued = f"{count(jobs['queued_runs'], 'run')} queued"
    if "problem" in jobs:
        return f"jobs {jobs['name']}: {queued}; {jobs['problem']}"
    waiting = f", {jobs['waiting']} waiting ({', '.join(jobs['reasons'])})" if jobs["waiting"] else ""
    return f"jobs {jobs['name']}: {jobs['running']} running{waiting}, {queued}"
