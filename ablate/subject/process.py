"""One program under way: its start, its output as it arrives, and its end, which nothing of it outlives.

A program is the leader of a process group of its own, as what it starts in turn belongs to it: when it has
ended, or is to end, the group is. When the process that runs it is killed, a guard ends it: a shell that
waits for the end of a pipe that only that process can write to. The program itself begins when it is told
to, after the guard knows of it; so there is no moment at which killing its parent leaves it behind.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

LOOK_EVERY_S = 0.2  # whether the run is to stop
LOOK_WITHOUT_PIDFD_S = 0.01  # whether it has ended, where the system cannot tell when that happens
CHUNK = 1 << 16
PIPE_BYTES = 1 << 20  # what a program can print while we do something else
LONGEST_LINE = 1 << 20
LOG_BYTES = 16 << 20  # of one attempt
N_LAST_LINES = 3
LONGEST_LAST_LINE = 500
F_SETPIPE_SZ = 1031  # of Linux; fcntl has no name for it in every Python

SHELL = "/bin/sh"
# Its group is the last one that it was told; none when the program is over.
GUARD = """trap "" HUP INT TERM
while read -r told; do group=$told; done
[ -z "$group" ] || kill -s KILL -- "-$group"
"""
GATE = 'read -r _ && exec "$@" </dev/null'

Line = Callable[[str], None]


@dataclass(frozen=True)
class Ending:
    """How a program ended. ``code`` is its exit code, or the negative of the signal that ended it.

    ``stopped`` says that it was asked to end, and ``killed`` that it did not do so in time.
    """

    code: int
    seconds: float
    stopped: bool = False
    killed: bool = False
    last_lines: tuple[str, ...] = ()


def run_program(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
    on_line: Line,
    should_stop: Callable[[], bool],
    grace_s: float,
) -> Ending:
    """Run a program to its end; where ``should_stop`` says so, end it: SIGTERM, ``grace_s``, SIGKILL.

    What it prints is appended to ``log``, no more than ``LOG_BYTES`` of it, and ``on_line`` gets every line.
    Raises OSError when it cannot be started or its output cannot be kept, and whatever ``on_line`` and
    ``should_stop`` raise; the program is over in any case.
    """
    started = time.monotonic()
    with Log(log) as kept, Program(command, folder, environment) as program:
        lines = Lines(on_line)

        def take(chunk: bytes) -> None:
            kept.write(chunk)
            lines.feed(chunk)

        stopped, killed = program.follow(take, should_stop, grace_s)
        code = program.end()
        program.drain(take)
        lines.end()
    return Ending(code, time.monotonic() - started, stopped, killed, tuple(lines.last))


class Program:
    """A started program. Leaving the context ends it, and all that is left of its group."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._guard = _start([SHELL, "-c", GUARD], cwd="/", stdout=subprocess.DEVNULL)
        try:
            # A session of its own: where it asks for a password at the terminal, it fails instead of waiting.
            self._process = _start(
                [SHELL, "-c", GATE, SHELL, *command], cwd=folder, env=environment, stdout=subprocess.PIPE
            )
        except BaseException:
            _dismiss(self._guard)
            raise
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._gate: IO[bytes] = self._process.stdin
        self._output: IO[bytes] = self._process.stdout
        self._exit: int | None = None
        self._over = False

    def __enter__(self) -> Self:
        try:
            _tell(self._guard, str(self._process.pid))
            _tell(self._process, "begin")
            self._gate.close()
            self._exit = _pidfd(self._process.pid)
            _widen(self._output)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._gate.close()
        self._output.close()
        if self._exit is not None:
            os.close(self._exit)
        _dismiss(self._guard)

    def follow(
        self, take: Callable[[bytes], None], should_stop: Callable[[], bool], grace_s: float
    ) -> tuple[bool, bool]:
        """Take what it prints until it ends; whether it was asked to end, and whether it had to be killed."""
        look_at, kill_at = 0.0, None
        killed = False
        patience_s = LOOK_EVERY_S if self._exit is not None else LOOK_WITHOUT_PIDFD_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            if self._exit is not None:
                selector.register(self._exit, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select(patience_s)]
                if self._output in ready:
                    chunk = os.read(self._output.fileno(), CHUNK)
                    take(chunk)
                    if not chunk:
                        selector.unregister(self._output)
                if self._has_ended(ready):
                    return kill_at is not None, killed
                now = time.monotonic()
                if now < look_at:
                    continue
                look_at = now + LOOK_EVERY_S
                if kill_at is None and should_stop():
                    kill_at = now + grace_s
                    self._signal(signal.SIGTERM, signal.SIGCONT)  # one that is frozen must wake to end
                elif kill_at is not None and now >= kill_at and not killed:
                    killed = True
                    self._signal(signal.SIGKILL)

    def _has_ended(self, ready: Sequence[object]) -> bool:
        if self._exit is None:
            return self._process.poll() is not None
        return self._exit in ready

    def end(self) -> int:
        """End what is left of it and of what it started; its exit code."""
        if not self._over:
            # Before its leader is buried, which keeps the group's number from being given to another one.
            self._signal(signal.SIGKILL)
            _tell(self._guard, "")
            self._over = True
        return self._process.wait()

    def drain(self, take: Callable[[bytes], None]) -> None:
        """Take what it printed last. One of its children may have left the group and print on: not that."""
        os.set_blocking(self._output.fileno(), False)
        for _ in range(PIPE_BYTES // CHUNK + 1):
            try:
                chunk = os.read(self._output.fileno(), CHUNK)
            except BlockingIOError:
                return
            if not chunk:
                return
            take(chunk)

    def _signal(self, *signals: signal.Signals) -> None:
        for each in signals:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, each)


