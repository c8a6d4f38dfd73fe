"""What the tests say of a mutant, in a process that is forked for it after the libraries were imported.

The mutant is never written to a file: the forked process imports its text in the module's place. It leads a
session, has a home and a folder for temporary files of its own, and is ended with all that it started when it
takes too long. Processes that tests start for themselves see the module as it is; a test that runs a module's
lines in such processes alone is not chosen.
"""

import contextlib
import ctypes
import importlib.util
import json
import math
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType

import coverage
import pytest

from tests.mutants.mutations import Mutant
from tests.mutants.plan import Area

PATIENCE_S = 5.0  # of CPU, beyond a multiple of what the tests take of the module as it is
SLOWER = 4
WAITING = 6  # seconds for each of these, and more: to wait costs no CPU, and others may be at work
WAITING_S = 120.0
LONGEST_S = 20.0  # of CPU for the tests of one mutant; the quickest files of tests come first
MEMORY_BYTES = 16 << 30
OUTSIDE = ""  # what coverage calls the part of a session that is no test: imports, and fixtures of many tests
PR_SET_CHILD_SUBREAPER = 36
PASSED, FAILED, NO_TEST_RAN = (
    pytest.ExitCode.OK,
    pytest.ExitCode.TESTS_FAILED,
    pytest.ExitCode.NO_TESTS_COLLECTED,
)


@dataclass(frozen=True)
class Reach:
    """Which tests run which lines of an area's modules.

    ``seconds`` has every test that passes, as they stand in their files; ``lines`` the tests by module, line.
    """

    seconds: Mapping[str, float]
    failed: Sequence[str]
    lines: Mapping[str, Mapping[int, Sequence[str]]]

    def tests(self, module: str, mutant: Mutant) -> list[str]:
        """The tests that run a mutant's lines; where an import runs them, any, those of the module first."""
        first, last = mutant.lines
        lines = self.lines.get(module, {})
        near = {test for line, tests in lines.items() if first <= line <= last for test in tests}
        if OUTSIDE not in near:
            return self._within_reason(near, near)
        near = {test for tests in lines.values() for test in tests}
        return self._within_reason({*self.seconds}, near)

    def _within_reason(self, tests: set[str], near: set[str]) -> list[str]:
        """For as long as it may take: quick files first, and within them the tests as they stand."""
        files: dict[str, float] = {}
        for test in tests:
            files[_file(test)] = files.get(_file(test), 0.0) + self.seconds[test]
        first = set(map(_file, near))
        chosen: list[str] = []
        left = LONGEST_S
        for file in sorted(files, key=lambda file: (file not in first, files[file])):
            for test in self.seconds:
                if _file(test) == file and test in tests and self.seconds[test] <= left:
                    chosen.append(test)
                    left -= self.seconds[test]
        return chosen


def _file(test: str) -> str:
    return test.partition("::")[0]


