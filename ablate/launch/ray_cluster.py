"""Ray clusters: one that is up, by its address, or one of this machine alone that ends with the command."""

import contextlib
import fcntl
import logging
import math
import os
import shutil
import signal
import socket
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ablate.ground.errors import ConfigError, StudyError, brief
from ablate.ground.wording import count

INSTALL = "pip install 'ablate[ray]'"
ANSWERS_WITHIN_S = 5.0
OBJECTS_BYTES = 128 << 20  # of a cluster of this machine, where nothing has to travel
LOCAL_HOSTS = ("localhost", "127.0.0.1")
IN_USE = "in-use"
SHARES = 10_000  # of a GPU: what Ray counts in

# Ray reads these when it is imported. A cluster of this machine alone listens on loopback only, which Ray
# knows how to do, and does where it takes clusters for unsupported.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


@dataclass(frozen=True)
class Need:
    """What one slot takes of a node: CPUs, or GPUs and shares of one."""

    cpus: int = 1
    gpus: float = 0.0

    def places(self, resources: Mapping[str, float]) -> int:
        """How many slots there is room for.

        >>> Need(0, share(3)).places({"CPU": 8.0, "GPU": 2.0})
        6
        """
        if self.gpus:
            gpus = resources.get("GPU", 0.0)
            # A slot lies on one GPU or on several whole ones.
            return int(gpus // self.gpus) if self.gpus >= 1 else int(gpus) * int(1 / self.gpus + 1e-6)
        return int(resources.get("CPU", 0.0) // self.cpus)

    def __str__(self) -> str:
        return f"{self.gpus:g} GPU" if self.gpus else count(self.cpus, "CPU")


ONE_CPU = Need()


def share(n: int) -> float:
    """The n-th part of a GPU, rounded down to what Ray counts in, so that n of them fit."""
    return math.floor(SHARES / n) / SHARES


def require_ray() -> None:
    """Raises ConfigError when Ray is not installed."""
    if find_spec("ray") is None:
        raise ConfigError(f"--launcher ray: Ray is not installed; {INSTALL}")


@dataclass(frozen=True)
class Node:
    """A node of the cluster that is up, and what it has in all."""

    node_id: str
    address: str
    resources: Mapping[str, float]


class UsedFolder:
    """A temporary folder ``<prefix><name>`` that processes share; the last of them to leave removes it.

    Each holds a lock on it. What processes have left that were killed, the next that uses such a folder
    finds unlocked and removes.
    """

    def __init__(self, prefix: str, name: str) -> None:
        self.path = Path(tempfile.gettempdir()) / f"{prefix}{name}"
        self.path.mkdir(mode=0o700, exist_ok=True)
        self._lock = (self.path / IN_USE).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        for other in self.path.parent.glob(f"{prefix}*"):
            if other != self.path:
                _remove_unused(other)

    def leave(self) -> None:
        self._lock.close()
        _remove_unused(self.path)


def _remove_unused(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / IN_USE).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


class Cluster:
    """A cluster that this process is connected to; ``close`` it."""

    def __init__(self, label: str, own: UsedFolder | None = None) -> None:
        self.label = label
        self._own = own
        self._is_open = True

    def nodes(self) -> list[Node]:
        import ray

        return [
            Node(node["NodeID"], node["NodeManagerAddress"], node["Resources"])
            for node in ray.nodes()  # type: ignore[no-untyped-call]
            if node["Alive"]
        ]

    def places(self, need: Need) -> list[int]:
        """How many slots each node has room for that has room for any."""
        return [places for node in self.nodes() if (places := need.places(node.resources))]

    def n_gpus(self) -> int:
        return sum(int(node.resources.get("GPU", 0)) for node in self.nodes())

    def free(self) -> Mapping[str, float]:
        """What nobody uses at present, of all nodes together."""
        import ray

        found: Mapping[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
        return found

    def close(self) -> None:
        """Leave the cluster; one of this machine alone ends."""
        if self._is_open:
            import ray

            self._is_open = False
            ray.shutdown()
            if self._own is not None:
                self._own.leave()


def start(n_cpus: int) -> Cluster:
    """A cluster of this machine alone, with all of its GPUs; only this machine can reach it."""
    own = UsedFolder(f"ablate-ray-cluster-{os.getuid()}-", uuid.uuid4().hex[:8])
    os.environ.update(LOOPBACK)
    try:
        with _sentences("a Ray cluster of this machine cannot be started"):
            _init(
                address="local",
                num_cpus=n_cpus,
                include_dashboard=False,
                object_store_memory=OBJECTS_BYTES,
                _temp_dir=str(own.path),
            )
    except BaseException:
        own.leave()
        raise
    return Cluster("a Ray cluster of this machine", own)


def connect(address: str) -> Cluster:
    """The cluster at ``HOST:PORT``, or for ``auto`` the one that this machine belongs to.

    Raises ConfigError at once when nobody answers there, or its versions are not ours.
    """
    found = _located(address)
    with _sentences(f"--address {address}: the Ray cluster cannot be joined"):
        _init(address=found)
    return Cluster(f"the Ray cluster at {found}")


def _init(**options: Any) -> None:
    os.environ.update(QUIET)
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    # Whatever it is told, Ray prints there what it has to say of nodes that die. Standard output may be for
    # JSON, and of such nodes the launcher tells itself.
    ray._private.worker.listen_error_messages = _listen_to_nothing  # type: ignore[assignment]
    # Ray would answer SIGTERM itself, with a stack and an exit code of its own.
    ray._private.utils.set_sigterm_handler = _listen_to_nothing
    with _own_answer(signal.SIGTERM):
        ray.init(log_to_driver=False, configure_logging=False, **options)


@contextlib.contextmanager
def _own_answer(request: signal.Signals) -> Iterator[None]:
    """Whatever the block makes of a signal, afterwards it is answered as before."""
    before = signal.getsignal(request)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # of a thread, which nobody answers in
            signal.signal(request, before)


def _listen_to_nothing(*_: object) -> None:
    """In place of what prints Ray's messages, and what takes its signals."""


def _located(address: str) -> str:
    """``HOST:PORT`` where somebody listens. Raises ConfigError."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "auto")
        found = _of_this_machine() if address == "auto" else address
        label = f"--address auto: {found}"
    else:
        found, label = address, f"--address {brief(address)}"
    host, colon, port = found.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 1 << 16) or "/" in host:
        raise ConfigError(
            f"{label}: write auto, or HOST:PORT of the cluster's head, such as 10.0.0.1:6379, on a machine "
            "that belongs to the cluster"
        )
    if (problem := _refused(host.strip("[]"), int(port))) is not None:
        raise ConfigError(
            f"{label}: no Ray cluster answers there ({problem}); `ray start --head --port {port}` starts "
            "one, `ray status` on a node of it tells its address"
        )
    if host in LOCAL_HOSTS and _refused(_own_address(), int(port)) is not None:
        os.environ.update(LOOPBACK)  # else Ray asks for it at this machine's address in the network
    return found


def _refused(host: str, port: int) -> str | None:
    """Why nobody can be reached there; None where somebody listens."""
    try:
        socket.create_connection((host, port), timeout=ANSWERS_WITHIN_S).close()
    except OSError as error:
        return error.strerror or str(error)
    except ValueError:  # which a resolver cannot even be asked for
        return "no host has such a name"
    return None


def _own_address() -> str:
    """This machine's address in the network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # which sends nothing
        except OSError:  # it is in none
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _of_this_machine() -> str:
    """The address of the cluster that was started or joined on this machine. Raises ConfigError."""
    from ray._private.services import canonicalize_bootstrap_address_or_die  # what ray.init asks, too

    try:
        return str(canonicalize_bootstrap_address_or_die("auto"))
    except (ConnectionError, ValueError) as error:
        several = "there are several, of which --address HOST:PORT chooses one"
        none = "`ray start --address HOST:PORT` joins this machine to one, `ray start --head` makes one"
        raise ConfigError(
            "--address auto: this machine belongs to no Ray cluster; "
            + (several if "multiple" in str(error) else none)
        ) from None


@contextlib.contextmanager
def _sentences(label: str) -> Iterator[None]:
    """What Ray says of a cluster that it cannot join, as a sentence."""
    try:
        yield
    except Exception as error:
        said = " ".join(str(error).split())
        if "Version mismatch" in said:
            raise ConfigError(f"{label}: {_versions(said)}; install the same on all machines") from error
        raise StudyError(f"{label}: {brief(said)}") from error
    except SystemExit as error:  # of a core that has given up
        raise StudyError(f"{label}: it does not answer") from error


def _versions(said: str) -> str:
    """Both sides' versions from Ray's message."""
    words = said.replace("Ray:", "Ray").replace("Python:", "Python").split()
    found: Sequence[str] = [
        f"{word} {words[index + 1]}" for index, word in enumerate(words[:-1]) if word in ("Ray", "Python")
    ]
    if len(found) < 4:
        return brief(said)
    return f"it has {found[0]} and {found[1]}, this machine {found[2]} and {found[3]}"
