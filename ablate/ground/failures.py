"""What made a run fail: of which kind that was, the error in a line, and where it was raised.

An exception tells this by its type, its errno and the frames that it passed; a program that is none of ours
by what it printed last and how it ended. Runs that failed of the same thing rarely say it in the same words,
as paths, addresses and numbers differ; ``Failure.key`` is what they have in common.
"""

import errno
import os
import re
import signal
import sysconfig
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from ablate.ground.errors import AblateError, brief, causes


class FailureKind(StrEnum):
    """What a failed run has failed of, and ``--cause`` chooses by."""

    ERROR = "error"  # of the training: it would fail again
    MEMORY = "memory"
    KILLED = "killed"  # by a signal from outside, whoever sent it
    MACHINE = "machine"  # disk, network file system, device, node
    TRACKER = "tracker"  # a tracking server that the training itself talks to

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    FailureKind.ERROR: "error of the training",
    FailureKind.MEMORY: "out of memory",
    FailureKind.KILLED: "killed",
    FailureKind.MACHINE: "machine or disk",
    FailureKind.TRACKER: "tracker",
}

_NO_MEMORY = re.compile(r"out of memory|OutOfMemoryError|MemoryError|std::bad_alloc", re.IGNORECASE)
_SYSTEM_SAYS = "|".join(
    re.escape(os.strerror(number)) for number in (errno.ENOSPC, errno.EIO, errno.EROFS, errno.ESTALE)
)
_NO_MACHINE = re.compile(
    rf"{_SYSTEM_SAYS}|disk quota exceeded|uncorrectable ECC|fallen off the bus|no CUDA-capable device"
    r"|CUDA driver|node has died|silent for .* as if frozen",
    re.IGNORECASE,
)
_MACHINE_ERRORS = frozenset(
    number
    for name in ("ENOSPC", "EIO", "EROFS", "ESTALE", "EDQUOT", "ENODEV", "ENXIO", "EREMOTEIO", "EHOSTDOWN")
    if (number := getattr(errno, name, None)) is not None
)
_TRACKERS = frozenset({"mlflow", "wandb", "neptune", "comet_ml", "clearml", "swanlab", "aim", "trackio"})
_ENDED_BY = re.compile(r"\bended by (SIG[A-Z0-9]+)")
_CRASHES = frozenset({"SIGSEGV", "SIGABRT", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP"})
_LOST = re.compile(r"died\b|did not stop in time")

N_LAST_WORDS = 3  # lines in which a program may say without a traceback what was wrong

_FRAME = re.compile(r'  File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?')
_TRACEBACK = "Traceback (most recent call last):"
_RAISED = re.compile(r"(?P<type>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?")

_LIBRARIES = tuple(
    f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_OURS = f"{Path(__file__).resolve().parent.parent}{os.sep}"

# What differs between two tellings of one error, the longer patterns first.
_CHANGING = (
    (re.compile(r"0x[0-9a-fA-F]+"), "<address>"),
    (re.compile(r"(?<![\w.])~?(?:/[\w.+@=,-]+)+/?"), "<path>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b"), "<id>"),
    (re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"), "<n>"),
)


@dataclass(frozen=True)
class Failure:
    """``error`` is the exception's type and message in a line; ``where`` is ``train.py:12 in step``.

    Both are None where nobody knows more than the run's cause says.
    """

    kind: FailureKind
    error: str | None = None
    where: str | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Failure":
        """From what ``dataclasses.asdict`` made of it."""
        return cls(FailureKind(content["kind"]), content["error"], content["where"])

    def key(self, cause: str | None) -> tuple[str, str, str]:
        """What failures of the same thing have in common; ``cause`` is what the run's status says."""
        place = re.sub(r":\d+ in ", " in ", self.where or "")
        return str(self.kind), normalised(self.error or cause or ""), place


def normalised(text: str) -> str:
    """A message without what differs from run to run: numbers, paths, addresses, ids.

    >>> normalised("cannot read /data/7/x.npy at 0x7f3a: 12 of 80 bytes")
    'cannot read <path> at <address>: <n> of <n> bytes'
    """
    for pattern, word in _CHANGING:
        text = pattern.sub(word, text)
    return " ".join(text.split())


# ------------------------------------------------------------------------------------------------ exceptions


class _Frame(NamedTuple):
    file: str
    line: int
    function: str
    module: str = ""

    @property
    def is_library(self) -> bool:
        """Whether it is of what is installed, Python's own library among that, and not of ``ablate``."""
        if self.file.startswith(_OURS):
            return False
        return self.file.startswith(("<", *_LIBRARIES)) or "-packages/" in self.file

    @property
    def is_ours(self) -> bool:
        return self.file.startswith(_OURS)

    @property
    def text(self) -> str:
        within = "" if self.function in ("", "<module>") else f" in {self.function}"
        return f"{Path(self.file).name}:{self.line}{within}"


def failure_of(error: BaseException, *, no_memory: bool = False) -> Failure:
    """What an exception says of the run that it ended. ``no_memory``: a trainer knows it to be that."""
    told = getattr(error, "failure", None)
    if isinstance(told, Failure):
        return told
    frames = _frames(error)
    kind = _kind_of(error, frames, no_memory)
    if isinstance(error, AblateError):  # which says itself what is wrong
        return Failure(kind, where=_where(frame for frame in frames if not frame.is_ours))
    return Failure(kind, raised(error), _where(frames))


def raised(error: BaseException) -> str:
    """``ValueError: no such thing``, in one line."""
    return brief(" ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split()))


def _kind_of(error: BaseException, frames: Sequence[_Frame], no_memory: bool) -> FailureKind:
    chain = list(causes(error))
    if no_memory or any(isinstance(link, MemoryError) for link in chain):
        return FailureKind.MEMORY
    if any(isinstance(link, OSError) and link.errno in _MACHINE_ERRORS for link in chain):
        return FailureKind.MACHINE
    if _is_of_tracker(error, frames):
        return FailureKind.TRACKER
    return FailureKind.MACHINE if _NO_MACHINE.search(str(error)) else FailureKind.ERROR


def _is_of_tracker(error: BaseException, frames: Sequence[_Frame]) -> bool:
    """Whether a tracking library has raised it: below the last line of the user's code there are its frames.

    Such a library may call the training in turn, whose errors then pass it on their way up.
    """
    if _root(type(error).__module__) in _TRACKERS:
        return True
    last = max((place for place, frame in enumerate(frames) if not frame.is_library), default=-1)
    return any(_root(frame.module) in _TRACKERS for frame in frames[last + 1 :])


def _root(module: str) -> str:
    return module.partition(".")[0]


def _frames(error: BaseException) -> list[_Frame]:
    return [
        _Frame(frame.f_code.co_filename, line, frame.f_code.co_name, frame.f_globals.get("__name__", ""))
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]


def _where(frames: Iterable[_Frame]) -> str | None:
    """The innermost line of the user's code; where none of that is involved, of ours."""
    own = [frame for frame in frames if not frame.is_library]
    theirs = [frame for frame in own if not frame.is_ours]
    chosen = theirs or own
    return chosen[-1].text if chosen else None


# ------------------------------------------------------------------------------------------- what is printed


def failure_said(ended: str, lines: Sequence[str], code: int, *, no_memory: bool) -> Failure:
    """What the last ``lines`` of a program's log say of its failure, and its exit ``code`` or signal.

    ``ended`` says that in words. ``no_memory`` is as for ``kind_of_end``.
    """
    frames, error = _last_traceback(lines)
    kind = _kind_said(" ".join([error or "", *lines[-N_LAST_WORDS:]]), code, no_memory)
    if kind_of_end(code, no_memory=no_memory) is not None:
        error = error or ended
    if kind is FailureKind.ERROR and error and _is_tracker_said(error, frames):
        kind = FailureKind.TRACKER
    return Failure(kind, None if error is None else brief(error), _where(frames))


def failure_told(cause: str | None) -> Failure:
    """What the cause of a failure says, of a record that says no more."""
    return Failure(_kind_said(cause or "", None, no_memory=False))


def kind_of_end(code: int, *, no_memory: bool) -> FailureKind | None:
    """What the end of a process says: an exit ``code``, or the negative of a signal; None: nothing.

    ``no_memory``: the system has meanwhile killed something for want of memory.
    """
    number = -code if code < 0 else code - 128  # as shells say it
    if number == signal.SIGBUS:  # a file that it had mapped into memory could not be read
        return FailureKind.MACHINE
    if number not in _SIGNALS:
        return None
    name = _SIGNALS[number]
    if name in _CRASHES:
        return FailureKind.ERROR
    return FailureKind.MEMORY if name == "SIGKILL" and no_memory else FailureKind.KILLED


_SIGNALS = {int(each): each.name for each in signal.Signals}


def _kind_said(text: str, code: int | None, no_memory: bool) -> FailureKind:
    ended = _ENDED_BY.search(text)
    if code is None and ended is not None:
        code = -int(getattr(signal, ended[1], 0))
    by_end = None if code is None else kind_of_end(code, no_memory=no_memory)
    if by_end is not None and by_end is not FailureKind.ERROR:
        return by_end
    if _NO_MEMORY.search(text):
        return FailureKind.MEMORY
    if _NO_MACHINE.search(text):
        return FailureKind.MACHINE
    return FailureKind.KILLED if code is None and _LOST.search(text) else FailureKind.ERROR


def _is_tracker_said(error: str, frames: Sequence[_Frame]) -> bool:
    if _root(error) in _TRACKERS:
        return True
    last = max((place for place, frame in enumerate(frames) if not frame.is_library), default=-1)
    return any(_TRACKERS & set(Path(frame.file).parts) for frame in frames[last + 1 :])


def _last_traceback(lines: Sequence[str]) -> tuple[list[_Frame], str | None]:
    """The frames of the last traceback that Python printed, and what it ended with."""
    starts = [place for place, line in enumerate(lines) if line.strip() == _TRACEBACK]
    if not starts:
        return [], None
    frames: list[_Frame] = []
    for line in lines[starts[-1] + 1 :]:
        frame = _FRAME.match(line)
        if frame is not None:
            frames.append(_Frame(frame["file"], int(frame["line"]), frame["function"] or ""))
        elif line.strip() and not line.startswith(" "):
            is_raised = _RAISED.fullmatch(line.rstrip()) is not None
            return frames, line.strip() if is_raised else None
    return frames, None
