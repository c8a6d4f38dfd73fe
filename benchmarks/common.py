"""What every benchmark shares: its options, and a record of where and how its numbers were measured."""

import argparse
import json
import os
import platform
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"

Row = dict[str, Any]


def parser(description: str | None) -> argparse.ArgumentParser:
    """A benchmark's command line, with the option that all have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    made.add_argument("--output", type=Path, help="write the rows as JSON to this file")
    return made


def cpu_name() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def cores() -> int:
    return len(os.sched_getaffinity(0))


def versions(*packages: str) -> dict[str, str]:
    """The versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit that was measured, with a + when more than results differed; "unknown" outside of git."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results")
        return f"{head}+" if changed else head
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def context(*packages: str) -> Row:
    """Where and how something is measured. Call it first: the load is then that of others."""
    return {
        "command": command(),
        "commit": commit(),
        "machine": cpu_name(),
        "cores": cores(),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": versions(*packages),
    }


def command() -> str:
    """What was typed."""
    module = sys.modules["__main__"].__spec__
    assert module is not None, "benchmarks are started as modules"
    return shlex.join(["python", "-m", module.name.removesuffix(".__main__"), *sys.argv[1:]])


def time_command(command: Sequence[str], folder: Path, **environment: str) -> tuple[float, float]:
    """Wall and CPU seconds of a command, its processes included. Raises RuntimeError when it fails.

    From its second call on the code is compiled, as that of an installed package is.
    """
    before, started = _cpu_of_children_s(), time.perf_counter()
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    wall_s, cpu_s = time.perf_counter() - started, _cpu_of_children_s() - before
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return wall_s, cpu_s


def _cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write(output: Path | None, where: Mapping[str, Any], rows: Sequence[Row]) -> None:
    if output:
        content = {**where, "rows": list(rows)}
        output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def show(row: Row) -> None:
    """One row as it is measured, so that a reader need not wait for the last one."""
    print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
