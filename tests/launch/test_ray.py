"""Studies on Ray clusters: what a node's death costs, what travels, and what is said of a cluster amiss."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ablate.api import rays
from ablate.campaign.campaign import Campaign, Policy
from ablate.cli.means import LauncherName, Means
from ablate.design.runs import Run
from ablate.design.study import plan_study
from ablate.ground.errors import ConfigError
from ablate.launch import ray as on_ray
from ablate.launch import ray_cluster
from ablate.launch.base import Event, Kind, Launcher
from ablate.launch.local import LocalLauncher
from ablate.launch.ray import RayLauncher
from ablate.launch.ray_cluster import Cluster, Need, connect, share
from ablate.record.rundir import State
from ablate.record.store import Store
from ablate.subject.interface import Dataset
from ablate.subject.module import open_module
from tests.campaign.test_campaign import RecordingTracker
from tests.nodes import Nodes

LIGHT = Path(__file__).with_name("light.py")
SUBJECT = open_module(LIGHT)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    yield nodes
    nodes.raw.shutdown()


@pytest.fixture(scope="module")
def answered_before(nodes: Nodes) -> Any:  # noqa: ARG001 - which has an answer of its own
    """Who is called at SIGTERM before the cluster is joined."""
    return signal.getsignal(signal.SIGTERM)


@pytest.fixture(scope="module")
def cluster(nodes: Nodes, answered_before: Any) -> Iterator[Cluster]:  # noqa: ARG001
    cluster = connect(nodes.raw.address)
    yield cluster
    cluster.close()


@pytest.fixture(autouse=True)
def save_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_CHECKPOINT_EVERY_S", "0")


@dataclass
class Witness:
    """Notes what a campaign tells, and acts once: at a run's early epoch, when there were enough of all."""

    at_epoch: int = 0
    acted: bool = False
    act: Callable[[Run], None] = lambda _: None
    events: list[Event] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def on_event(self, run: Run, event: Event) -> None:
        self.events.append(event)
        is_early = event.kind is Kind.EPOCH and 3 <= event.epoch <= 8
        if is_early and not self.acted and len(self.of(Kind.EPOCH)) >= self.at_epoch:
            self.acted = True
            self.act(run)

    def on_warning(self, message: str) -> None:
        self.warnings.append(message)

    def of(self, kind: Kind) -> list[str]:
        return [event.run_id for event in self.events if event.kind is kind]


def study_in(root: Path, seeds: int, data: Path | None = None, brake: str = "") -> tuple[Store, list[Run]]:
    store = Store(root)
    base = SUBJECT.default.model_copy(update={"brake": brake})
    study = plan_study("s", SUBJECT, base, [], {"lr": ["0.1", "0.2"]}, seeds=seeds)
    found = SUBJECT.data.provide(data, store.data, print, ())
    runs = study.runs(Dataset(found.name, found.digest, found.path))
    store.add_to_study("s", runs, "typed", base=runs[0].config, card=SUBJECT.card)
    return store, runs


def carry(store: Store, runs: list[Run], launcher: Launcher, witness: Witness) -> None:
    tracker: Any = RecordingTracker()
    Campaign(store, launcher, tracker, witness, Policy(max_retries=3)).execute(runs)


def numbers(store: Store, runs: list[Run]) -> dict[str, Any]:
    """Scores, curves and files of each run, and that each is whole."""
    found = {}
    for run in runs:
        folder = store.folder(run.run_id)
        status, result = folder.look()
        assert status.state is State.FINISHED, status
        assert result is not None
        assert folder.damage(files=True) is None
        assert folder.checkpoints() == []
        rows = [{**row, "seconds": None} for row in folder.history()]
        found[run.run_id] = (result["metrics"], rows, (folder.path / "place.txt").read_text())
    return found


