"""Files that are whole or absent, since they are written under another name."""

import json
import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

# What a killed process leaves of a file that it was replacing.
UNFINISHED = re.compile(r"\..+\.[0-9a-f]{32}")

_BLOCK = 1 << 16  # bytes of a file that are read at a time from its end


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; it takes ``path``'s name when the block succeeds.

    A ``durable`` file is on the disk before it has the name, so that a power cut cannot leave an empty one,
    and its name is there when the block ends. That costs milliseconds, and is for what would have to be
    computed again.
    """
    # Not mkstemp, whose files nobody else may read: stores are shared.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        if durable:
            flush_content(temporary)
        temporary.replace(path)
        if durable:
            flush_names(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def flush_content(path: Path) -> None:
    """Returns when what a file holds is on the disk. Its name may not be yet."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def flush_names(folder: Path) -> None:
    """Returns when the names in a folder are on the disk: of files made, renamed and removed there."""
    with suppress(OSError):  # some file systems cannot be asked for it, some folders not be read
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder, and those that it is in; when this returns, they are on the disk."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        flush_names(folder.parent)


def sweep(path: Path) -> None:
    """Remove what killed processes have left of writing a file. Call it only as the one who writes it."""
    for file in path.parent.glob(f".{path.name}.*"):
        if UNFINISHED.fullmatch(file.name):
            file.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    with replacing(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any, *, durable: bool = False) -> None:
    """Strict JSON: a NaN is a ValueError here rather than a surprise in whatever reads it."""
    write_text(path, as_text(content), durable=durable)


def as_text(content: Any) -> str:
    """What ``write_json`` writes."""
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def is_zip(path: Path) -> bool:
    """Whether a file is there that begins as a zip does."""
    try:
        with path.open("rb") as handle:
            return handle.read(4) == b"PK\x03\x04"
    except (OSError, ValueError):
        return False


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises OSError, or ValueError when it is none."""
    text = path.read_text(encoding="utf-8")
    try:
        content = json.loads(text)
        if SURROGATE.search(text):  # halves of characters can be neither printed nor written
            json.dumps(content, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("nested too deep") from None
    return content


def clock_ns(folder: Path) -> int:
    """The time by the clock of a folder's file system, which stamps its files. Raises OSError."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        return os.fstat(probe.fileno()).st_mtime_ns


def is_file(path: Path) -> bool:
    """Whether there is such a file; also for a name that is too long for any file, or none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def last_lines(path: Path, n: int) -> list[str]:
    """The last ``n`` lines of a text, without the others being read. Raises OSError."""
    with path.open("rb") as handle:
        end = handle.seek(0, os.SEEK_END)
        content = b""
        while end and content.count(b"\n") <= n:
            start = max(0, end - _BLOCK)
            handle.seek(start)
            content = handle.read(end - start) + content
            end = start
    return content.decode("utf-8", errors="replace").splitlines()[-n:] if n else []
