"""What a check of the doctor says, and how it says sizes and lists."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

GIB = 1 << 30
MAX_SHOWN = 8


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"  # works, but not as well as it could, or not for long
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that a check has found, and the commands that mend it."""

    level: Level
    check: str
    text: str
    commands: tuple[str, ...] = ()


def listed(noun: str, names: Iterable[object], plural: str | None = None) -> str:
    """``1 run: a``, ``2 runs: a, b``: how many, and every one."""
    found = [str(name) for name in names]
    return f"{len(found)} {noun if len(found) == 1 else plural or f'{noun}s'}: {', '.join(found)}"


def some(texts: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = f"; and {len(texts) - MAX_SHOWN} more" if len(texts) > MAX_SHOWN else ""
    return "; ".join(texts[:MAX_SHOWN]) + more


def shell(words: Sequence[object]) -> str:
    """A command as one types it."""
    return shlex.join([str(word) for word in words])


def move_away(path: Path) -> str:
    """The command that gives ``path`` another name, which nothing reads."""
    return shell(["mv", path, path.with_name(f"{path.name}.damaged")])
