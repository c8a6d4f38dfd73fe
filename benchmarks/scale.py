"""What a study of 100, 1,000 and 10,000 runs costs: its training, its records, MLflow, and reading all of it.

The runs are real: a module that trains for 10 ms, by two workers, ten seeds a condition. Of each size are
noted, in this order,

- ``train``: ``ablate grid``: wall and CPU seconds, those of the controller alone, and its peak memory;
- ``ledger``: files and bytes of the run folders, of MLflow's artifacts and of its database, and its rows;
- ``command``: CPU seconds and peak memory of what reads the study, and of the same grid, with nothing left;
- ``search``: CPU seconds in which MLflow finds a page of 100 runs, as its UI asks for it;
- ``anew``: ``ablate sync`` of the whole study to an empty database.

``ablate sync`` is measured for up to 1,000 runs, since it takes as long as the training.

Then, once, by ``strace``: ``operations``: which operations on files of the ledger a run needs, an epoch of a
second, a look of a worker at its own lease, and one of a controller at a run that another process trains.

    python -m benchmarks.scale --output benchmarks/results/scale.json

takes half an hour or more; with ``--sizes 100 --keep`` the rows of other sizes stay as they are in the file.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from ablate.record.rundir import RunFolder
from ablate.record.store import Store
from benchmarks.common import ROOT, Row, context, parser, show, write

STUDY = "scale"
SEEDS = 10
WORKERS = 2
MOST_SYNCED = 1000
MODULE = """import time

import ablate


class Config(ablate.Config):
    x: int = 0
    epochs: int = 0
    seconds: float = 0.01


def train(config, run):
    for _ in run.epochs(config.epochs):
        time.sleep(config.seconds)
    if not config.epochs:
        time.sleep(config.seconds)
    return ablate.Scores(score=config.x + 0.1 * run.seed)


subject = ablate.Subject("tiny", Config, train, metrics=[ablate.Metric("score")])
"""
# Notes what the process itself has used when it ends, without its children.
NOTING = """import atexit, json, resource, sys
def note():
    used = resource.getrusage(resource.RUSAGE_SELF)
    with open("controller.json", "w") as file:
        json.dump({"cpu_s": used.ru_utime + used.ru_stime, "memory_mib": used.ru_maxrss / 1024}, file)
atexit.register(note)
from ablate.cli.app import main
main()
"""
SEARCH = """import sys, time
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
experiment = client.get_experiment_by_name(sys.argv[2]).experiment_id
def used(**how):
    began = time.process_time()
    assert client.search_runs([experiment], max_results=100, **how)
    return time.process_time() - began
used()
print(used(order_by=["attributes.start_time DESC"]))
print(used(filter_string="params.seed = '3'", order_by=["metrics.score DESC"]))
"""
LOOKS = """import sys
from pathlib import Path
from ablate.record.rundir import RunFolder
for _ in range(int(sys.argv[2])):
    assert RunFolder(Path(sys.argv[1])).status().state == "running"
"""
OWN_LOOKS = """import sys
from pathlib import Path
from ablate.record.rundir import RunFolder
with RunFolder(Path(sys.argv[1])).claim() as held:
    for _ in range(int(sys.argv[2])):
        held.require()
