"""The options that say by which means runs train, which several commands share."""

from dataclasses import dataclass
from typing import Annotated

import typer

from ablate.api import means
from ablate.api.means import LauncherName
from ablate.ground.failures import FailureKind

RetryOption = Annotated[bool, typer.Option("--retry", help="Train failed runs again.")]
CauseOption = Annotated[
    list[FailureKind] | None,
    typer.Option(
        "--cause", help="With --retry: only runs that failed of this, see `ablate failures`; repeatable."
    ),
]
FailFastOption = Annotated[
    bool, typer.Option("--fail-fast", help="Stop at the first failed run; the others save where they are.")
]
MaxRetriesOption = Annotated[
    int,
    typer.Option(
        "--max-retries",
        min=0,
        help="Times a run is resumed whose worker died or ran out of memory, before it counts as failed.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, max=1024, help="Worker processes.  [default: one a core, or one a GPU]"),
]
DeviceOption = Annotated[
    str, typer.Option("--device", metavar="auto|cpu|cuda|cuda:0,..", help="Where to train.")
]
RunsPerGpuOption = Annotated[
    int | None,
    typer.Option(
        "--runs-per-gpu",
        min=1,
        max=1024,
        help="Runs at once on a GPU, at most.  [default: what is fastest, or fits]",
    ),
]
LauncherOption = Annotated[
    LauncherName,
    typer.Option(
        "--launcher",
        help="local: worker processes here; slurm: jobs of a cluster; ray: nodes of a Ray cluster; inline: "
        "in this process, for debugging.",
    ),
]
SlurmOption = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm",
        metavar="NAME=VALUE,..",
        help="Options of sbatch for each job: partition=gpu,time=4:00:00,gpus-per-task=1; repeatable.",
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option("--jobs", min=1, max=100_000, help="Jobs of a cluster at a time, at most.  [default: 10]"),
]
NoWaitOption = Annotated[
    bool,
    typer.Option("--no-wait", help="Leave the cluster's jobs to themselves; the same command joins them."),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="auto|HOST:PORT",
        help="The Ray cluster that is up.  [default: one of this machine alone]",
    ),
]
NoScoresOption = Annotated[
    bool,
    typer.Option(
        "--no-scores",
        help="Keep of each run its results alone, not what the network said of each frame: less disk, and "
        "nothing for ablate rescore.",
    ),
]
EnergyOption = Annotated[
    bool,
    typer.Option(
        "--energy",
        help="Record the energy of each run in kWh, as CodeCarbon finds it (pip install 'ablate[energy]').",
    ),
]


@dataclass(frozen=True)
class Means(means.Means):
    """``api.means.Means`` as options."""

    retry: RetryOption = False
    cause: CauseOption = None
    fail_fast: FailFastOption = False
    max_retries: MaxRetriesOption = 1
    workers: WorkersOption = None
    device: DeviceOption = "auto"
    runs_per_gpu: RunsPerGpuOption = None
    launcher: LauncherOption = LauncherName.LOCAL
    slurm: SlurmOption = None
    jobs: JobsOption = None
    no_wait: NoWaitOption = False
    address: AddressOption = None
    no_scores: NoScoresOption = False
    energy: EnergyOption = False
