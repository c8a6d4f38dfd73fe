"""A study as jobs of a real Slurm: nodes die, jobs are preempted and run out of time, and nothing is lost."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ablate.launch.slurm import queues
from ablate.launch.tickets import Queue
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from tests import slurm as real
from tests.slurm import Slurm

WALK = Path(__file__).with_name("walk.py")
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Two nodes of one core."""
    missing = real.what_is_missing()
    if missing is not None:
        pytest.skip(f"no Slurm: {missing}")
    with real.slurm(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


class Login:
    """What a user types on the login node of the cluster."""

    def __init__(self, cluster: Slurm, folder: Path) -> None:
        self.cluster = cluster
        self.store = Store(folder / "store")

    def start(self, *words: object, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "ablate.cli.app", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**self.cluster.environment, "ABLATE_STORE": str(self.store.root), **variables},
        )

    def type(self, *words: object, code: int = 0, **variables: str) -> str:
        """What the command says, which must end with exit code ``code``."""
        process = self.start(*words, **variables)
        said, _ = process.communicate(timeout=240)
        assert process.returncode == code, said
        return said

    def grid(self, *words: object) -> list[object]:
        return ["grid", "walk", "--subject", WALK, *words]

    def runs(self) -> list[RunFolder]:
        return self.store.study_runs("walk")

    def states(self) -> list[State]:
        return [run.status().state for run in self.runs()]

    def queue(self) -> Queue:
        (queue,) = queues(self.store.study_folder("walk"), "walk").values()
        return queue


@pytest.fixture
def login(cluster: Slurm, tmp_path: Path) -> Iterator[Login]:
    yield Login(cluster, tmp_path)
    cluster.ask("scancel", "-u", "root")
    wait_until(lambda: not cluster.ask("squeue", "-h"), "Slurm to be empty")


