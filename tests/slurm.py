"""A real Slurm on this host, of nodes with one core each, for as long as a test needs it."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PORT = 16817
PROGRAMS = ("slurmctld", "slurmd", "munge", "munged", "sbatch", "squeue", "scontrol", "scancel", "runuser")
COMES_UP_WITHIN_S = 30.0

CONFIGURATION = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/spool-%n
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
ReturnToService=2
SlurmdTimeout=10
"""
NODE = (
    "NodeName=n{k} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=3000 State=UNKNOWN\n"
)
PARTITION = "PartitionName=cpu Nodes=n[1-{n}] Default=YES MaxTime=INFINITE State=UP\n"


def what_is_missing() -> str | None:
    """Why there can be no Slurm here, for a test's reason to skip."""
    if os.geteuid() != 0:
        return "Slurm's daemons are started as root"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"not installed (Debian's slurm-wlm and munge): {', '.join(missing)}" if missing else None


class Slurm:
    """A cluster that is up; ``environment`` is what its commands need to find it."""

    def __init__(self, folder: Path, n: int) -> None:
        self.folder = folder
        self.n = n
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}

    def ask(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def start(self) -> None:
        host = socket.gethostname().partition(".")[0]
        (self.folder / "state").mkdir(parents=True)
        text = CONFIGURATION.format(host=host, port=PORT, folder=self.folder)
        for k in range(1, self.n + 1):
            (self.folder / f"spool-n{k}").mkdir()
            text += NODE.format(k=k, host=host, port=PORT + k)
        (self.folder / "slurm.conf").write_text(text + PARTITION.format(n=self.n))
        _start_munge()
        subprocess.run(["slurmctld", "-f", self.folder / "slurm.conf"], check=True, timeout=60)
        for k in range(1, self.n + 1):
            self.start_node(k)
        self._wait_for_nodes()

    def start_node(self, k: int) -> None:
        subprocess.run(["slurmd", "-f", self.folder / "slurm.conf", "-N", f"n{k}"], check=True, timeout=60)

    def _wait_for_nodes(self) -> None:
        deadline = time.monotonic() + COMES_UP_WITHIN_S
        command = ["sinfo", "-h", "-N", "-t", "idle"]
        while True:
            answer = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
            if len(answer.stdout.splitlines()) >= self.n:
                return
            said = answer.stderr.strip() or f"see {self.folder}/*.log"
            assert time.monotonic() < deadline, f"the nodes did not come up: {said}"
            time.sleep(0.2)

    def kill_node(self, k: int) -> list[int]:
        """Kill a node's daemon and all that runs on it, as a power cut would; the processes that died."""
        _kill(int((self.folder / f"n{k}.pid").read_text()))  # the daemon first, so that it tells nobody
        processes = _processes_of(f"n{k}")
        for pid in {parent for pid in processes if _name(parent := _parent(pid)) == "slurmstepd"}:
            _kill(pid)
        return [pid for pid in processes if _kill(pid)]

    def stop(self) -> None:
        with suppress(subprocess.SubprocessError):
            self.ask("scancel", "-u", "root")
        for k in range(1, self.n + 1):
            for pid in _processes_of(f"n{k}"):
                _kill(pid)
        daemons = []
        for file in self.folder.glob("*.pid"):
            with suppress(OSError, ValueError):
                daemons.append(int(file.read_text()))
                os.kill(daemons[-1], signal.SIGTERM)
        deadline = time.monotonic() + COMES_UP_WITHIN_S
        while any(Path(f"/proc/{pid}").exists() for pid in daemons) and time.monotonic() < deadline:
            time.sleep(0.1)  # so that the next cluster gets their ports


@contextmanager
def slurm(folder: Path, n: int = 2) -> Iterator[Slurm]:
    """A cluster of ``n`` nodes whose state lies in ``folder``."""
    cluster = Slurm(folder, n)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _start_munge() -> None:
    """The daemon by which Slurm's programs know each other; it stays, as it serves the whole host.

    It is asked rather than looked for: a daemon that was killed leaves its socket behind.
    """
    if subprocess.run(["munge", "-n"], capture_output=True, timeout=60).returncode == 0:
        return
    for folder in ("/run/munge", "/var/log/munge"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        shutil.chown(folder, "munge")
    subprocess.run(["runuser", "-u", "munge", "--", "munged"], check=True, timeout=60)


def _kill(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def _processes_of(node: str) -> list[int]:
    """The processes of the node's jobs, by the mark that Slurm leaves in their environment."""
    mark = f"SLURMD_NODENAME={node}".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return found


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
