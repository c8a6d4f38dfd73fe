"""Leases: the right to do something, such as training a run, that one process of all hosts holds at a time.

Two things guard the lease of ``<folder>/lock``:

- an ``flock`` on the file. The kernel frees it when its process dies, however it dies. Between processes of
  one host nothing else is needed, and a dead owner's lease is free at once.
- numbered claims, ``<folder>/lock.1``, ``lock.2``, ..., of which the highest counts. File systems that hosts
  share may keep locks for each host alone, but give a name to one process only. The owner touches its claim
  every few seconds; a claim of another host that has not been touched for ``LEASE_S`` has lost its owner, and
  whoever makes the next number takes over. Ages are differences between two times of the file system itself,
  so the hosts' clocks do not matter.

An owner that was frozen for so long that another took over finds a higher number than its own; ``require``
tells it so before it writes.
"""

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ablate.ground.files import UNFINISHED

LEASE_S = float(os.environ.get("ABLATE_LEASE_S", "120"))
BEATS_PER_LEASE = 8
GIVEN_BACK = 0.0  # the time of a claim that its owner has returned
RETRY_S = 0.02


class LeaseLost(Exception):
    """Another process has taken over what this one was too slow, or frozen too long, to keep."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lease. ``kernel`` changes with each boot of its host."""

    host: str
    kernel: str
    pid: int


@dataclass(frozen=True)
class _Claim:
    """A numbered claim as found on disk; its holder is unknown when it was damaged."""

    path: Path
    number: int
    holder: Holder | None
    touched: float

    @property
    def given_back(self) -> bool:
        return self.touched == GIVEN_BACK


class Lease:
    """Held from ``lease`` on; what a holder does that others must not, it does after ``require``."""

    def __init__(self, path: Path, number: int) -> None:
        self._path = path
        self._number = number

    def require(self) -> None:
        """Raises LeaseLost when another process has taken over."""
        last = max(_numbers(self._path), default=0)
        if last != self._number:
            raise LeaseLost(f"{self._path}: this process was silent for long, another has taken over")


@contextmanager
def lease(path: Path, patience_s: float) -> Iterator[Lease]:
    """Hold the lease of a lock file for this process.

    Raises TimeoutError when another process keeps it for longer than ``patience_s``.
    """
    deadline = time.monotonic() + patience_s
    with path.open("w") as handle:
        _wait(path, deadline, lambda: _lock(handle.fileno()))
        claim = _wait(path, deadline, lambda: _claim(path))
        with _BEATS.beating(_claim_file(path, claim)):
            yield Lease(path, claim)


def holder(path: Path) -> Holder | None:
    """Who holds the lease now; None when nobody does.

    An owner on another host counts as alive while its claim is younger than ``LEASE_S`` by this host's clock.
    """
    last = _last_claim(path)
    if last is None or last.given_back or last.holder is None:
        return None
    if last.holder.kernel == kernel():
        return last.holder if is_locked(path) else None
    return last.holder if time.time() - last.touched < LEASE_S else None


