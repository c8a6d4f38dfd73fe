"""Folders that are whole or absent: filled under another name, then renamed."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def only_one(out: Path, stays: str | None = None) -> Iterator[Path]:
    """A temporary folder beside ``out``, for one process at a time: a second one waits.

    Under the lock, a folder of that name is what a killed process left. It begins anew, but for the folder
    in it that is named ``stays``, which stays too where the user interrupts.
    """
    temporary = out.with_name(f".{out.name}.new")
    with out.with_name(f".{out.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (temporary / (stays or "")).mkdir(parents=True, exist_ok=True)
        for left in temporary.iterdir():
            if left.name != stays:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        try:
            yield temporary
        except BaseException as error:
            if stays is None or not isinstance(error, KeyboardInterrupt):
                shutil.rmtree(temporary, ignore_errors=True)
            raise
        shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(out: Path, new: Path) -> None:
    """Puts ``new`` in the place of ``out``. Processes that have files of the old one open keep them."""
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    new.rename(out)
    shutil.rmtree(old, ignore_errors=True)
