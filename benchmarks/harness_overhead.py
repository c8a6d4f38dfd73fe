"""What a harness adds to each run, beyond the training: ablate, and others that log the same to MLflow.

Every harness trains the same runs (``benchmarks/harness/workload.py``) on two slots with one thread each,
and logs to an SQLite store of MLflow each run's params, losses of 40 epochs, scores, per class too, the
confusion matrix as a picture, three tables, the configuration and the weights. ablate writes its run folders
besides. All but the fresh processes train many runs in one process. They log as MLflow's guides do, the
losses at the end of each epoch; the one "with the fewest calls" keeps all of a run for its end, when it uses
ablate's own drawing: MLflow then shows nothing of a run under way, and of one that was killed nothing ever.

Each is timed as a command with few and with many runs. The difference, divided by the runs that it has
more, is what a run costs; that of a bare loop in two processes, which does nothing but train, is taken
off; what is left is multiplied by the slots: ``overhead_s`` is how much longer a run occupies its slot.
Imports, JIT and whatever else happens once are in ``once_s``, the bare loop's included. ``overhead_cpu_s``
is the same of CPU time, which other load disturbs less; Ray's processes outlive its command and are not in
it. ``controller_cpu_s`` is the CPU time a run of ablate's main thread, which neither trains nor talks to
MLflow. Each time is the best of the rounds, in which harnesses take turns.

The others are not ablate's dependencies; one that is not installed is skipped, and the results say so:

    python -m venv .venv-peers && .venv-peers/bin/pip install -e . -r benchmarks/peers.txt
    .venv-peers/bin/python -m benchmarks.harness_overhead --output benchmarks/results/harness_overhead.json
"""

import importlib.util
import json
import shutil
import sqlite3
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import Row, context, parser, show, time_command, write
from benchmarks.harness.workload import (
    CONFUSION_PICTURE,
    CONFUSION_TABLE,
    DATA,
    EVENT_TABLE,
    SCENE_TABLE,
    WEIGHTS,
    make_data,
)


@dataclass(frozen=True)
class Harness:
    """A module of ``benchmarks.harness``, what it needs to be installed, and how many runs tell its cost."""

    label: str
    module: str
    needs: str = "ablate"
    few: int = 4
    many: int = 24
    words: tuple[str, ...] = ()


BARE = Harness("bare loop", "bare", many=44)
HARNESSES = [
    BARE,
    Harness("ablate", "ablate_grid", many=44),
    Harness("loop that logs", "loop"),
    Harness(
        "Optuna BruteForceSampler, fewest calls", "optuna_brute_force", "optuna", words=("--at-the-end",)
    ),
    Harness("Optuna BruteForceSampler", "optuna_brute_force", "optuna"),
    Harness("Ray Tune", "ray_tune", "ray"),
    Harness("Hydra joblib launcher", "hydra_joblib", "hydra_plugins.hydra_joblib_launcher"),
    Harness("fresh process a run", "script", many=12),
]


@dataclass(frozen=True)
class Cost:
    """Of one command: seconds, CPU seconds, and those of ablate's main thread."""

    wall_s: float
    cpu_s: float
    controller_cpu_s: float | None

    def best(self, other: "Cost | None") -> "Cost":
        """The lower of each."""
        if other is None:
            return self
        controllers = [cost.controller_cpu_s for cost in (self, other) if cost.controller_cpu_s is not None]
        return Cost(
            min(self.wall_s, other.wall_s), min(self.cpu_s, other.cpu_s), min(controllers, default=None)
        )


def is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def run(harness: Harness, n_runs: int, slots: int, data: Path) -> Cost:
    """Time one command. Raises RuntimeError unless MLflow shows every run with its points afterwards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(data / DATA, folder / DATA)
        command = [sys.executable, "-m", f"benchmarks.harness.{harness.module}", *harness.words]
        command += ["--runs", str(n_runs), "--slots", str(slots), "--folder", str(folder)]
        wall_s, cpu_s = time_command(command, folder, OMP_NUM_THREADS="1")
        if harness is not BARE:
            _require_logged(folder, n_runs)
        controller = folder / "controller.json"
        spent = json.loads(controller.read_text())["cpu_s"] if controller.exists() else None
        return Cost(wall_s, cpu_s, spent)


def _require_logged(folder: Path, n_runs: int) -> None:
    for name in (WEIGHTS, CONFUSION_PICTURE, CONFUSION_TABLE, SCENE_TABLE, EVENT_TABLE, "config.json"):
        files = list(folder.glob(f"**/artifacts/{name}"))
        if len(files) < n_runs:  # Optuna's processes may both train the last
            raise RuntimeError(f"MLflow has {name} of {len(files)} of {n_runs} runs")
    with sqlite3.connect(folder / "mlflow.db") as connection:
        points = connection.execute("SELECT COUNT(*) FROM metrics GROUP BY run_uuid").fetchall()
    if len(points) < n_runs or min(points)[0] < 150:
        raise RuntimeError(f"MLflow shows {len(points)} of {n_runs} runs, with {sorted(set(points))} points")


def rows(best: dict[Harness, dict[int, Cost]], slots: int) -> list[Row]:
    """The costs a run and once of each harness, ``bare`` taken off."""

    def slope(harness: Harness, what: str) -> float:
        few, many = (getattr(best[harness][n], what) for n in (harness.few, harness.many))
        return float((many - few) / (harness.many - harness.few))

    found = []
    for harness in best:
        row: Row = {
            "harness": harness.label,
            "runs": harness.many,
            "overhead_s": round(slots * (slope(harness, "wall_s") - slope(BARE, "wall_s")), 3),
            "overhead_cpu_s": round(slope(harness, "cpu_s") - slope(BARE, "cpu_s"), 3),
            "once_s": round(best[harness][harness.few].wall_s - slope(harness, "wall_s") * harness.few, 1),
        }
        if harness.needs == "ray":
            row["overhead_cpu_s"] = None
        if harness.module == "ablate_grid":
            row["controller_cpu_s"] = round(slope(harness, "controller_cpu_s"), 4)
        if harness is BARE:
            row = {
                "harness": harness.label,
                "runs": harness.many,
                "run_s": round(slots * slope(BARE, "wall_s"), 3),
            }
        found.append(row)
    return found


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--slots", type=int, default=2, help="runs at the same time")
    options.add_argument("--rounds", type=int, default=2, help="how often each is timed")
    options.add_argument("--only", nargs="+", metavar="MODULE", help="only these, beside the bare loop")
    chosen = options.parse_args()
    where = context("torch", "mlflow", "optuna", "ray", "hydra-core", "hydra-joblib-launcher")
    wanted = [h for h in HARNESSES if chosen.only is None or h is BARE or h.module in chosen.only]
    here = [harness for harness in wanted if is_installed(harness.needs)]
    best: dict[Harness, dict[int, Cost]] = {harness: {} for harness in here}
    with tempfile.TemporaryDirectory() as name:
        make_data(Path(name))
        for _ in range(chosen.rounds):
            for harness in here:
                for n_runs in (harness.few, harness.many):
                    cost = run(harness, n_runs, chosen.slots, Path(name))
                    show({"harness": harness.label, "runs": n_runs, **vars(cost)})
                    best[harness][n_runs] = cost.best(best[harness].get(n_runs))
    found: list[dict[str, Any]] = rows(best, chosen.slots)
    found += [
        {"harness": harness.label, "skipped": f"{harness.needs} is not installed"}
        for harness in wanted
        if harness not in here
    ]
    for row in found:
        show(row)
    write(chosen.output, {**where, "slots": chosen.slots}, found)


if __name__ == "__main__":
    main()
