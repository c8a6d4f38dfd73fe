"""Where the runs of a study under a barrage train, by name; each is up as long as its context is."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from ablate.tracking.server import free_port, server, wait_until_up
from tests import slurm as one_host
from tests.faults.barrage import (
    INLINE,
    LOCAL,
    Barrage,
    Ground,
    Strike,
    another_command,
    controller_asked,
    controller_frozen,
    controller_killed,
    everything_killed,
    worker_struck,
)
from tests.faults.lightstudy import LightStudy, parent
from tests.faults.scenarios import HOST, MAIN_PORT
from tests.nodes import Nodes

# ---------------------------------------------------------------------------------------- MLflow's server


class Served:
    """A server of MLflow's that can be killed and started again, or be silent for a while."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.port = free_port(HOST, MAIN_PORT)
        self.database = folder / "served.db"
        self._child: subprocess.Popen[bytes] | None = None
        self._up: AbstractContextManager[subprocess.Popen[bytes]] | None = None

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        log = self.folder / "server.txt"
        self._up = server(f"sqlite:///{self.database}", self.folder / "served", HOST, self.port, log)
        self._child = self._up.__enter__()
        wait_until_up(self._child, self.address, log)

    def signal(self, number: signal.Signals) -> None:
        assert self._child is not None
        os.killpg(self._child.pid, number)

    def end(self) -> None:
        if self._up is not None:
            self._up.__exit__(None, None, None)
            self._up = None

    def serve(self, study: LightStudy) -> Path:
        """A server with a database of the next study's own, at first empty."""
        assert study.empty_database is not None
        self.end()
        shutil.copy(study.empty_database, self.database)
        self.start()
        return self.database

    def silent(self, barrage: Barrage) -> None:
        if barrage.study.running:
            barrage.note("MLflow's server SIGSTOP")
            self.signal(signal.SIGSTOP)
            time.sleep(barrage.draw.uniform(0.05, 4))
            self.signal(signal.SIGCONT)

    def killed(self, barrage: Barrage) -> None:
        if barrage.study.running:
            barrage.note("MLflow's server SIGKILL")
            self.signal(signal.SIGKILL)
            time.sleep(barrage.draw.uniform(0, 2))
            self.end()
            self.start()


@contextmanager
def served(folder: Path) -> Iterator[Ground]:
    """Local workers; the study's MLflow is a server."""
    mlflow = Served(folder)
    strikes: Mapping[Strike, int] = {
        mlflow.silent: 10,
        mlflow.killed: 2,
        controller_killed: 3,
        controller_asked(signal.SIGTERM): 1,
        everything_killed: 3,
    }
    try:
        yield Ground(
            "MLflow's server",
            strikes,
            environment={"MLFLOW_TRACKING_URI": mlflow.address},
            constants=LOCAL.constants,
            database=mlflow.serve,
        )
    finally:
        mlflow.end()


# -------------------------------------------------------------------------------------------------- Slurm

ELEMENT = "ablate.campaign.element"


class Cluster:
    """A real Slurm on this host, of two nodes."""

    def __init__(self, slurm: one_host.Slurm) -> None:
        self.slurm = slurm

    def elements(self, barrage: Barrage) -> list[int]:
        return sorted(pid for pid, command in barrage.study.processes().items() if ELEMENT in command)

    def element_struck(self, number: signal.Signals) -> Strike:
        def strike(barrage: Barrage) -> None:
            if elements := self.elements(barrage):
                barrage.hit(barrage.draw.choice(elements), number, f"job {number.name}")

        return strike

    def preempted(self, barrage: Barrage) -> None:
        """A job is ended and begun again, as by one of a higher priority."""
        if barrage.study.running and (job := self._job(barrage.draw)):
            barrage.note("job preempted")
            self.slurm.ask("scontrol", "requeue", job)

    def cancelled(self, barrage: Barrage) -> None:
        if barrage.study.running and (job := self._job(barrage.draw)):
            barrage.note("job cancelled")
            self.slurm.ask("scancel", job)

    def node_killed(self, barrage: Barrage) -> None:
        """A node and all that runs on it; it is back some seconds later."""
        if barrage.study.running and self._job(barrage.draw):
            k = barrage.draw.randint(1, self.slurm.n)
            if self.slurm.kill_node(k):
                barrage.note("node SIGKILL")
            time.sleep(barrage.draw.uniform(0, 3))
            self.slurm.start_node(k)

    def _job(self, draw: random.Random) -> str | None:
        jobs = self.slurm.ask("squeue", "-h", "-r", "-t", "RUNNING", "-o", "%i").split()
        return draw.choice(sorted(jobs)) if jobs else None

    def tidy(self) -> None:
        self.slurm.ask("scancel", "-u", "root")
        deadline = time.monotonic() + 60
        while self._is_busy() and time.monotonic() < deadline:
            time.sleep(0.2)

    def _is_busy(self) -> bool:
        idle = self.slurm.ask("sinfo", "-hN", "-t", "idle").splitlines()
        return bool(self.slurm.ask("squeue", "-h").strip()) or len(idle) < self.slurm.n


