"""One program under way, with real programs: what it prints, how it ends, and that nothing outlives it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ablate.subject.process import GATE, LOG_BYTES, LONGEST_LINE, SHELL, Ending, Log, describe, run_program

PATIENCE_S = 20.0


class Terminal:
    """Runs programs in a folder, and has what they printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log.txt"
        self.lines: list[str] = []

    def run(
        self, *command: str, should_stop: Callable[[], bool] = lambda: False, grace_s: float = 10.0
    ) -> Ending:
        return run_program(
            command,
            folder=self.folder,
            environment=os.environ,
            log=self.log,
            on_line=self.lines.append,
            should_stop=should_stop,
            grace_s=grace_s,
        )

    def shell(self, text: str, **options: object) -> Ending:
        return self.run(SHELL, "-c", text, **options)  # type: ignore[arg-type]


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def once(path: Path) -> Callable[[], bool]:
    """To stop as soon as a program has written a file."""
    return path.exists


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet buried does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def pid_in(path: Path) -> int:
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def test_both_streams_are_its_output_and_its_log(terminal: Terminal) -> None:
    ending = terminal.shell("echo one; echo two >&2; printf three; exit 3")
    assert (ending.code, ending.last_lines) == (3, ("one", "two", "three"))
    assert terminal.lines == ["one", "two", "three"]
    assert terminal.log.read_text() == "one\ntwo\nthree\n"


def test_another_attempt_appends_to_the_log(terminal: Terminal) -> None:
    terminal.shell("echo first")
    terminal.shell("echo second")
    assert terminal.log.read_text() == "first\nsecond\n"


def test_a_progress_bar_is_many_lines(terminal: Terminal) -> None:
    terminal.shell(r"printf ' 10%%\r 20%%\r\n\n   \ndone\n'")
    assert terminal.lines == [" 10%", " 20%", "done"]


def test_output_that_is_no_text_does_no_harm(terminal: Terminal) -> None:
    terminal.shell(r"printf 'loss \377\376 0.5\n'")
    assert terminal.lines == ["loss \ufffd\ufffd 0.5"]
    assert terminal.log.read_bytes() == b"loss \xff\xfe 0.5\n"


def test_it_has_no_input_and_no_terminal_to_wait_at(terminal: Terminal) -> None:
    ending = terminal.shell("cat; (read -r answer </dev/tty) 2>/dev/null || echo no terminal")
    assert (ending.code, terminal.lines) == (0, ["no terminal"])


def test_arguments_arrive_as_they_are(terminal: Terminal) -> None:
    words = ["", "a b", "$HOME", "'", '"', "*", "; exit 9", "-n", "new\nline"]
    code = "import sys, json; print(json.dumps(sys.argv[1:]))"
    terminal.run(sys.executable, "-c", code, *words)
    import json

    assert json.loads(terminal.lines[-1]) == words


def test_a_program_ended_by_a_signal_is_told_as_such(terminal: Terminal) -> None:
    ending = terminal.shell("kill -s SEGV $$")
    assert describe(ending.code) == "was ended by SIGSEGV"
    assert describe(3) == "ended with exit code 3"


def test_an_empty_program_is_over_at_once(terminal: Terminal) -> None:
    fastest = min(terminal.run("true").seconds for _ in range(20))
    assert fastest < 0.05  # it is noticed when it ends, not when somebody looks


def test_one_that_is_silent_and_one_that_closes_its_output_are_waited_for(terminal: Terminal) -> None:
    assert terminal.shell("sleep 0.5; exit 4").code == 4
    assert terminal.shell("exec >&- 2>&-; sleep 0.5; exit 5").code == 5


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.folder = tmp_path / "gone"
    with pytest.raises(FileNotFoundError, match="gone"):
        terminal.run("true")


# What is kept of its output.


def test_of_100_mb_the_first_and_the_last_are_kept(terminal: Terminal) -> None:
    ending = terminal.shell(
        "echo first; yes 'epoch 3 loss 0.4 and so on, and so on' | head -c 100000000; echo; echo last"
    )
    assert ending.code == 0
    log = terminal.log.read_bytes()
    assert len(log) < LOG_BYTES + 200_000
    assert log.startswith(b"first\nepoch 3")
    assert log.endswith(b"\nlast\n")
    assert b"bytes of output are left out here]" in log
    assert len(terminal.lines) > 2_500_000  # all were read all the same


def test_a_line_of_100_mb_fills_no_memory(terminal: Terminal) -> None:
    terminal.shell("head -c 100000000 /dev/zero | tr '\\0' a; echo; echo after")
    assert [len(line) for line in terminal.lines] == [LONGEST_LINE, len("after")]
    assert terminal.log.stat().st_size < LOG_BYTES + 200_000


@pytest.mark.parametrize("size", [0, 1, 49, 50, 51, 99, 100, 101, 150, 1000])
@pytest.mark.parametrize("chunk", [1, 7, 50, 1000])
def test_a_log_keeps_its_beginning_and_its_end(tmp_path: Path, size: int, chunk: int) -> None:
    content = bytes(ord("a") + index % 26 for index in range(size))
    with Log(tmp_path / "log.txt", limit=100) as log:
        for start in range(0, size, chunk):
            log.write(content[start : start + chunk])
    kept = (tmp_path / "log.txt").read_bytes()
    assert len(kept) <= 100 + chunk + len("\n[1000 bytes of output are left out here]\n\n")
    if b"left out" not in kept:
        assert kept == (content + b"\n" if size else b"")
        return
    assert size > 100
    head, _, rest = kept.partition(b"\n[")
    n_left_out, _, tail = rest.partition(b" bytes of output are left out here]\n")
    assert head == content[:50]
    assert content.endswith(tail.removesuffix(b"\n"))
    assert len(tail) > 50
    assert len(head) + int(n_left_out) + len(tail) - 1 == size


