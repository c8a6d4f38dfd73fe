"""What the harness adds to a training of one's own: a program, and a module, that do nothing; and to a plan.

A study of empty runs is trained by two workers, and the same programs are started one after the other in as
many loops of a shell. What is left of the wall time, shared among the runs, is the harness: identities,
leases, records, seals and MLflow. A plan of 100 x 100 conditions of a script is timed as a whole command.

    python -m benchmarks.own_subjects --output benchmarks/results/own_subjects.json
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import Row, context, parser, show, write

ABLATE = (sys.executable, "-m", "ablate.cli.app")
SCRIPT = "echo '{\"score\": 1}'\n"
MODULE = """import ablate

class Config(ablate.Config):
    a: int = 0

def train(config, run):
    return ablate.Scores(score=config.a)

subject = ablate.Subject("empty", Config, train)
"""
WORKERS = 2
SEEDS = 2


def seconds(command: list[str], folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def levels(n: int) -> str:
    return ",".join(map(str, range(n)))


def grid(*words: str, store: str) -> list[str]:
    return [*ABLATE, "grid", *words, "--store", store, "--workers", str(WORKERS)]


def loops(n_runs: int) -> list[str]:
    """The same programs, started by as many shells as there are workers."""
    start = "sh empty.sh --a $k --seed 0 > /dev/null"
    loop = f"(k=0; while [ $k -lt {n_runs // WORKERS} ]; do {start}; k=$((k + 1)); done)"
    return ["sh", "-c", " & ".join([loop] * WORKERS) + " & wait"]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=1000)
    options.add_argument("--conditions", type=int, default=10_000)
    chosen = options.parse_args()
    where = context("pydantic", "mlflow")
    rows: list[Row] = []
    varied = ("--levels", f"a={levels(chosen.runs // SEEDS)}", "--seeds", str(SEEDS))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "empty.sh").write_text(SCRIPT)
        (folder / "empty.py").write_text(MODULE)
        bare_s = seconds(loops(chosen.runs), folder)
        for kind, words, bare in (
            ("script", ("--script", "sh empty.sh"), bare_s),
            ("module", ("--subject", "empty.py"), 0.0),
        ):
            wall_s = seconds(grid(*words, *varied, store=kind), folder)
            per_run = (wall_s - bare) / chosen.runs
            rows.append(
                {"kind": kind, "runs": chosen.runs, "wall_s": round(wall_s, 1), "added_s": round(per_run, 4)}
            )
            show(rows[-1])
        side = round(chosen.conditions**0.5)
        plan = ("--script", "sh empty.sh", "--levels", f"a={levels(side)}", "--levels", f"b={levels(side)}")
        wall_s = seconds(grid(*plan, "--seeds", "1", "--dry-run", store="plan"), folder)
        rows.append({"kind": "plan", "conditions": side * side, "wall_s": round(wall_s, 2)})
        show(rows[-1])
    write(chosen.output, where, rows)


if __name__ == "__main__":
    main()