@cache
def numbers_here(seeds: int, data: Path | None = None, brake: str = "") -> dict[str, Any]:
    """Those that the local launcher gives."""
    with tempfile.TemporaryDirectory() as root:
        store, runs = study_in(Path(root), seeds, data, brake)
        carry(store, runs, LocalLauncher(["cpu"] * 2, SUBJECT.spec), Witness())
        return numbers(store, runs)


def put_on_brake(folder: Path) -> Path:
    """Trainings that would be over before a slow machine looks at them wait for what is done to them."""
    brake = folder / "brake"
    brake.touch()
    return brake


def lose_a_node(tmp_path: Path, nodes: Nodes, cluster: Cluster, *, seeds: int, may_share: bool) -> None:
    """A study in whose middle a node is killed that trains; it is carried through, as on one machine."""
    brake = put_on_brake(tmp_path)
    store, runs = study_in(tmp_path / "ray", seeds, brake=str(brake))
    launcher = RayLauncher(cluster, SUBJECT.spec, store.root, may_share=may_share, keeps_cluster=True)
    victims: list[str] = []

    def kill_its_node(run: Run) -> None:
        (slot,) = [slot for slot in launcher._slots if run.run_id in slot.tasks]
        assert slot.hello is not None
        nodes.kill(slot.hello.node)
        victims.append(run.run_id)
        brake.unlink()

    witness = Witness(at_epoch=6, act=kill_its_node)
    carry(store, runs, launcher, witness)
    (victim,) = victims
    told = [event.kind for event in witness.events if event.run_id == victim]
    assert Kind.DIED in told, told
    assert told.index(Kind.STARTED) < told.index(Kind.EPOCH) < told.index(Kind.DIED) < len(told) - 1
    assert told[-1] is Kind.FINISHED  # after it had died
    assert witness.of(Kind.DIED) == [victim]
    (warning,) = [text for text in witness.warnings if "does not see the store" not in text]
    assert re.search(r": node .* died.*; the run will be resumed$", warning)
    assert sorted(witness.of(Kind.FINISHED)) == sorted(run.run_id for run in runs)
    assert numbers(store, runs) == numbers_here(seeds, brake=str(brake))
    assert list(store.root.glob(".ray.*")) == []


def test_a_study_survives_the_death_of_a_node(tmp_path: Path, nodes: Nodes, cluster: Cluster) -> None:
    nodes.grow(2)
    lose_a_node(tmp_path, nodes, cluster, seeds=1, may_share=True)


@pytest.mark.cluster
@pytest.mark.parametrize("may_share", [True, False])
def test_three_nodes_of_which_one_dies(
    tmp_path: Path, nodes: Nodes, cluster: Cluster, *, may_share: bool
) -> None:
    nodes.grow(3)
    lose_a_node(tmp_path, nodes, cluster, seeds=6, may_share=may_share)


def test_folders_code_and_data_travel_and_come_home_whole(
    tmp_path: Path, nodes: Nodes, cluster: Cluster
) -> None:
    nodes.grow(1)
    data = tmp_path / "data"
    data.mkdir()
    (data / "step.txt").write_text("0.5")
    store, runs = study_in(tmp_path / "ray", 1, data)
    launcher = RayLauncher(cluster, SUBJECT.spec, store.root, may_share=False, keeps_cluster=True)
    holders = []
    witness = Witness(at_epoch=3, act=lambda run: holders.append(store.folder(run.run_id).holder()))
    carry(store, runs, launcher, witness)
    assert numbers(store, runs) == numbers_here(1, data)
    assert [holder and holder.pid for holder in holders] == [os.getpid()]  # no other takes it meanwhile
    (sentence,) = witness.warnings
    assert "does not see the store: run folders and data travel" in sentence
    assert list(Path("/tmp").glob(f"ablate-ray-{os.getuid()}-{launcher._token[:12]}*")) == []


