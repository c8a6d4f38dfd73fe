"""The processes that train runs now, and the runs that have lost theirs."""

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from ablate.ground.leases import LEASE_S, Holder, kernel
from ablate.record.rundir import RunFolder, State
from ablate.upkeep.findings import Finding, Level, shell, some
from ablate.upkeep.inventory import Inventory, KnownRun, planning_commands

# A living owner touches its claim eight times in LEASE_S; one that missed four is likely to be gone.
SILENT_S = LEASE_S / 2
O_ACCMODE = 0o3


def check_training(inventory: Inventory) -> Iterator[Finding]:
    """Every run that says it is being trained has a living process, and that one has a controller."""
    held = [(run, holder) for run in inventory.runs if (holder := run.folder.holder()) is not None]
    if held:
        yield _busy(held)
    for run, holder in held:
        yield from _silent(run, holder)
    yield from _orphans({holder for _run, holder in held})
    interrupted = inventory.in_state(State.INTERRUPTED)
    if interrupted:
        titles = some([f"{run.title}: {run.status.cause or 'stopped'}" for run in interrupted])
        yield Finding(
            Level.WARNING,
            "training",
            f"interrupted, and resumed by typing the command again: {titles}",
            planning_commands(interrupted),
        )
    if not held and not interrupted:
        yield Finding(Level.OK, "training", "no run is being trained now, none was interrupted")


def _busy(held: list[tuple[KnownRun, Holder]]) -> Finding:
    by_process: dict[tuple[str, int], list[str]] = {}
    for run, holder in held:
        by_process.setdefault((holder.host, holder.pid), []).append(run.title)
    texts = [
        f"process {pid} on {host} trains {', '.join(titles)}" for (host, pid), titles in by_process.items()
    ]
    return Finding(Level.OK, "training", some(texts))


def _silent(run: KnownRun, holder: Holder) -> Iterator[Finding]:
    """A holder on another host, whom only its claim shows to be alive."""
    if holder.kernel == kernel():
        return
    silent_s = time.time() - _last_touch(run.folder)
    if silent_s > SILENT_S:
        yield Finding(
            Level.WARNING,
            "training",
            f"{run.title}: process {holder.pid} on {holder.host} was last heard of {silent_s:.0f} s ago; "
            f"after {LEASE_S:.0f} s another may take the run over",
            (shell(["ssh", holder.host, "ps", "-fp", holder.pid]),),
        )


def _last_touch(folder: RunFolder) -> float:
    """When the highest claim on the run was touched; 0 when it has vanished just now."""
    claims = {int(file.name.removeprefix("lock.")): file for file in folder.path.glob("lock.[0-9]*")}
    try:
        return claims[max(claims)].stat().st_mtime
    except (ValueError, OSError):
        return 0.0


def _orphans(holders: set[Holder]) -> Iterator[Finding]:
    here = [holder for holder in holders if holder.kernel == kernel() and holder.host == socket.gethostname()]
    for holder in sorted(here, key=lambda holder: holder.pid):
        if is_orphan(holder.pid):
            yield Finding(
                Level.WARNING,
                "training",
                f"worker process {holder.pid} is alive although its controller is gone; asked to end, it "
                "saves its run",
                (shell(["kill", holder.pid]),),
            )


def is_orphan(pid: int) -> bool:
    """Whether a process is a worker whose tasks came through a pipe that nobody writes to any more.

    Its parent tells less: who inherits an orphan differs between containers and service managers.
    """
    try:
        if b"ablate.worker" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return False
        pipe = str(Path(f"/proc/{pid}/fd/0").readlink())
    except OSError:  # not Linux, or the process has ended or is another user's
        return False
    return pipe.startswith("pipe:") and not _has_writer(pipe)


def _has_writer(pipe: str) -> bool:
    """Whether a process of this user has the writing end of a pipe, such as ``pipe:[4242]``."""
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            descriptors = [entry.name for entry in (process / "fd").iterdir() if _leads_to(entry, pipe)]
            if any(_is_writable(process / "fdinfo" / name) for name in descriptors):
                return True
        except OSError:  # another user's, or ended meanwhile
            continue
    return False


def _leads_to(descriptor: Path, target: str) -> bool:
    try:
        return str(descriptor.readlink()) == target
    except OSError:  # closed meanwhile
        return False


def _is_writable(fdinfo: Path) -> bool:
    flags = re.search(r"^flags:\s*([0-7]+)", fdinfo.read_text(encoding="ascii"), re.MULTILINE)
    return flags is not None and int(flags[1], 8) & O_ACCMODE != os.O_RDONLY
