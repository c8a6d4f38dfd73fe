"""Folders that are whole or absent: filled under another name, then renamed."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def only_one(out: Path) -> Iterator[Path]:
    """A fresh temporary folder beside ``out``, for one process at a time: a second one waits.

    Under the lock, a folder of that name is what a killed process left.
    """
    temporary = out.with_name(f".{out.name}.new")
    with out.with_name(f".{out.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(out: Path, new: Path) -> None:
    """Puts ``new`` in the place of ``out``. Processes that have files of the old one open keep them."""
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    new.rename(out)
    shutil.rmtree(old, ignore_errors=True)