def wait_until(is_so: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def on_slurm(*options: str, jobs: int) -> list[object]:
    return ["--launcher", "slurm", "--slurm", ",".join(["partition=cpu", *options]), "--jobs", jobs]


def outcome(runs: list[RunFolder]) -> dict[str, Any]:
    """What the runs came to: their scores and curves, without the times that they took."""
    found = {}
    for run in runs:
        result = run.result()
        assert result is not None, run.path
        curve = [{name: value for name, value in row.items() if name != "seconds"} for row in run.history()]
        found[run.run_id] = (result["metrics"], curve)
    return found


def test_a_study_has_the_numbers_that_it_has_without_a_cluster(login: Login, tmp_path: Path) -> None:
    study = login.grid("--levels", "step=1,2", "--seeds", 2, "--set", "pause=0.02")
    said = login.type(*study, *on_slurm("time=5", jobs=2))
    assert "on Slurm: at most 2 jobs at a time (partition=cpu,time=5), each with 1 core" in said
    assert login.states() == [State.FINISHED] * 4
    here = Login(login.cluster, tmp_path / "here")
    here.type(*study)
    assert outcome(login.runs()) == outcome(here.runs())
    assert "4 finished" in login.type(*study, *on_slurm("time=5", jobs=2), "--dry-run")


def test_jobs_go_on_alone_and_the_same_command_joins_them(login: Login) -> None:
    words = [*login.grid("--levels", "step=1,2", "--seeds", 3, "--set", "pause=0.1"), *on_slurm(jobs=2)]
    assert "6 runs left to Slurm's jobs ablate-walk-" in login.type(*words, "--no-wait")
    wait_until(lambda: State.FINISHED in login.states(), "the first run")
    said = login.type("status", "walk")
    assert re.search(r"jobs ablate-walk-[0-9a-f]{8}: 2 running, \d runs? queued", said), said
    assert "[6/6]" in login.type(*words) or login.states() == [State.FINISHED] * 6
    assert login.states() == [State.FINISHED] * 6
    said = login.type("show", "baseline seed=0")
    job = re.search(r"job (\d+_\d) of Slurm", said)
    log = re.search(r"job log +(\S+)", said)
    assert job is not None
    assert log is not None
    assert f"job {job[1]} on" in (Path.cwd() / log[1]).read_text()


@pytest.mark.cluster
def test_cancel_ends_the_jobs_and_the_same_command_goes_on(login: Login) -> None:
    words = [*login.grid("--levels", "step=1,2", "--set", "pause=0.2"), *on_slurm(jobs=2)]
    process = login.start(*words)
    wait_until(lambda: login.store.study_names() and login.states().count(State.RUNNING) == 2, "two runs")
    said = login.type("cancel", "walk")
    assert said.startswith("walk: 2 runs saved where they are, 4 runs taken from the queue"), said
    said = process.communicate(timeout=PATIENCE_S)[0]
    assert process.returncode == 130
    assert "warning: cancelled; the same command goes on from where the runs were last saved" in said
    wait_until(lambda: not login.cluster.ask("squeue", "-h"), "the jobs to go")
    assert login.states().count(State.INTERRUPTED) == 2
    assert login.queue().tickets() == set()
    login.type(*words, "--no-wait")
    wait_until(lambda: set(login.states()) == {State.FINISHED}, "the study")


def test_bad_input_is_a_sentence(login: Login) -> None:
    study = login.grid("--levels", "step=1,2")
    said = login.type(*study, "--launcher", "slurm", "--slurm", "partition=gpu", code=2)
    assert said == "ablate: --slurm partition=gpu: Slurm knows no such partition; did you mean 'cpu'?\n"
    assert not login.store.root.exists()
    said = login.type(*study, "--launcher", "slurm", "--slurm", "mem=1000G", code=2)
    assert "ablate: --slurm mem=1000G: sbatch: " in said
    assert "Requested node configuration is not available" in said
    assert login.states() == [State.PENDING] * 6


@pytest.mark.cluster
def test_jobs_that_wait_say_why(login: Login) -> None:
    words = [*login.grid("--levels", "step=1,2"), *on_slurm("begin=now+1hour", jobs=2)]
    process = login.start(*words)
    assert process.stdout is not None
    for line in process.stdout:
        if "wait" in line:
            break
    assert "2 jobs of Slurm wait: BeginTime (`squeue --name=ablate-walk-" in line
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert "6 runs left to Slurm's jobs" in said
    assert process.returncode == 130
    login.type("cancel", "walk")
    assert login.cluster.ask("squeue", "-h", "-t", "PENDING") == ""


@pytest.mark.cluster
def test_a_store_that_the_nodes_do_not_see_is_named(login: Login, tmp_path: Path) -> None:
    """The command sees a file system of its own where the store is, as on a login node with a local disk."""
    own = tmp_path / "own"
    own.mkdir()
    command = " ".join(
        map(
            str,
            [sys.executable, "-m", "ablate.cli.app", *login.grid("--levels", "step=1"), *on_slurm(jobs=2)],
        )
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none {own} && {command} --store {own}"],
        env=login.cluster.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no file systems of one's own here: {done.stderr}")
    assert done.returncode == 2, done.stderr
    assert "the jobs of Slurm end without training anything (JobState=FAILED" in done.stderr
    assert f"They left no log in {own}" in done.stderr
    assert "Login and compute nodes must share the store's file system" in done.stderr
    assert "saved where it is" not in done.stdout


@pytest.mark.cluster
def test_a_study_survives_a_dead_node_preemption_and_time_limits(login: Login, tmp_path: Path) -> None:
    """40 runs in 6 elements of two nodes; then ``ablate cancel``, and the same command again."""
    study = login.grid("--levels", "step=1,2,3,4,5,6,7,8", "--seeds", 5, "--set", "pause=0.4")
    words = [*study, *on_slurm("time=2", jobs=6), "--no-wait"]
    queue_of_slurm = lambda: login.cluster.ask("squeue", "-h", "-r", "-o", "%i %T %N %S")  # noqa: E731
    login.type(*words)
    wait_until(lambda: login.states().count(State.RUNNING) == 2, "two runs")

    victims = {run.run_id: run.status() for run in login.runs() if run.status().state is State.RUNNING}
    killed = login.cluster.kill_node(1)
    assert any(status.pid in killed for status in victims.values()), "no worker of a run was killed"
    wait_until(lambda: "n1" not in queue_of_slurm(), "Slurm to see that the node is dead")
    login.cluster.start_node(1)

    wait_until(lambda: in_training(login), "a job that trains")
    preempted = in_training(login)[0]
    login.cluster.ask("scontrol", "requeue", preempted.stem)
    wait_until(lambda: "asked to end; all runs have saved" in preempted.read_text(), "the preempted to save")
    assert "interrupted (interrupted after epoch" in preempted.read_text()

    wait_until(lambda: any("time limit is near" in log for log in logs(login)), "a time limit", 200)
    assert any("begin this job again: done" in log for log in logs(login))

    login.type("cancel", "walk")
    wait_until(lambda: not queue_of_slurm(), "the jobs to go")
    states = login.states()
    assert State.FINISHED in states
    assert State.RUNNING not in states
    left = states.count(State.FINISHED)
    assert left < 40

    wait_until(lambda: len(login.cluster.ask("sinfo", "-hN", "-t", "idle").splitlines()) == 2, "two nodes")
    login.type(*words[:-1])
    assert login.states() == [State.FINISHED] * 40
    here = Login(login.cluster, tmp_path / "here")
    here.type(*study, "--set", "pause=0")
    assert [*outcome(login.runs()).values()] == [*outcome(here.runs()).values()]
    assert points_of(login) == {(run.run_id, epoch) for run in login.runs() for epoch in range(1, 21)}


def in_training(login: Login) -> list[Path]:
    """The logs of jobs that run, and whose last word is that they have begun a run."""
    running = set(login.cluster.ask("squeue", "-h", "-r", "-t", "RUNNING", "-o", "%i").split())
    found = [log for log in login.queue().logs.glob("*.log") if log.stem in running]
    return [log for log in found if log.read_text().endswith(": started\n")]


def logs(login: Login) -> list[str]:
    return [log.read_text() for log in login.queue().logs.glob("*.log")]


def points_of(login: Login) -> set[tuple[str, int]]:
    """What MLflow has of the curves: each (run, epoch); it must have each once."""
    import sqlite3

    with sqlite3.connect(login.store.database) as database:
        rows = database.execute(
            "SELECT tags.value, metrics.step FROM metrics JOIN tags ON tags.run_uuid = metrics.run_uuid "
            "WHERE tags.key = 'ablate.run_id' AND metrics.key = 'curves/x'"
        ).fetchall()
    assert len(rows) == len(set(rows))
    return set(rows)
