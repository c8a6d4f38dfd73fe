"""The store's folder: whether it can hold what studies write, and how much more of it."""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from ablate.ground.leases import LEASE_S
from ablate.ground.wording import readable_bytes
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from ablate.upkeep.findings import GIB, Finding, Level, shell
from ablate.upkeep.inventory import Inventory

PROBE = ".doctor-"  # begins the name of the folder in which the file system is tried out
LOCK_PATIENCE_S = 10.0

# What another process sees: 0 when it gets the lock that we hold, else 1.
TRY_LOCK = """
import fcntl, sys
try:
    fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    sys.exit(1)
"""

# Below this no study should start: logs, databases and other programs need room as well.
LEAST_FREE_BYTES = GIB
LEAST_FREE_INODES = 1000

NETWORK = {
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "gpfs", "lustre",
    "nfs", "nfs4", "smb3", "smbfs", "virtiofs",
}  # fmt: skip


def check_store(inventory: Inventory) -> Iterator[Finding]:
    """The store is a folder, can be written, and its file system keeps locks, links and times."""
    try:
        yield from _check_folder(inventory.store)
    except OSError as error:
        yield _unwritable(inventory.store.root, error)


def _check_folder(store: Store) -> Iterator[Finding]:
    root = store.root
    if root.is_symlink() and not root.exists():
        target = root.readlink()
        yield _problem(f"{root} is a link to {target}, which does not exist", shell(["mkdir", "-p", target]))
    elif not root.exists():
        yield _absent(root)
    elif files := [path for path in (root, *_parts(store)) if path.exists() and not path.is_dir()]:
        for path in files:
            yield _problem(f"{path} is a file, not a folder", shell(["mv", path, f"{path}.moved"]))
    else:
        yield from _probe(root)


def _parts(store: Store) -> list[Path]:
    return [store.runs, store.root / "studies", store.data, store.artifacts]


def _absent(root: Path) -> Finding:
    parent = _existing(root)
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        what = "cannot be written" if parent.is_dir() else "is a file"
        return Finding(
            Level.PROBLEM,
            "store",
            f"{root} does not exist and cannot be made: {parent} {what}; "
            "choose another with --store DIR or ABLATE_STORE",
        )
    return Finding(
        Level.WARNING,
        "store",
        f"{root.resolve()} does not exist yet; the first study makes it, "
        "or choose another with --store DIR or ABLATE_STORE",
    )


def _probe(root: Path) -> Iterator[Finding]:
    """Do in the store what leases do."""
    with tempfile.TemporaryDirectory(prefix=PROBE, dir=root) as name:
        lacks = list(_lacks(Path(name)))
        ahead_s = _clock_ahead_s(Path(name))
    where = describe_file_system(root)
    if lacks:
        yield _problem(
            f"{root.resolve()} on {where}: {'; '.join(lacks)}, so two processes could train one run; "
            "put the store on another file system with --store DIR or ABLATE_STORE"
        )
    elif abs(ahead_s) > LEASE_S / 2:
        yield _problem(
            f"{root.resolve()} on {where}: its clock is {ahead_s:+.0f} s against this host's, so that living "
            "runs of other hosts may look dead",
            "timedatectl set-ntp true",
        )
    else:
        yield Finding(
            Level.OK, "store", f"{root.resolve()} on {where}; can be written, locks and hard links work"
        )


def _unwritable(root: Path, error: OSError) -> Finding:
    refused = error.errno in (errno.EACCES, errno.EPERM)
    commands = [shell(["chmod", "-R", "u+rwX", root])] if refused else []
    with contextlib.suppress(OSError):
        if refused and root.stat().st_uid != os.geteuid():
            commands = [shell(["sudo", "chown", "-R", os.geteuid(), root])]
    return _problem(
        f"{root.absolute()} cannot be written: {error.strerror or error}; "
        "mend that or choose another with --store DIR or ABLATE_STORE",
        *commands,
    )