def test_runs_that_are_stopped_come_home_and_go_on(tmp_path: Path, nodes: Nodes, cluster: Cluster) -> None:
    nodes.grow(1)
    brake = put_on_brake(tmp_path)
    store, runs = study_in(tmp_path / "ray", 2, brake=str(brake))

    def interrupt(_: Run) -> None:
        raise KeyboardInterrupt

    launcher = RayLauncher(cluster, SUBJECT.spec, store.root, may_share=False, keeps_cluster=True)
    with pytest.raises(KeyboardInterrupt):
        carry(store, runs, launcher, Witness(at_epoch=5, act=interrupt))
    folders = [store.folder(run.run_id) for run in runs]
    states = [folder.status().state for folder in folders]
    assert State.INTERRUPTED in states
    assert State.RUNNING not in states
    assert max(len(folder.history()) for folder in folders if folder.checkpoints()) >= 3
    brake.unlink()
    carry(store, runs, LocalLauncher(["cpu"] * 2, SUBJECT.spec), Witness())
    assert numbers(store, runs) == numbers_here(2, brake=str(brake))


def test_what_a_killed_controller_has_left_goes_with_the_next(
    tmp_path: Path, nodes: Nodes, cluster: Cluster
) -> None:
    nodes.grow(1)
    first = RayLauncher(cluster, SUBJECT.spec, tmp_path, keeps_cluster=True)
    (of_first,) = tmp_path.glob(".ray.*")
    left = of_first.with_suffix("." + "0" * 32)  # of this host, whose lock nobody holds
    left.write_text("0" * 32)
    elsewhere = tmp_path / f".ray.elsewhere.{'1' * 32}"
    elsewhere.touch()
    second = RayLauncher(cluster, SUBJECT.spec, tmp_path, keeps_cluster=True)
    assert len(list(tmp_path.glob(".ray.*"))) == 3
    assert of_first.exists()
    assert elsewhere.exists()
    first.stop()
    second.stop()
    assert list(tmp_path.glob(".ray.*")) == [elsewhere]


def test_a_command_on_a_cluster_answers_sigterm_as_before(answered_before: Any, cluster: Cluster) -> None:
    assert cluster.nodes()  # joined
    assert signal.getsignal(signal.SIGTERM) is answered_before


# ------------------------------------------------------------------------------------------ what is amiss


