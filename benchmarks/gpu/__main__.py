"""Test and measure everything that needs a GPU, in a given time.

    python -m benchmarks.gpu --output DIR --seconds 420

goes through the stages in the order of their worth and leaves in DIR a JSON file and a log of each, the
report of the study, and a summary in Markdown. What a stage does not use of its time, the next ones get. With
--device cpu --tiny it rehearses all that on a CPU, in a minute.

Exit code 0 when every stage has done what it could in its time, 1 when one failed, 2 when none could begin.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NoReturn

from packaging.requirements import Requirement

from ablate.ground.errors import ConfigError
from ablate.ground.files import write_json, write_text
from ablate.launch.devices import find_devices
from benchmarks import common
from benchmarks.gpu import summary
from benchmarks.gpu.recording import read
from benchmarks.gpu.stages import FULL_MINUTES, LEAST_WHEN_TINY_S, STAGES, TINY_MINUTES

GRACE_S = 3.0  # for a stage to end by itself after its time, and to leave when it is told to
PRECISIONS = ("float32", "tf32", "bfloat16")


def main() -> None:
    options = _options()
    problem = _problem(options)
    if problem:
        _refuse(problem)
    command = Session(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        command.run()
    finally:
        command.stop()
        text = summary.of_folder(options.output)
        write_text(options.output / "summary.md", text)
        print(f"\n{text}\nEverything is in {options.output}.", flush=True)
    sys.exit(1 if command.n_failed else 0)


def _options() -> argparse.Namespace:
    parser = common.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=420.0, help="the time for all stages [420]")
    parser.add_argument(
        "--stage", default=",".join(STAGES), metavar="A,B", help=f"which stages [all: {','.join(STAGES)}]"
    )
    parser.add_argument("--device", default="cuda:0", help="[cuda:0]")
    parser.add_argument("--tiny", action="store_true", help="small networks and little data, for a rehearsal")
    parser.add_argument(
        "--study-precision", choices=PRECISIONS, default="float32", help="arithmetic of the study [float32]"
    )
    options = parser.parse_args()
    options.stages = [name.strip() for name in options.stage.split(",") if name.strip()]
    return options


def _problem(options: argparse.Namespace) -> str | None:
    """Why nothing can begin."""
    unmet = list(_unmet())
    if unmet:
        return f"pyproject.toml's packages are not all here: {', '.join(unmet)}"
    unknown = [name for name in options.stages if name not in STAGES]
    if unknown or not options.stages:
        return f"--stage {options.stage}: the stages are {', '.join(STAGES)}"
    if options.output is None:
        return "--output DIR says where the results go"
    if options.study_precision == "tf32" and options.device == "cpu":
        return "--study-precision tf32: a CPU has no such arithmetic"
    if options.tiny is False and options.device == "cpu":
        return "--device cpu would take days at full size; add --tiny for a rehearsal"
    try:
        find_devices(options.device)
    except ConfigError as error:
        return f"{error}; --device cpu --tiny rehearses without a GPU"
    least = least_s(options.stages[0], tiny=options.tiny)
    if options.seconds < least:
        return f"--seconds {options.seconds:g}: stage {options.stages[0]} alone takes at least {least:g}"
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        left_over = next((name for name in STAGES if (options.output / f"{name}.json").exists()), None)
        write_text(options.output / "summary.md", "Under way.\n")
    except OSError as error:
        return f"--output {options.output}: cannot be written ({error.strerror or error})"
    if left_over:
        return f"--output {options.output}: has the results of another time; name a new folder"
    return None


def _unmet() -> Iterator[str]:
    """What pyproject.toml asks for and this Python has not; the pins of constraints.txt do not count."""
    project = tomllib.loads((common.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in map(Requirement, project["dependencies"]):
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            yield str(requirement)
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            yield f"{requirement} (there is {found})"


def _refuse(problem: str) -> NoReturn:
    print(f"benchmarks.gpu: {problem}", file=sys.stderr)
    sys.exit(2)


def least_s(stage: str, *, tiny: bool) -> float:
    return LEAST_WHEN_TINY_S if tiny else STAGES[stage].least_s


def shares(left_s: float, stages: Sequence[str]) -> list[float]:
    """How ``left_s`` is divided among the stages that are still to come.

    >>> [round(seconds) for seconds in shares(100.0, ["packing", "study"])]
    [41, 59]
    """
    total = sum(STAGES[name].share for name in stages)
    return [left_s * STAGES[name].share / total for name in stages]


class Session:
    """One invocation: the stages one after the other, and the data made beside the first of them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.n_failed = 0
        self._options = options
        self._ends_at = time.monotonic() + options.seconds
        self._running: list[subprocess.Popen[bytes]] = []
        self._data = options.output / "study-data"
        self._making: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        stages = self._options.stages
        for name, seconds in zip(stages, shares(self._left_s, stages), strict=True):
            print(f"{name:<9} about {seconds:4.0f} s: {STAGES[name].shows}")
        if "study" in stages:
            self._making = self._make_data()
        for index, name in enumerate(stages):
            if STAGES[name].quiet:
                self._wait_for_data()
            seconds = shares(self._left_s, stages[index:])[0] - GRACE_S
            self._run_stage(name, seconds)

    def stop(self) -> None:
        """Ends whatever is still running."""
        for process in self._running:
            _end(process)

    @property
    def _left_s(self) -> float:
        return self._ends_at - time.monotonic()

    def _make_data(self) -> subprocess.Popen[bytes]:
        minutes, eval_minutes = TINY_MINUTES if self._options.tiny else FULL_MINUTES
        ablate = f"{sys.executable} -m ablate.cli.app data"
        generate = f"{ablate} generate '{self._data}' --minutes {minutes} --eval-minutes {eval_minutes}"
        return self._start(["sh", "-c", f"{generate} && {ablate} prepare '{self._data}'"], "study-data")

    def _wait_for_data(self) -> None:
        if self._making:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._making.wait(timeout=max(self._left_s, 0.0))

    def _run_stage(self, name: str, seconds: float) -> None:
        least = least_s(name, tiny=self._options.tiny)
        if seconds < least:
            self._skip(name, f"{max(seconds, 0):.0f} s are left for it, and it takes at least {least:g}")
            return
        if name == "study" and self._making and self._making.poll() != 0:
            self._fail(name, "its data could not be made; study-data.log says why")
            return
        print(f"\n--- {name}: {STAGES[name].shows} ({seconds:.0f} s)", flush=True)
        started = time.monotonic()
        process = self._start(self._command(name, seconds), name)
        try:
            code = process.wait(timeout=seconds + GRACE_S)
        except subprocess.TimeoutExpired:
            _end(process)
            self._fail(name, f"cut off after {seconds:.0f} s")
        else:
            if code != 0:
                self._fail(name, f"ended with {code}: {last_line(self._log(name))}")
        self._note(name, took_s=round(time.monotonic() - started, 1))

    def _command(self, name: str, seconds: float) -> list[str]:
        options = self._options
        command = [sys.executable, "-m", "benchmarks.gpu.stages", name, "--folder", str(options.output)]
        command += ["--seconds", f"{seconds:.1f}", "--device", options.device, "--data", str(self._data)]
        command += ["--study-precision", options.study_precision, "--command", common.command()]
        return [*command, *(["--tiny"] if options.tiny else [])]

    def _start(self, command: list[str], name: str) -> subprocess.Popen[bytes]:
        with self._log(name).open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=common.ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,  # so that it ends with all that it has started
            )
        self._running.append(process)
        return process

    def _log(self, name: str) -> Path:
        return self._options.output / f"{name}.log"

    def _skip(self, name: str, reason: str) -> None:
        print(f"\n--- {name}: not begun, {reason}", flush=True)
        self._note(name, state=f"not begun: {reason}")

    def _fail(self, name: str, reason: str) -> None:
        self.n_failed += 1
        print(f"{name}: {reason}", flush=True)
        self._note(name, state=reason)

    def _note(self, name: str, **values: object) -> None:
        """Adds to what the stage has written."""
        file = self._options.output / f"{name}.json"
        write_json(file, {"rows": [], **(read(file) or {}), **values})


def _environment() -> dict[str, str]:
    # cuBLAS and cuDNN's recurrent layers add in one order only with a workspace of fixed size.
    return {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "PYTHONUNBUFFERED": "1"}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks a process and all that it has started to leave, and makes them."""
    for request, patience_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, request)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience_s)


def last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


if __name__ == "__main__":
    main()
