"""``--launcher slurm``: what the options mean on a Slurm cluster, and the launcher that they ask for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.ground.version import VERSION
from ablate.ground.wording import count
from ablate.launch import slurmcommands
from ablate.launch.slurm import Jobs, SlurmLauncher, queue_of
from ablate.launch.tickets import Sheet
from ablate.record.cancellation import Cancellation

if TYPE_CHECKING:
    from ablate.api.means import Means, Work

DEFAULT_JOBS = 10


def devices_of(means: "Means", gpus_per_run: int) -> list[str]:
    """The device of each worker of all jobs, as far as the options say it.

    Raises ConfigError when Slurm would not take such jobs.
    """
    options = slurmcommands.parse_options(means.slurm or [])
    slurmcommands.check(options)
    kind, n = slurmcommands.workers_of(options)
    if kind == "cuda":
        n = max(1, n // gpus_per_run)
    return [kind] * (_most(means) * (means.workers or n))


def where(means: "Means", devices: Sequence[str]) -> str:
    """For the plan: how many jobs there are at most, and what each has."""
    jobs = _most(means)
    workers = count(len(devices) // jobs, "core" if devices[0] == "cpu" else "GPU")
    options = f" ({' '.join(means.slurm)})" if means.slurm else ""
    return f"on Slurm: at most {count(jobs, 'job')} at a time{options}, each with {workers}"


def slurm_launcher(means: "Means", devices: Sequence[str], work: "Work") -> SlurmLauncher:
    """What trains a study's runs by jobs that have as many workers in all as there are ``devices``."""
    store, subject, most = work.store, work.subject, _most(means)
    queue, name = queue_of(store.study_folder(work.study), work.study, subject.spec)
    sheet = Sheet(
        str(store.root.absolute()),
        work.study,
        subject.spec,
        VERSION,
        means.device,
        means.workers,
        means.runs_per_gpu,
        work.gpus_per_run,
        means.max_retries,
        most,
        Cancellation(store, work.study).last,
    )
    options = slurmcommands.parse_options(means.slurm or [])
    return SlurmLauncher(queue, sheet, Jobs(name, options, most, len(devices) // most))


def _most(means: "Means") -> int:
    return means.jobs or DEFAULT_JOBS
