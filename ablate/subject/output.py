"""What a training prints goes into its run's log: what Python prints, C code, and child processes.

The log is a file that they all append to, so that nothing waits for a reader and what was said last is there
however the process ends. A training that prints without end is cut: the log keeps how it began and how it
ends.
"""

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

MOST = 16 << 20  # bytes of one attempt at a run; of more, the first and the last quarter of that are kept
LOOK_EVERY_S = 0.2
MOST_CATCHING_UP = 8


@contextmanager
def printed_to(log: Path, most: int = MOST) -> Iterator[None]:
    """Inside the block, standard output and standard error of this process are the end of the file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab", buffering=0) as file, _capped(log, most), _python_streams():
        before = [os.dup(number) for number in (1, 2)]
        try:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            yield
        finally:
            _flush()
            for number, former in zip((1, 2), before, strict=True):
                os.dup2(former, number)
                os.close(former)


@contextmanager
def _python_streams() -> Iterator[None]:
    """``sys.stdout`` and ``sys.stderr`` that write to the file descriptors at once, line by line."""
    _flush()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _stream(1), _stream(2)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _stream(number: int) -> TextIO:
    return open(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _flush() -> None:
    """Write out what Python and the C library still hold back."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)


@contextmanager
def _capped(log: Path, most: int) -> Iterator[None]:
    """Looks at the file's size now and then, and cuts its middle when it has grown by more than ``most``."""
    begins = log.stat().st_size
    ends = threading.Event()

    def look() -> None:
        while not ends.wait(LOOK_EVERY_S):
            with contextlib.suppress(OSError):  # a full disk; whoever writes to it will say so
                cut(log, begins, most)

    watching = threading.Thread(target=look, daemon=True)
    watching.start()
    try:
        yield
    finally:
        ends.set()
        watching.join()
        cut(log, begins, most)


def cut(log: Path, begins: int, most: int = MOST) -> None:
    """Leave out the middle of what a file has from ``begins`` on, when that is more than ``most`` bytes.

    Whoever appends to it goes on appending; what is written at this very moment can be lost.
    """
    kept = most // 4
    with log.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size - begins <= most:
            return
        file.seek(size - kept)
        tail = file.read()
        for _ in range(MOST_CATCHING_UP):  # with what was written while that was read
            more = file.read()
            if not more:
                break
            tail += more
        file.truncate(begins + kept)
        file.seek(begins + kept)
        file.write(b"\n... left out here: a training that prints more than %d bytes ...\n" % most + tail)