"""

# The kernel's calls that reach a file system that hosts share; others are answered from what is open.
OPERATIONS = {
    "look up": ("stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink"),
    "list": ("getdents64",),
    "open": ("open", "openat"),
    "read": ("read", "pread64"),
    "write": ("write", "pwrite64", "ftruncate"),
    "name": (
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "unlink",
        "unlinkat",
        "mkdir",
        "mkdirat",
        "rmdir",
    ),
    "touch": ("utimensat", "chmod", "fchmod", "fchmodat"),
    "lock": ("flock",),
    "make durable": ("fsync", "fdatasync"),
}
KINDS = {call: kind for kind, calls in OPERATIONS.items() for call in calls}


class Used(NamedTuple):
    """What a command has used, with its processes; the memory is that of the largest of them."""

    wall_s: float
    cpu_s: float
    memory_mib: float


def measure(command: Sequence[str], folder: Path, **environment: str) -> Used:
    """Raises RuntimeError when it fails."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    log = folder / "output"
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=output, stderr=output)
        _, code, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    return Used(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def grid(n_runs: int, *changes: str) -> list[str]:
    levels = ",".join(map(str, range(n_runs // SEEDS)))
    words = ["grid", STUDY, "--subject", "tiny.py", "--levels", f"x={levels}", "--seeds", str(SEEDS)]
    settings = [word for change in changes for word in ("--set", change)]
    return [*words, *settings, "--workers", str(WORKERS), "--store", "store"]


def ablate(*words: str) -> list[str]:
    return [sys.executable, "-m", "ablate.cli.app", *words]


# ------------------------------------------------------------------------------------------- a study's costs


def study(folder: Path, n_runs: int) -> Iterator[Row]:
    """All rows of one size."""
    (folder / "tiny.py").write_text(MODULE)
    yield {"what": "train", "runs": n_runs, **train(folder, n_runs)}
    yield {"what": "ledger", "runs": n_runs, **ledger(folder / "store")}
    for title, words in commands(n_runs).items():
        used = measure(ablate(*words), folder)
        memory = round(used.memory_mib)
        yield {
            "what": "command",
            "command": title,
            "runs": n_runs,
            "cpu_s": round(used.cpu_s, 2),
            "memory_mib": memory,
        }
    yield {"what": "search", "runs": n_runs, **search(folder)}
    if n_runs <= MOST_SYNCED:
        used = measure(
            ablate("sync", STUDY, "--store", "store"), folder, MLFLOW_TRACKING_URI="sqlite:///anew.db"
        )
        yield {"what": "anew", "runs": n_runs, "cpu_s": round(used.cpu_s, 2)}


def train(folder: Path, n_runs: int) -> Row:
    used = measure([sys.executable, "-c", NOTING, *grid(n_runs)], folder)
    controller = json.loads((folder / "controller.json").read_text())
    return {
        "wall_s": round(used.wall_s, 1),
        "cpu_s": round(used.cpu_s, 1),
        "controller_cpu_s": round(controller["cpu_s"], 1),
        "controller_memory_mib": round(controller["memory_mib"]),
    }


def commands(n_runs: int) -> dict[str, list[str]]:
    store = ["--store", "store"]
    synced = {"sync again": ["sync", STUDY, *store]} if n_runs <= MOST_SYNCED else {}
    return {
        "grid again": grid(n_runs),
        **synced,
        "status": ["status", STUDY, *store],
        "runs": ["runs", STUDY, *store],
        "compare": ["compare", STUDY, *store],
        "report": ["report", STUDY, "-o", "report.html", *store],
    }


def ledger(store: Path) -> Row:
    """Files, bytes and database rows of the whole study."""
    found: Row = {}
    for name, folder in {"folders": store / "runs", "artifacts": store / "artifacts"}.items():
        stats = [path.lstat() for path in folder.rglob("*")]
        found[name] = {
            "inodes": len(stats),
            "bytes": sum(stat.st_size for stat in stats if not _is_folder(stat)),
            "bytes_on_disk": sum(stat.st_blocks * 512 for stat in stats),
        }
    found["study_bytes"] = (store / "studies" / f"{STUDY}.json").stat().st_size
    database = store / "mlflow.db"
    found["database_bytes"] = database.stat().st_size
    found["database_rows"] = rows_of(database)
    return found


def _is_folder(stat: os.stat_result) -> bool:
    return bool(stat.st_mode & 0o040000) and not stat.st_mode & 0o100000


def rows_of(database: Path) -> dict[str, int]:
    import sqlite3

    tables = ("runs", "params", "tags", "metrics", "latest_metrics")
    with closing(sqlite3.connect(database)) as connection:
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


def search(folder: Path) -> Row:
    uri = f"sqlite:///{folder / 'store' / 'mlflow.db'}"
    command = [sys.executable, "-c", SEARCH, uri, STUDY]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return {"newest_cpu_s": round(float(said[0]), 2), "filtered_cpu_s": round(float(said[1]), 2)}


# ----------------------------------------------------------------------------------- operations on the ledger


def traced(command: Sequence[str], folder: Path) -> Counter[str]:
    """The operations that a command and its processes ask for, on run folders and studies."""
    trace = folder / "trace"
    calls = ",".join(f"?{call}" for call in KINDS)
    strace = [
        "strace",
        "-f",
        "-qq",
        "-y",
        "-s",
        "0",
        "-e",
        f"trace={calls}",
        "-e",
        "signal=none",
        "-o",
        str(trace),
    ]
    measure([*strace, *command], folder)
    return counted(trace.read_text(errors="replace"), folder / "store")


def counted(trace: str, store: Path) -> Counter[str]:
    """By kind, those of ``strace``'s lines that name a file of the ledger."""
    ours = re.compile(rf"{re.escape(str(store))}/(runs|studies)\b|\bstore/(runs|studies)\b")
    call = re.compile(r"^\d+\s+(\w+)\(")
    names = (call.match(line) for line in trace.splitlines() if ours.search(line))
    return Counter(KINDS[name[1]] for name in names if name and name[1] in KINDS)


def difference(more: Counter[str], fewer: Counter[str], n: int) -> Row:
    """For each of the ``n`` that one had more than the other."""
    return {kind: round((more[kind] - fewer[kind]) / n, 1) for kind in OPERATIONS}


def operations(folder: Path) -> Iterator[Row]:
    (folder / "tiny.py").write_text(MODULE)
    counts = [_grid_traced(folder, n_runs) for n_runs in (10, 40)]
    yield {"what": "operations", "of": "run", **difference(counts[1], counts[0], 30)}
    epochs = [_grid_traced(folder, 10, f"epochs={n}", "seconds=1.05") for n in (2, 6)]
    yield {"what": "operations", "of": "epoch", **difference(epochs[1], epochs[0], 40)}
    run = Store(folder / "store").study_runs(STUDY)[0]
    yield {"what": "operations", "of": "own look", **_repeated(folder, OWN_LOOKS, run)}
    with run.claim():
        run.begin()
        yield {"what": "operations", "of": "look", **_repeated(folder, LOOKS, run)}


def _grid_traced(folder: Path, n_runs: int, *changes: str) -> Counter[str]:
    shutil.rmtree(folder / "store", ignore_errors=True)
    return traced(ablate(*grid(n_runs, *changes)), folder)


def _repeated(folder: Path, code: str, run: RunFolder) -> Row:
    """What a piece of code does with a run, each time."""
    command = [sys.executable, "-c", code, str(run.path)]
    counts = [traced([*command, str(n)], folder) for n in (10, 110)]
    return difference(counts[1], counts[0], 100)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--sizes", type=int, nargs="*", default=[100, 1000, 10_000], metavar="RUNS")
    options.add_argument("--keep", action="store_true", help="keep the rows of other sizes that OUTPUT has")
    chosen = options.parse_args()
    where = {**context("mlflow", "pydantic", "pandas"), "workers": WORKERS, "seeds": SEEDS}
    rows = _kept(chosen.output, chosen.sizes) if chosen.keep else []
    for measured in [*(_of_size(size) for size in chosen.sizes), _of_operations()]:
        for row in measured:
            rows.append(row)
            show(row)
            write(chosen.output, where, rows)  # the larger sizes take long


def _kept(output: Path, sizes: Sequence[int]) -> list[Row]:
    """The rows of other sizes, as they were measured before."""
    rows: list[Row] = json.loads(output.read_text())["rows"]
    return [row for row in rows if "runs" in row and row["runs"] not in sizes]


def _of_size(n_runs: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        yield from study(Path(name), n_runs)


def _of_operations() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        yield from operations(Path(name))


if __name__ == "__main__":
    main()
