"""By which means runs train, and the launcher that they name."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from ablate.ground.errors import ConfigError
from ablate.ground.failures import FailureKind

if TYPE_CHECKING:
    from ablate.launch.base import Launcher
    from ablate.record.store import Store
    from ablate.subject.interface import Subject


class LauncherName(StrEnum):
    LOCAL = "local"
    INLINE = "inline"
    SLURM = "slurm"
    RAY = "ray"


@dataclass(frozen=True)
class Means:
    """Where runs train, and what becomes of those that fail; each as the option of the commands."""

    retry: bool = False
    cause: Sequence[FailureKind] | None = None
    fail_fast: bool = False
    max_retries: int = 1
    workers: int | None = None
    device: str = "auto"
    runs_per_gpu: int | None = None
    launcher: LauncherName = LauncherName.LOCAL
    slurm: Sequence[str] | None = None
    jobs: int | None = None
    no_wait: bool = False
    address: str | None = None
    no_scores: bool = False
    energy: bool = False

    def check(self) -> None:
        """Raises ConfigError for options that say nothing to the launcher that is named, or cannot be met."""
        given = {
            "--slurm": (self.slurm is not None, LauncherName.SLURM),
            "--jobs": (self.jobs is not None, LauncherName.SLURM),
            "--no-wait": (self.no_wait, LauncherName.SLURM),
            "--address": (self.address is not None, LauncherName.RAY),
        }
        problems = [
            f"{option} is an option of --launcher {owner}; the launcher is '{self.launcher}'"
            for option, (is_given, owner) in given.items()
            if is_given and self.launcher is not owner
        ]
        if self.cause and not self.retry:
            named = " ".join(f"--cause {each}" for each in self.cause)
            problems.append(f"{named} says which failed runs to train again; add --retry")
        least = {"--workers": self.workers, "--jobs": self.jobs, "--runs-per-gpu": self.runs_per_gpu}
        problems += [f"{option} {n}: at least 1" for option, n in least.items() if n is not None and n < 1]
        if problems:
            raise ConfigError(problems)
        if self.energy:
            from ablate.worker.energy import require_codecarbon

            require_codecarbon()

    @property
    def retried(self) -> tuple[FailureKind, ...]:
        """Of what runs have failed that are to be trained again."""
        return tuple(self.cause or FailureKind) if self.retry else ()

    def require_waiting(self, what: str) -> None:
        """Raises ConfigError when nobody would wait for what the next runs follow from."""
        if self.no_wait:
            raise ConfigError(f"--no-wait: {what} chooses runs by the scores of others; leave it out")

    def devices(self, gpus_per_run: int = 1) -> list[str]:
        """The device, or devices, of each worker. Raises ConfigError when there are no such."""
        from ablate.launch.devices import find_workers

        if self.launcher is LauncherName.SLURM:
            from ablate.api import slurms

            return slurms.devices_of(self, gpus_per_run)
        if self.launcher is LauncherName.RAY:
            from ablate.api import rays

            return rays.devices_of(self, gpus_per_run)
        return find_workers(self.device, gpus_per_run, self.workers)


def describe(means: Means, devices: Sequence[str], subject: "Subject") -> str | None:
    """Where the runs will train, in a line; None for a worker a core, or a device, which needs no word.

    Raises ConfigError when so many runs cannot train on a device.
    """
    if means.launcher is LauncherName.LOCAL and not subject.trains_together:
        from ablate.launch.sharing import terms_of

        terms = terms_of(devices, means.runs_per_gpu, means.workers)
        return None if terms is None else terms.why
    if means.launcher is LauncherName.RAY:
        from ablate.api import rays

        return rays.where(means, len(devices))
    if means.launcher is LauncherName.SLURM:
        from ablate.api import slurms

        return slurms.where(means, devices)
    return None


@dataclass(frozen=True)
class Work:
    """What a launcher is for: a subject's runs of a study, which need ``gpus_per_run`` devices each."""

    store: "Store"
    study: str
    subject: "Subject"
    gpus_per_run: int = 1


def make_launcher(means: Means, devices: Sequence[str], work: Work) -> "Launcher":
    """What trains the study's runs, with a worker on each of ``devices``."""
    if means.launcher is LauncherName.INLINE:
        return _inline(devices[0], work.subject)
    if means.launcher is LauncherName.SLURM:
        from ablate.api.slurms import slurm_launcher

        return slurm_launcher(means, devices, work)
    if means.launcher is LauncherName.RAY:
        from ablate.api.rays import ray_launcher

        return ray_launcher(means, devices, work.subject, work.store)
    return _local(means, devices, work.subject)


def _inline(device: str, subject: "Subject") -> "Launcher":
    from ablate.launch.inline import InlineLauncher
    from ablate.worker.bench import train_task

    return InlineLauncher(partial(train_task, subject=subject), device)


def _local(means: Means, devices: Sequence[str], subject: "Subject") -> "Launcher":
    from ablate.launch.sharing import launcher_of

    return launcher_of(subject, devices, means.runs_per_gpu, means.workers)