def _lacks(folder: Path) -> Iterator[str]:
    """What the file system cannot do of that which leases need."""
    lock, link = folder / "lock", folder / "link"
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            yield f"files cannot be locked ({error.strerror})"
        else:
            command = [sys.executable, "-I", "-S", "-c", TRY_LOCK, str(lock)]
            if subprocess.run(command, check=False, timeout=LOCK_PATIENCE_S).returncode == 0:
                yield "another process gets a lock that is held"
    try:
        os.link(lock, link)
    except OSError as error:
        yield f"files cannot be linked ({error.strerror})"
    else:
        with contextlib.suppress(FileExistsError):
            os.link(lock, link)
            yield "a link replaces another one"
    os.utime(lock, (0.0, 0.0))
    if lock.stat().st_mtime != 0.0:
        yield "files do not keep the time that they are given"


def _clock_ahead_s(folder: Path) -> float:
    """How far the file system's clock is ahead of this host's."""
    file = folder / "now"
    file.touch()
    return file.stat().st_mtime - time.time()


def describe_file_system(path: Path) -> str:
    """``ext4``, or ``nfs4 (shared by hosts)``; "an unknown file system" where the system does not tell."""
    kind = file_system(path)
    if kind is None:
        return "an unknown file system"
    return f"{kind} (shared by hosts)" if kind in NETWORK else kind


def file_system(path: Path) -> str | None:
    """The type of the file system that holds ``path``, such as ``ext4``; None when unknown."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return None
    kinds = {}  # mount point -> type; a later mount hides an earlier one
    for line in lines:
        mount, _, source = line.partition(" - ")
        # Blanks in a mount point are written as \040.
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), mount.split()[4])
        kinds[Path(point)] = source.split()[0]
    there = path.resolve()
    return next((kinds[place] for place in (there, *there.parents) if place in kinds), None)


def check_disk(inventory: Inventory) -> Iterator[Finding]:
    """There is room for the runs that are not finished, judged by those that are."""
    root = _existing(inventory.store.root)
    free = shutil.disk_usage(root).free
    system = os.statvfs(root)
    free_inodes = system.f_favail if system.f_files else None  # None: as many as there is room for
    finished = [run.folder for run in inventory.in_state(State.FINISHED)]
    n_left = sum(run.is_unfinished for run in inventory.runs)
    need = needed_bytes(finished, _checkpoints(inventory), n_left)
    texts = [f"{readable_bytes(free)} free"]
    if need:
        texts.append(f"the {n_left} runs not finished need at most {readable_bytes(need)}")
    elif n_left:
        texts.append(f"what the {n_left} runs not finished need is not known before one has finished")
    level, advice = Level.OK, ""
    if free < LEAST_FREE_BYTES or (free_inodes is not None and free_inodes < LEAST_FREE_INODES):
        level, advice = Level.PROBLEM, "make room"
    elif need is not None and free < need + LEAST_FREE_BYTES:
        level, advice = Level.WARNING, "make room before they are trained"
    if free_inodes is not None and free_inodes < LEAST_FREE_INODES:
        texts.append(f"room for {free_inodes} more files only")
    texts += [advice] if advice else []
    commands = (inventory.command("gc"),) if advice else ()
    yield Finding(level, "disk", f"{root.resolve()}: " + "; ".join(texts), commands)


def needed_bytes(finished: list[RunFolder], checkpoints: list[int], n_left: int) -> int | None:
    """The most that ``n_left`` runs can need; None when no run has finished yet that tells.

    Each: a folder of the median size, MLflow's copy of it, and two checkpoints, as one is written while the
    one before it is still there. Without a checkpoint on disk its size is that of the folder three times:
    weights, and Adam's two moments.
    """
    if not n_left:
        return 0
    if not finished:
        return None
    folder = median(size(run.path) for run in finished)
    checkpoint = max(checkpoints, default=3 * folder)
    return round(n_left * (2 * folder + 2 * checkpoint))


def _checkpoints(inventory: Inventory) -> list[int]:
    return [size(file) for run in inventory.runs for file in run.folder.checkpoints()]


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder. Links count as themselves; what vanishes, as 0."""
    if path.is_symlink() or not path.is_dir():
        return _file_bytes(path)
    return sum(_file_bytes(Path(folder, name)) for folder, _folders, names in os.walk(path) for name in names)


def _file_bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    there = path.absolute()
    return next(place for place in (there, *there.parents) if place.exists())


def _problem(text: str, *commands: str) -> Finding:
    return Finding(Level.PROBLEM, "store", text, commands)
