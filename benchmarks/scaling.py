"""How long the commands take that read a study, with 100, 1000 and 10,000 finished runs of 10 seeds each.

The runs are fabricated: real folders with plausible numbers and short histories. Times are of whole commands,
their start included; ``--help`` and ``import`` stand for what every command pays. Of CPU and wall time each,
the best of the rounds; all but the first ``status``, which reads every run and writes the study's index, have
that index.

    python -m benchmarks.scaling --output benchmarks/results/scaling.json

With ``--folder DIR`` the fabricated studies stay in DIR, for the next time.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ablate.design.study import plan_study
from ablate.mtl.data.prepared import open_prepared
from ablate.mtl.definition import subject
from ablate.record.index import FILE as INDEX
from ablate.record.index import TICK_S
from ablate.record.store import Store
from ablate.subject.interface import Dataset
from benchmarks.common import Row, context, parser, show, time_command, write
from benchmarks.harness.workload import DATA, make_data
from tests.fabricate import fabricate_study

SEEDS = 10
FACTOR = "optim.lr"
ABLATE = (sys.executable, "-m", "ablate.cli.app")
STUDY = "scaling"
FIRST = "status, without an index"


def levels(n_runs: int) -> list[str]:
    return [f"{0.0001 * (1 + condition):.4f}" for condition in range(n_runs // SEEDS)]


def fabricate(folder: Path, n_runs: int) -> None:
    """A store of a study as ``grid_command`` plans it, all of whose runs have finished."""
    data = open_prepared(folder / DATA)
    study = plan_study(STUDY, subject, subject.profile("quick"), [], {FACTOR: levels(n_runs)}, seeds=SEEDS)
    runs = study.runs(Dataset(data.name, data.digest, data.path))
    fabricate_study(Store(folder / "store"), STUDY, runs)


def commands(folder: Path, n_runs: int) -> dict[str, list[str]]:
    store = ["--store", str(folder / "store")]
    planned = [STUDY, "--levels", f"{FACTOR}={','.join(levels(n_runs))}", "--seeds", str(SEEDS)]
    data = ["--data", str(folder / DATA)]
    return {
        "--help": [*ABLATE, "--help"],
        "import ablate": [sys.executable, "-c", "import ablate"],
        FIRST: [*ABLATE, "status", STUDY, *store],
        "grid --dry-run": [*ABLATE, "grid", *planned, *data, "--dry-run", *store],
        "status": [*ABLATE, "status", STUDY, *store],
        "runs": [*ABLATE, "runs", STUDY, *store],
        "compare": [*ABLATE, "compare", STUDY, *store],
        "report": [*ABLATE, "report", STUDY, "-o", str(folder / "report.html"), *store],
    }


@contextmanager
def fabricated(n_runs: int, kept: Path | None) -> Iterator[Path]:
    """The folder of a study of so many runs and of its data."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) if kept is None else kept / str(n_runs)
        if not (folder / DATA).exists():
            folder.mkdir(parents=True, exist_ok=True)
            make_data(folder)
            fabricate(folder, n_runs)
            time.sleep(TICK_S)  # what has just changed is not indexed
        yield folder


def timed(title: str, command: list[str], folder: Path, rounds: int) -> tuple[float, float]:
    """The least wall and CPU seconds."""
    if title == FIRST:
        (Store(folder / "store").study_folder(STUDY) / INDEX).unlink(missing_ok=True)
        rounds = 1
    times = [time_command(command, folder) for _ in range(rounds)]
    wall_s, cpu_s = (min(column) for column in zip(*times, strict=True))
    return wall_s, cpu_s


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000], metavar="RUNS")
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--only", nargs="+", metavar="COMMAND", help="only these commands")
    options.add_argument("--folder", type=Path, metavar="DIR", help="where the studies are kept")
    chosen = options.parse_args()
    where = context("pydantic", "pandas", "matplotlib")
    rows: list[Row] = []
    for n_runs in chosen.sizes:
        with fabricated(n_runs, chosen.folder) as folder:
            for title, command in commands(folder, n_runs).items():
                if chosen.only and title not in chosen.only:
                    continue
                wall_s, cpu_s = timed(title, command, folder, chosen.rounds)
                rows.append(
                    {"command": title, "runs": n_runs, "wall_s": round(wall_s, 2), "cpu_s": round(cpu_s, 2)}
                )
                show(rows[-1])
                write(chosen.output, where, rows)  # the larger sizes take long


if __name__ == "__main__":
    main()