@contextmanager
def on_slurm(folder: Path) -> Iterator[Ground]:
    """Jobs of a real Slurm. Raises RuntimeError where there can be none."""
    if missing := one_host.what_is_missing():
        raise RuntimeError(f"no Slurm: {missing}")
    with one_host.slurm(folder) as slurm:
        cluster = Cluster(slurm)
        strikes: Mapping[Strike, int] = {
            controller_killed: 4,
            controller_asked(signal.SIGINT): 2,
            controller_asked(signal.SIGTERM): 1,
            controller_frozen: 1,
            cluster.element_struck(signal.SIGKILL): 4,
            cluster.element_struck(signal.SIGTERM): 2,
            worker_struck(signal.SIGKILL): 4,
            cluster.preempted: 3,
            cluster.cancelled: 2,
            cluster.node_killed: 2,
            everything_killed: 2,
            another_command: 1,
        }
        yield Ground(
            "Slurm",
            strikes,
            options=("--launcher", "slurm", "--slurm", "partition=cpu", "--jobs", "2", "--device", "cpu"),
            environment={"SLURM_CONF": slurm.environment["SLURM_CONF"]},
            # A cluster that nobody shares may be looked at more often.
            constants={
                "ablate.launch.slurm.LOOK_EVERY_S": 2.0,
                "ablate.launch.slurm.FIRST_LOOK_S": 2.0,
                "ablate.launch.slurm.TOP_UP_EVERY_S": 4.0,
            },
            pause_s=0.1,
            patience_s=20.0,
            excuses=("the jobs of Slurm end without training anything",),
            leaves_nobody=False,
            tidy=cluster.tidy,
        )


# ---------------------------------------------------------------------------------------------------- Ray


class RayCluster:
    """A real Ray cluster on this host, of two nodes of one core."""

    def __init__(self) -> None:
        self.nodes = Nodes()
        self.tidy()

    def tidy(self) -> None:
        self.nodes.grow(2)

    def worker_killed(self, barrage: Barrage) -> None:
        if workers := self._actors():
            barrage.hit(barrage.draw.choice(workers), signal.SIGKILL, "worker SIGKILL")

    def node_killed(self, barrage: Barrage) -> None:
        """A node and all that runs on it; another one joins some seconds later."""
        if barrage.study.running and self._actors():
            barrage.note("node SIGKILL")
            self.nodes.kill(barrage.draw.choice(sorted(self.nodes.by_id)))
            time.sleep(barrage.draw.uniform(0, 2))
            self.tidy()

    def _actors(self) -> list[int]:
        """The processes of the study's workers, which name themselves and are started by the nodes'."""
        nodes = _processes(lambda words: b"raylet" in words and self.nodes.raw.address.encode() in words)
        actors = _processes(lambda words: words.startswith(b"ray::Actor"))
        return [pid for pid in actors if parent(pid) in nodes]

    def everything_killed(self, barrage: Barrage) -> None:
        """The command and all workers; not the cluster, which is not the study's."""
        if barrage.study.running:
            workers = self._actors()
            everything_killed(barrage)
            for pid in workers:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _processes(is_one: Callable[[bytes], bool]) -> list[int]:
    """Those of this host of whose command line something is so."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if is_one(path.read_bytes()):
                found.append(int(path.parent.name))
    return sorted(found)


@contextmanager
def on_ray(_folder: Path) -> Iterator[Ground]:
    """Nodes of a real Ray cluster."""
    cluster = RayCluster()
    strikes: Mapping[Strike, int] = {
        controller_killed: 4,
        controller_asked(signal.SIGINT): 2,
        controller_asked(signal.SIGTERM): 2,
        cluster.worker_killed: 6,
        cluster.node_killed: 3,
        cluster.everything_killed: 2,
    }
    try:
        yield Ground(
            "Ray",
            strikes,
            options=("--launcher", "ray", "--address", cluster.nodes.raw.address),
            forks=False,  # Ray's client has threads from its import on
            pause_s=0.1,
            patience_s=20.0,
            leaves_nobody=False,
            tidy=cluster.tidy,
        )
    finally:
        cluster.nodes.raw.shutdown()


GROUNDS: Mapping[str, Callable[[Path], AbstractContextManager[Ground]]] = {
    LOCAL.name: lambda _: nullcontext(LOCAL),
    INLINE.name: lambda _: nullcontext(INLINE),
    "MLflow's server": served,
    "Slurm": on_slurm,
    "Ray": on_ray,
}
