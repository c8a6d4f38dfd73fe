"""Files that are whole or absent, since they are written under another name; and locks between processes."""

import fcntl
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; it takes ``path``'s name when the block succeeds."""
    # Not mkstemp, whose files nobody else may read: stores are shared.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Strict JSON: a NaN is a ValueError here rather than a surprise in whatever reads it."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises OSError, or ValueError when it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("nested too deep") from None


@contextmanager
def locked(path: Path, patience_s: float) -> Iterator[None]:
    """Hold a lock file for this process; the kernel lets go when the process dies, however it dies.

    Raises TimeoutError when another process keeps it for longer than ``patience_s``.
    """
    with path.open("w") as handle:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"another process has held {path} for long") from None
                time.sleep(0.02)
        yield


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock file now."""
    try:
        with path.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