class Laboratory:
    """A folder in which mutants live, and this process, which has imported what they need."""

    def __init__(self, area: Area, folder: Path) -> None:
        self.area, self.folder = area, folder
        for name in area.libraries:
            __import__(name)
        # Whatever a mutant leaves behind becomes our child, so that it can be ended.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def reach(self) -> Reach:
        """Run all tests of the area, with the modules as they are."""
        output = self.folder / "reach.json"
        code, _ = self._forked(lambda: self._watched(output), limit_s=3600)
        if code not in (PASSED, FAILED):
            raise RuntimeError(
                f"the tests of the modules as they are ended with {code}: {self.log.read_text()}"
            )
        content = json.loads(output.read_text())
        lines = {
            module: {int(line): tests for line, tests in of.items()}
            for module, of in content["lines"].items()
        }
        return Reach(content["seconds"], content["failed"], lines)

    def verdict(self, module: str, text: str, tests: Sequence[str], seconds: float) -> tuple[str, float]:
        """What ``tests`` say of a module with this text, and the CPU seconds that it took.

        ``killed``, ``killed by time`` or ``survived``. ``seconds`` is what they take of the module as it is.
        """
        code, cpu_s = self._forked(lambda: self._judged(module, text, tests), SLOWER * seconds + PATIENCE_S)
        if code == NO_TEST_RAN:
            raise RuntimeError(f"{module}: none of the tests was found: {tests}")
        if code is None:
            return "killed by time", cpu_s
        return ("survived" if code == PASSED else "killed"), cpu_s

    @property
    def log(self) -> Path:
        """What pytest said last."""
        return self.folder / "log.txt"

    def _forked(self, act: Callable[[], int], limit_s: float) -> tuple[int | None, float]:
        """The exit code of a process that does ``act``, None when it was ended, and its CPU seconds."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        child = os.fork()
        if child == 0:
            self._become(act, limit_s)
        code = _waited(child, WAITING * limit_s + WAITING_S)
        _end_children()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return code, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def _become(self, act: Callable[[], int], limit_s: float) -> None:
        code = int(pytest.ExitCode.INTERNAL_ERROR)
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit_s), resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            self._settle()
            code = int(act())
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _settle(self) -> None:
        """A home of its own, and nothing of the package imported yet."""
        home = self.folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        os.environ.update(HOME=str(home), TMPDIR=str(home))
        tempfile.tempdir = None
        os.chdir(home)
        sys.path.insert(0, str(self.area.root))
        packages = {Path(path).parts[0] for path in (*self.area.modules, *self.area.tests)}
        for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
            del sys.modules[name]

    def _pytest(self, files: Sequence[str], plugin: object, *options: str) -> int:
        root = self.area.root
        arguments = [
            f"--rootdir={root}",
            "--assert=plain",
            "-p",
            "no:cacheprovider",
            "--basetemp=tests",
            *options,
        ]
        arguments.append("--hypothesis-seed=0")  # the same examples for every mutant
        if (root / "pyproject.toml").exists():
            arguments += ["-c", str(root / "pyproject.toml")]
        return pytest.main([*arguments, *(str(root / file) for file in files)], plugins=[plugin])

    def _watched(self, output: Path) -> int:
        watch = coverage.Coverage(
            data_file=None, include=[str(self.area.root / path) for path in self.area.modules]
        )
        plugin = _Watching(watch)
        watch.start()
        code = self._pytest(self.area.tests, plugin)
        watch.stop()
        passed = set(plugin.seconds) - set(plugin.failed)
        lines = {
            module: _by_line(watch, str(self.area.root / module), passed) for module in self.area.modules
        }
        seconds = {test: plugin.seconds[test] for test in plugin.seconds if test in passed}
        output.write_text(json.dumps({"seconds": seconds, "failed": plugin.failed, "lines": lines}))
        return code

    def _judged(self, module: str, text: str, tests: Sequence[str]) -> int:
        name = module.removesuffix(".py").replace("/", ".")
        sys.meta_path.insert(0, _Instead(name, str(self.area.root / module), text))
        return self._pytest(list(dict.fromkeys(map(_file, tests))), _Chosen(tests), "-x", "--tb=line")


def _waited(child: int, limit_s: float) -> int | None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return None if code == -signal.SIGXCPU else code
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _end_children() -> None:
    """End and forget what a mutant has left."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while left := children.read_text().split():
        for child in map(int, left):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


class _Instead(MetaPathFinder):
    """Finds one module, with another text than its file has."""

    def __init__(self, name: str, path: str, text: str) -> None:
        self._name, self._path, self._text = name, path, text

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = _Loader(fullname, self._path, self._text)
        return importlib.util.spec_from_file_location(fullname, self._path, loader=loader)


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self._text = text

    def get_code(self, _: str) -> CodeType:
        return compile(self._text, self.path, "exec", dont_inherit=True)


class _Chosen:
    """Runs these tests, in this order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._places),
            key=lambda item: self._places[item.nodeid],
        )


class _Watching:
    """Tells the watch which test is under way, and keeps how long each took and which failed."""

    def __init__(self, watch: coverage.Coverage) -> None:
        self._watch = watch
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._watch.switch_context(item.nodeid)
        started = time.process_time()
        result = yield
        self.seconds[item.nodeid] = round(time.process_time() - started, 4)
        self._watch.switch_context(OUTSIDE)
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed and report.nodeid not in self.failed:  # a test that was skipped says nothing
            self.failed.append(report.nodeid)


def _by_line(watch: coverage.Coverage, path: str, passed: set[str]) -> dict[int, list[str]]:
    contexts: Mapping[int, list[str]] = watch.get_data().contexts_by_lineno(path)
    return {line: sorted({*passed, OUTSIDE}.intersection(tests)) for line, tests in contexts.items()}


@contextmanager
def laboratory(area: Area) -> Iterator[Laboratory]:
    """With a folder that is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        yield Laboratory(area, Path(folder))