def kernel() -> str:
    """The running system: the same for all its processes and containers, another after each boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux
        return f"{socket.gethostname()}-{uuid.getnode():x}"


def _wait(path: Path, deadline: float, attempt: Callable[[], int]) -> int:
    """The number that ``attempt`` returns once it is not 0."""
    while not (number := attempt()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"another process has held {path} for long")
        time.sleep(RETRY_S)
    return number


def _lock(descriptor: int) -> int:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    return 1


def is_locked(path: Path) -> bool:
    """Whether some process of this host holds the lock on the file now."""
    try:
        with path.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _claim(path: Path) -> int:
    """The number of a new claim of this process; 0 while another host has the lease. Call under the lock."""
    # Its name says which system's it is: who is killed may not have written who it was.
    draft = path.with_name(f".{path.name}.{_mark()}{uuid.uuid4().hex[:16]}")
    try:
        draft.write_text(json.dumps(asdict(Holder(socket.gethostname(), kernel(), os.getpid()))))
        now = draft.stat().st_mtime
        _remove_drafts(path, draft, now)
        last = _last_claim(path)
        if last is not None and not _is_free(last, now):
            return 0
        number = 1 if last is None else last.number + 1
        if not _link(draft, _claim_file(path, number)):
            return 0
        numbers = _numbers(path)
        if max(numbers) > number:  # we were slow: what we found to be free was taken, and more than once
            _claim_file(path, number).unlink(missing_ok=True)
            return 0
        for old in numbers:
            if old < number:
                _claim_file(path, old).unlink(missing_ok=True)
        return number
    finally:
        draft.unlink(missing_ok=True)


def _remove_drafts(path: Path, own: Path, now: float) -> None:
    """Remove what processes have left that were killed while they made a claim. Call under the lock."""
    ours = f".{path.name}.{_mark()}"
    for draft in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if draft != own and UNFINISHED.fullmatch(draft.name):
            with contextlib.suppress(OSError):  # another host has just ended with its own
                if draft.name.startswith(ours) or now - draft.stat().st_mtime > LEASE_S:
                    draft.unlink()


def _mark() -> str:
    """16 hexadecimal digits that the drafts of all processes of this system begin with, and no others'."""
    return hashlib.blake2b(kernel().encode(), digest_size=8).hexdigest()


def _is_free(claim: _Claim, now: float) -> bool:
    """Whether a claim may be followed by ours, who hold the lock. ``now`` is the file system's time."""
    died_here = claim.holder is not None and claim.holder.kernel == kernel()
    return claim.given_back or died_here or now - claim.touched > LEASE_S


def _link(draft: Path, target: Path) -> bool:
    """Give a file a name that no file has; False when one has it. Atomic between hosts, too."""
    try:
        os.link(draft, target)
    except FileExistsError:
        # Over a network the answer to a link that was made can be lost, and the second try finds its own.
        return draft.stat().st_nlink == 2
    return True


def _last_claim(path: Path) -> _Claim | None:
    for number in sorted(_numbers(path), reverse=True):
        file = _claim_file(path, number)
        try:
            # It is opened, so that a network file system looks again.
            with file.open(encoding="utf-8", errors="replace") as handle:
                touched = os.fstat(handle.fileno()).st_mtime
                found = _holder(handle.read())
        except FileNotFoundError:  # followed by a higher one just now
            return _last_claim(path)
        return _Claim(file, number, found, touched)
    return None


def _holder(text: str) -> Holder | None:
    """None for a claim that was damaged."""
    try:
        found = Holder(**json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None
    is_whole = isinstance(found.host, str) and isinstance(found.kernel, str) and isinstance(found.pid, int)
    return found if is_whole else None


def _claim_file(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _numbers(path: Path) -> list[int]:
    pattern = re.compile(re.escape(path.name) + r"\.(\d+)")
    try:
        names = [file.name for file in path.parent.iterdir()]
    except FileNotFoundError:
        return []
    return [int(match[1]) for name in names if (match := pattern.fullmatch(name))]


class _Beats:
    """Touches the claims that this process holds, from one thread for all."""

    def __init__(self) -> None:
        self._held: set[Path] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def beating(self, claim: Path) -> Iterator[None]:
        """Keep a claim young, then give it back."""
        with self._lock:
            self._held.add(claim)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="leases", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:  # no beat may come after it was given back
                self._held.discard(claim)
                with contextlib.suppress(FileNotFoundError):  # another process has taken over
                    os.utime(claim, (GIVEN_BACK, GIVEN_BACK))

    def _beat(self) -> None:
        while True:
            time.sleep(LEASE_S / BEATS_PER_LEASE)
            with self._lock:
                for claim in self._held:
                    with contextlib.suppress(OSError):  # the owner learns from `require` what it has lost
                        os.utime(claim)


_BEATS = _Beats()
