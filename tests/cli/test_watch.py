"""Watching a study that trains in another process: on a terminal, through a pipe, as JSON."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.text import Text

from ablate.cli.watched import Picture, sparkline
from ablate.ground.failures import Failure, FailureKind
from ablate.record.rundir import RunFolder, State, Status
from ablate.record.store import Store
from ablate.record.watching import Look, Seen, Watching, Work
from tests.cli import failing
from tests.command import output_of, start
from tests.fabricate import add_runs, fabricate_run, fabricate_study, make_run

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"
OTHER_SCREEN, FIRST_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"
WATCH = [sys.executable, "-m", "ablate.cli.app", "watch"]


@dataclass
class Ended:
    code: int
    written: bytes

    @property
    def frames(self) -> list[str]:
        """What stood on the other screen, one picture after the other."""
        inside = self.written.partition(OTHER_SCREEN)[2].partition(FIRST_SCREEN)[0]
        return [CODES.sub("", part.decode()).replace("\r", "") for part in inside.split(b"\x1b[H")[1:]]

    @property
    def after(self) -> str:
        return CODES.sub("", self.written.partition(FIRST_SCREEN)[2].decode()).replace("\r", "")


def watch_on_terminal(
    *arguments: str,
    columns: int = 80,
    lines: int = 24,
    until: bytes | None = None,
    more: Mapping[str, str] | None = None,
) -> Ended:
    """``ablate watch`` on a pseudo-terminal, to its end; with ``until`` Ctrl-C comes after these bytes."""
    terminal, inside = pty.openpty()
    termios.tcsetwinsize(inside, (lines, columns))
    unset = {
        name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")
    }
    environment = {**unset, "TERM": "xterm", **(more or {})}
    process = subprocess.Popen(
        [*WATCH, *arguments, "--every", "0.2"],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env=environment,
        preexec_fn=_take_terminal,
    )
    os.close(inside)
    written = b""
    with open(terminal, "r+b", buffering=0) as screen:  # noqa: PTH123 - a descriptor
        try:
            while part := screen.read(65536):
                written += part
                if until is not None and until in written:
                    screen.write(b"\x03")  # as the terminal's line discipline makes SIGINT of it
                    until = None
        except OSError:  # how Linux says that the command has closed its side
            pass
    return Ended(process.wait(), written)


def _take_terminal() -> None:
    """A session of its own, with the terminal as the one that Ctrl-C comes from."""
    import fcntl

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watched")
    (folder / "train.py").write_text(failing.SCRIPT)
    return folder


@pytest.fixture
def training(folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The store of a study that another process trains now, a second an epoch."""
    store = folder / f"store-{request.node.name}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("STEP_S", "0.3")
        grid = start(*failing.GRID, *failing.MORE, "--workers", "2", store=store)
        deadline = time.monotonic() + 200
        while not list(store.glob("runs/*/history.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.05)
        yield store
        grid.send_signal(signal.SIGINT)
        grid.communicate(timeout=200)


def test_a_study_of_another_process_is_watched_to_its_end(training: Path) -> None:
    ended = watch_on_terminal("s", "--store", str(training))
    assert ended.code == 1  # runs have failed
    assert all(len(line) <= 80 for frame in ended.frames for line in frame.splitlines())
    assert all(len(frame.splitlines()) <= 24 for frame in ended.frames)
    at_work = [frame for frame in ended.frames if "At work" in frame]
    assert any(re.search(r"seed=\d +epoch [123]/?3? .* loss [\d.]+ [▁▂▃▄▅▆▇█]", frame) for frame in at_work)
    assert any("▶" in frame for frame in at_work)
    assert "s is over: 2 finished, 4 failed" in ended.after
    assert "error of the training, alike in 2 runs" in " ".join(ended.after.split())
    assert ended.written.count(HIDE) == ended.written.count(SHOW)


def test_ctrl_c_ends_the_watching_alone_and_leaves_nothing_behind(training: Path) -> None:
    ended = watch_on_terminal("s", "--store", str(training), until=b"At work")
    assert ended.code == 130
    assert ended.after.split() == ["ablate:", "interrupted"]
    assert ended.written.rfind(SHOW) > ended.written.rfind(HIDE)
    study = Store(training).study_runs("s")
    assert any(run.status().state is State.RUNNING for run in study)


def test_a_pipe_gets_a_line_for_each_change(training: Path) -> None:
    piped = subprocess.run(
        [*WATCH, "s", "--store", str(training), "--every", "0.1"], capture_output=True, text=True, timeout=200
    )
    assert piped.returncode == 1
    first, *lines = piped.stdout.splitlines()
    found = re.fullmatch(r"\d\d:\d\d:\d\d s: .*running.*; (\d)/6 ended, .*", first)
    assert found is not None
    assert sum(bool(re.search(" finished; | FAILED ", line)) for line in lines) == 6 - int(found[1])
    assert any(" FAILED (killed): train.py was ended by SIGTERM; " in line for line in lines)  # the last run
    assert lines[-1].endswith("6/6 ended, over")
    assert "\x1b" not in piped.stdout


def made(tmp_path: Path) -> Store:
    """Three conditions with two seeds: finished, failed, and one that was never begun."""
    store = Store(tmp_path / "store")
    store.require_writable()
    runs = []
    states = {"good": State.FINISHED, "bad": State.FAILED, "new": State.PENDING}
    for place, (name, state) in enumerate(states.items()):
        for seed in (0, 1):
            run = make_run(name, seed, {"optim.lr": 0.001 * (place + 1)}, {"optim.lr": 0.001 * (place + 1)})
            fabricate_run(store, run, state=state, cause="ValueError: no" if state is State.FAILED else None)
            runs.append(run)
    add_runs(store, "made", runs)
    return store


def test_once_shows_the_present_and_ends(tmp_path: Path) -> None:
    store = made(tmp_path)
    printed = output_of("watch", "--once", store=store.root, code=1)
    assert printed.startswith("made: 6 runs, 2 pending, 2 finished, 2 failed\n")
    assert "67 %, nobody trains it now" in printed
    assert re.search(r"good 2/2 ●●", printed)
    assert re.search(r"bad  2/2 ✗✗", printed)
    assert re.search(r"new  0/2 ··", printed)
    assert printed.endswith(
        "  2 runs: error of the training: ValueError: no\n  again:\n    ablate grid --retry --cause error\n"
    )


def test_json_is_a_document_with_all_runs_and_then_with_what_changed(tmp_path: Path) -> None:
    store = made(tmp_path)
    told = json.loads(output_of("watch", "--once", "--format", "json", store=store.root, code=1))
    assert (told["n_runs"], told["n_ended"], told["is_over"], told["seconds_left"]) == (6, 4, False, None)
    assert told["counts"] == {"finished": 2, "failed": 2, "pending": 2}
    assert [run["state"] for run in told["runs"]].count("failed") == 2
    assert told["failures"][0]["runs"] == {"bad": "seeds 0-1"}
    fabricate_study(store, "over", [make_run()])
    lines = output_of("watch", "over", "--format", "json", store=store.root).splitlines()
    assert [json.loads(line)["is_over"] for line in lines] == [True]


@pytest.mark.parametrize(("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_left_out_where_nobody_wants_them(
    tmp_path: Path, more: dict[str, str], coloured: bool
) -> None:
    store = made(tmp_path)
    ended = watch_on_terminal("--once", "--store", str(store.root), columns=60, more=more)
    assert (b"\x1b[3" in ended.written) is coloured
    assert all(len(CODES.sub("", line)) <= 60 for line in ended.written.decode().splitlines())


def test_a_picture_fits_any_terminal_and_shows_first_what_goes_on(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    names = [f"a condition with a long name {place}" for place in range(40)]
    runs = [
        make_run(name, seed, {"optim.lr": 0.001 * (place + 1)}, {"optim.lr": 0.001 * (place + 1)})
        for place, name in enumerate(names)
        for seed in range(3)
    ]
    fabricate_study(store, "wide", runs)
    last = store.folder(runs[-1].run_id)
    with last.claim():
        last.begin()
        watching = Watching(store, "wide")
        look = watching.look()
        for width, height in ((40, 12), (60, 20), (80, 24), (200, 50)):
            lines = Picture("wide", watching, {}, width, height).lines(look)
            plain = [line.plain for line in lines]
            assert len(plain) <= height
            assert max(map(len, plain)) <= width
            is_cut = height < 50
            assert any("more, " in line for line in plain) is is_cut
            assert "▶" in plain[plain.index("Conditions") + 1 if is_cut else -1]
        plain_ascii = Picture("wide", watching, {}, 80, 24, ascii_only=True).lines(look)
    assert all(line.plain.isascii() for line in plain_ascii)
    assert isinstance(plain_ascii[0], Text)


def test_time_left_follows_from_what_finished_runs_took() -> None:
    folder = RunFolder(Path("run"), "base", {}, 0)
    finished = Status(State.FINISHED, attempt=1, started_at=1000.0, ended_at=1100.0)
    half = Seen(folder, Status(State.RUNNING, attempt=1, started_at=1100.0))
    waiting = [Seen(folder, Status(State.PENDING))] * 2
    one = Work(half, epoch=5, n_epochs=10, curves={})

    def left(*works: Work, done: Sequence[Seen] = (Seen(folder, finished),)) -> float | None:
        return Look(1150.0, [*done, *(work.run for work in works), *waiting], works, False).seconds_left

    # A run takes 100 s: half of one is left and two wait, with one worker; with two workers half as much.
    assert left(one) == 50 + 2 * 100
    assert left(one, one) == (2 * 50 + 2 * 100) / 2
    assert left() is None  # nobody is at work
    # Before any has finished, the half that is done says that a whole takes twice its 50 s.
    assert left(one, done=()) == 50 + 2 * 100


def test_a_sparkline_has_the_shape_of_its_curve() -> None:
    assert sparkline([8, 4, 2, 1], 4) == "█▄▂▁"
    assert sparkline(list(range(100)), 4) == "▁▃▆█"
    assert sparkline([1, float("inf"), 2], 3) == "▁ █"
    assert (sparkline([float("nan")], 8), sparkline([], 8)) == ("", "")


def test_a_look_at_a_thousand_runs_reads_only_what_has_changed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    failure = Failure(FailureKind.ERROR, "ValueError: no")
    runs = [make_run(seed=seed) for seed in range(1000)]
    store.require_writable()
    for run in runs:
        folder = store.folder(run.run_id)
        folder.create(run)
        folder.begin()
        folder.end(State.FAILED, "ValueError: no", failure)
    add_runs(store, "many", runs)
    watching = Watching(store, "many")
    first = _cpu_seconds(watching)
    later = min(_cpu_seconds(watching) for _ in range(5))
    assert later < first / 2
    assert later < 0.2


def _cpu_seconds(watching: Watching) -> float:
    began = time.process_time()
    look = watching.look()
    assert len(look.failures[0].runs) == 1000
    return time.process_time() - began