# How it is ended.


def test_one_that_is_asked_to_stop_has_time_to_save(terminal: Terminal, tmp_path: Path) -> None:
    started = tmp_path / "started"
    ending = terminal.shell(
        "trap 'sleep 0.3; echo saved; exit 0' TERM; touch started; while :; do sleep 0.05; done",
        should_stop=once(started),
    )
    assert (ending.code, ending.stopped, ending.killed) == (0, True, False)
    assert terminal.lines[-1] == "saved"


def test_one_that_ignores_it_is_killed_after_the_grace(terminal: Terminal, tmp_path: Path) -> None:
    ending = terminal.shell(
        "trap '' TERM; sleep 1000 & echo $! >child; touch started; wait; while :; do sleep 1; done",
        should_stop=once(tmp_path / "started"),
        grace_s=0.3,
    )
    assert (ending.code, ending.stopped, ending.killed) == (-signal.SIGKILL, True, True)
    assert 0.3 <= ending.seconds < 5
    wait_for(lambda: not is_alive(pid_in(tmp_path / "child")))


def test_one_that_prints_without_end_is_asked_to_stop_too(terminal: Terminal) -> None:
    began = time.monotonic()
    ending = terminal.run("yes", should_stop=lambda: time.monotonic() > began + 0.5)
    assert ending.stopped
    assert not ending.killed


def test_one_that_is_frozen_is_woken_to_end(terminal: Terminal, tmp_path: Path) -> None:
    ending = terminal.shell(
        "touch started; kill -s STOP $$; sleep 100", should_stop=once(tmp_path / "started")
    )
    assert (ending.code, ending.killed) == (-signal.SIGTERM, False)


def test_children_that_outlive_it_are_ended_and_not_waited_for(terminal: Terminal, tmp_path: Path) -> None:
    ending = terminal.shell("sleep 1000 & echo $! >child; echo done")
    assert ending.code == 0
    assert ending.seconds < 5  # though the child holds its output open
    assert terminal.lines == ["done"]
    wait_for(lambda: not is_alive(pid_in(tmp_path / "child")))


def test_a_child_that_has_left_its_group_and_prints_on_is_not_waited_for(
    terminal: Terminal, tmp_path: Path
) -> None:
    code = """
    import os, sys, time
    if os.fork() == 0:
        os.setsid()
        with open("child", "w") as file:
            print(os.getpid(), file=file)
        while True:
            print("still here", flush=True)
    while not os.path.exists("child"):
        time.sleep(0.01)
    """
    ending = terminal.run(sys.executable, "-c", textwrap.dedent(code))
    try:
        assert ending.code == 0
        assert ending.seconds < 10
    finally:
        os.kill(pid_in(tmp_path / "child"), signal.SIGKILL)


def test_an_error_in_reading_its_output_ends_it(terminal: Terminal, tmp_path: Path) -> None:
    def fail(_line: str) -> None:
        raise LookupError("no such epoch")

    with pytest.raises(LookupError, match="no such epoch"):
        run_program(
            [SHELL, "-c", "echo $$ >pid; echo hello; sleep 1000"],
            folder=tmp_path,
            environment=os.environ,
            log=terminal.log,
            on_line=fail,
            should_stop=lambda: False,
            grace_s=10.0,
        )
    assert not is_alive(pid_in(tmp_path / "pid"))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_one_whose_parent_is_killed_does_not_live_on(tmp_path: Path, how: signal.Signals) -> None:
    parent = _parent(
        ["sh", "-c", "trap '' TERM HUP; sleep 1000 & echo $! >child; echo $$ >leader; wait"], tmp_path
    )
    child, leader = pid_in(tmp_path / "child"), pid_in(tmp_path / "leader")
    assert is_alive(child)
    parent.send_signal(how)
    parent.wait(PATIENCE_S)
    wait_for(lambda: not is_alive(child) and not is_alive(leader))


def test_one_whose_parent_is_killed_with_its_whole_group_does_not_live_on(tmp_path: Path) -> None:
    parent = _parent([SHELL, "-c", "echo $$ >leader; sleep 1000"], tmp_path)
    leader = pid_in(tmp_path / "leader")
    os.killpg(parent.pid, signal.SIGKILL)
    parent.wait(PATIENCE_S)
    wait_for(lambda: not is_alive(leader))


def _parent(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    """A process that runs a program and does nothing else."""
    code = f"""
    import os
    from pathlib import Path
    from ablate.subject.process import run_program
    folder = Path({str(folder)!r})
    run_program({list(command)!r}, folder=folder, environment=os.environ, log=folder / "log.txt",
                on_line=print, should_stop=lambda: False, grace_s=10.0)
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], process_group=0)


def test_one_whose_parent_was_killed_before_it_began_never_does(tmp_path: Path) -> None:
    subprocess.run(
        [SHELL, "-c", GATE, SHELL, "touch", str(tmp_path / "begun")], stdin=subprocess.DEVNULL, check=False
    )
    assert not (tmp_path / "begun").exists()