def test_a_node_of_another_version_is_named(
    tmp_path: Path, nodes: Nodes, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes.grow(1)
    store, runs = study_in(tmp_path, 1)
    monkeypatch.setattr(on_ray, "VERSION", "9.9")  # of the controller
    launcher = RayLauncher(cluster, SUBJECT.spec, store.root, keeps_cluster=True)
    with pytest.raises(ConfigError, match=r"node .* has ablate 0\.\d.*, this machine 9\.9; install the same"):
        carry(store, runs, launcher, Witness())


def test_a_node_with_other_code_of_the_same_version_is_named(
    tmp_path: Path, nodes: Nodes, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes.grow(1)
    store, runs = study_in(tmp_path, 1)
    monkeypatch.setattr(on_ray, "source_digest", lambda: "0")  # of the controller
    launcher = RayLauncher(cluster, SUBJECT.spec, store.root, keeps_cluster=True)
    with pytest.raises(ConfigError, match="as this machine, but of other code; install the same on all"):
        carry(store, runs, launcher, Witness())


def test_runs_that_find_no_place_say_why(
    tmp_path: Path, nodes: Nodes, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes.grow(1)
    monkeypatch.setattr(on_ray, "PATIENCE_S", 0.2)
    store, runs = study_in(tmp_path, 1)
    said: list[str] = []
    launcher = RayLauncher(cluster, SUBJECT.spec, store.root, need=Need(cpus=64), keeps_cluster=True)
    launcher.warm_up(1)
    from ablate.launch.base import Task

    launcher.submit(Task(store.folder(runs[0].run_id).path, runs[0].dataset.path))
    deadline = time.monotonic() + 30
    while not said:
        assert time.monotonic() < deadline
        launcher.poll(0.1)
        said += launcher.news()
    (left,) = launcher.stop()
    assert left.kind is Kind.INTERRUPTED
    assert said[0].startswith("no worker has a place on the Ray cluster at")
    assert "each takes 64 CPUs, and of its" in said[0]


def means(**options: Any) -> Means:
    return Means(launcher=LauncherName.RAY, **options)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("somewhere", "write auto, or HOST:PORT"),
        ("ray://10.0.0.1:10001", "write auto, or HOST:PORT"),
        ("10.0.0.1:port", "write auto, or HOST:PORT"),
        ("no-such-host.invalid:6379", "no Ray cluster answers there"),
    ],
)
def test_an_address_that_is_none_is_refused_at_once(address: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        means(address=address).devices()


def test_an_address_where_nobody_listens_is_refused_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(ConfigError, match=f"--address {address}: no Ray cluster answers there"):
            means(address=address).devices()
    assert time.monotonic() < started + 10


def test_devices_are_chosen_by_ray() -> None:
    with pytest.raises(ConfigError, match="--device cuda:1: with --launcher ray it is auto, cpu or cuda"):
        means(device="cuda:1").devices()


def test_without_ray_the_command_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"Ray is not installed; pip install 'ablate\[ray\]'"):
        means().devices()


def test_other_versions_of_ray_or_python_are_told_by_what_ray_says() -> None:
    from ray._private.utils import check_version_info

    theirs = {"ray_version": "2.9.0", "python_version": "3.9.1"}
    with (
        pytest.raises(ConfigError) as raised,
        ray_cluster._sentences("--address a:1: the Ray cluster cannot be joined"),
    ):
        check_version_info(theirs, "here")
    assert str(raised.value).startswith(
        "--address a:1: the Ray cluster cannot be joined: it has Ray 2.9.0 and Python 3.9.1, this machine "
    )


def test_a_cluster_says_what_it_has_room_for(nodes: Nodes, cluster: Cluster) -> None:
    nodes.grow(2)
    n = len(nodes.by_id)
    assert cluster.places(Need()) == [1] * n  # and none on the head
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rays, "_joined", lambda _: cluster)
        given = means(address=nodes.raw.address)
        assert given.devices() == ["cpu"] * n
        assert means(address="auto", workers=1).devices() == ["cpu"]
        assert rays.where(given, n) == f"{n} workers on {n} nodes of the Ray cluster at {nodes.raw.address}"
        with pytest.raises(ConfigError, match="has no GPU; choose with --device cpu"):
            means(address="auto", device="cuda").devices()


@pytest.mark.parametrize("n", [1, 2, 3, 7, 10])
def test_shares_of_a_gpu_fit_it(n: int) -> None:
    assert Need(0, share(n)).places({"GPU": 1.0}) == n
    assert n * share(n) <= 1


def test_whole_gpus_are_counted_in_groups() -> None:
    assert Need(0, 2).places({"GPU": 5.0}) == 2


@pytest.mark.cluster
def test_a_killed_controller_leaves_nothing(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "ablate.cli.app",
        "grid",
        "s",
        "--subject",
        str(LIGHT),
        "--launcher",
        "ray",
    ]
    command += ["--levels", "lr=0.1,0.2", "--set", "epoch_s=0.5", "--workers", "1", "--store", str(tmp_path)]
    controller = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    store, deadline = Store(tmp_path), time.monotonic() + 120
    while not any(run.state is State.RUNNING for run in map(_status, store.runs.glob("*"))):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    session = controller.pid
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    while left := _of_session(session):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    assert {run.state for run in map(_status, store.runs.glob("*"))} <= {State.INTERRUPTED, State.PENDING}


def _status(folder: Path) -> Any:
    from ablate.record.rundir import RunFolder

    return RunFolder(folder).status()


def _of_session(session: int) -> str:
    found = subprocess.run(
        ["ps", "-o", "pid=,stat=,args=", "-s", str(session)], capture_output=True, text=True, check=False
    ).stdout
    return "\n".join(line for line in found.splitlines() if line.split()[1][0] != "Z")