def _start(
    command: Sequence[str],
    *,
    cwd: Path | str,
    stdout: int,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        bufsize=0,
    )


def _tell(process: subprocess.Popen[bytes], word: str) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # somebody killed it
        process.stdin.write(word.encode() + b"\n")


def _dismiss(guard: subprocess.Popen[bytes]) -> None:
    assert guard.stdin is not None
    guard.stdin.close()
    guard.wait()


def _pidfd(pid: int) -> int | None:
    """What becomes readable when the process ends; None where there is no such thing."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _widen(pipe: IO[bytes]) -> None:
    import fcntl

    with contextlib.suppress(OSError):  # not Linux, or more than this user may have
        fcntl.fcntl(pipe, F_SETPIPE_SZ, PIPE_BYTES)


class Lines:
    """Cuts output into lines. One that is longer than ``LONGEST_LINE`` is handed on without its end.

    A carriage return ends a line too, as progress bars use it. ``last`` are the last lines that say anything.
    """

    def __init__(self, on_line: Line) -> None:
        self._on_line = on_line
        self._unread = b""
        self.last: deque[str] = deque(maxlen=N_LAST_LINES)

    def feed(self, chunk: bytes) -> None:
        first, *others = chunk.replace(b"\r", b"\n").split(b"\n")
        self._unread += first[: LONGEST_LINE - len(self._unread)]
        for each in others:
            self._hand_on()
            self._unread = each

    def end(self) -> None:
        self._hand_on()
        self._unread = b""

    def _hand_on(self) -> None:
        text = self._unread.decode("utf-8", errors="replace").rstrip()
        if text:
            self.last.append(text[:LONGEST_LAST_LINE])
            self._on_line(text)


class Log:
    """Appends output to a file: its beginning at once, and when it ends its last part.

    ``limit`` bytes are kept, a half of them of each.
    """

    def __init__(self, path: Path, limit: int = LOG_BYTES) -> None:
        self._file = path.open("ab", buffering=0)
        self._half = limit // 2
        self._n_written = 0
        self._last: deque[bytes] = deque()
        self._n_last = 0
        self._n_left_out = 0
        self._ends_line = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._n_left_out:
                self._append(b"\n[%d bytes of output are left out here]\n" % self._n_left_out)
            self._append(b"".join(self._last))
            if not self._ends_line:
                self._append(b"\n")
        finally:
            self._file.close()

    def write(self, chunk: bytes) -> None:
        room = self._half - self._n_written
        if room > 0:
            self._append(chunk[:room])
            self._n_written += min(room, len(chunk))
            chunk = chunk[room:]
        if not chunk:
            return
        self._last.append(chunk)
        self._n_last += len(chunk)
        while self._n_last - len(self._last[0]) >= self._half:
            dropped = len(self._last.popleft())
            self._n_last -= dropped
            self._n_left_out += dropped

    def _append(self, content: bytes) -> None:
        """Write all of it: a file may take a part only when the disk is nearly full."""
        view = memoryview(content)
        while view:
            view = view[self._file.write(view) :]
        if content:
            self._ends_line = content.endswith(b"\n")


def describe(code: int) -> str:
    """``ended with exit code 3``, ``was ended by SIGSEGV``."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
