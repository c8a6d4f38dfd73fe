"""What a launcher costs a run beside its training: whole ``ablate grid`` commands of 200 runs of 10 ms.

Each launcher trains the same runs with two workers: processes of this machine, two jobs of a Slurm of two
nodes that is started on this machine, two actors of a Ray that is started here. ``seconds_per_run`` is the
command's time from beginning to end over its runs, MLflow included; ``over_local`` what that is more than the
local launcher's in the same round. The launchers take turns, and the medians of the rounds are shown.

    python -m benchmarks.launchers --output benchmarks/results/launchers.json
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from benchmarks.common import ROOT, Row, context, parser, show, write
from tests import slurm

WALK = ROOT / "tests" / "launch" / "walk.py"
RUNS = 200
ROUNDS = 3
PAUSE_S = 0.01
LAUNCHERS = {
    "local": ["--workers", "2"],
    "slurm": ["--launcher", "slurm", "--jobs", "2"],
    "ray": ["--launcher", "ray", "--workers", "2"],
}


def measure(launcher: str, runs: int, environment: Mapping[str, str]) -> float:
    """Seconds a run of one whole command. Raises CalledProcessError when it fails."""
    with tempfile.TemporaryDirectory(prefix="ablate-") as folder:
        words = ["grid", "walk", "--subject", str(WALK), "--levels", "step=1,2", "--seeds", str(runs // 2)]
        words += ["--set", "epochs=1", "--set", f"pause={PAUSE_S}", "--store", folder, *LAUNCHERS[launcher]]
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "ablate.cli.app", *words],
            env=dict(environment),
            stdout=subprocess.DEVNULL,
            check=True,
            cwd=ROOT,
        )
        return (time.perf_counter() - begun) / runs


def rows(runs: int, rounds: int, launchers: list[str], environment: Mapping[str, str]) -> list[Row]:
    times: dict[str, list[float]] = {name: [] for name in launchers}
    for _ in range(rounds):
        for name in launchers:
            times[name].append(measure(name, runs, environment))
    over = {
        name: [mine - local for mine, local in zip(found, times["local"], strict=True)]
        for name, found in times.items()
    }
    return [
        {
            "launcher": name,
            "runs": runs,
            "rounds": rounds,
            "seconds_per_run": round(median(times[name]), 4),
            "over_local": round(median(over[name]), 4),
            "each": [round(seconds, 4) for seconds in times[name]],
        }
        for name in launchers
    ]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=RUNS)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--launchers", default=",".join(LAUNCHERS), help="which, separated by commas")
    given = options.parse_args()
    where = context("ray", "mlflow")
    launchers = ["local", *(name for name in given.launchers.split(",") if name != "local")]
    missing = slurm.what_is_missing() if "slurm" in launchers else None
    if missing is not None:
        print(f"without slurm: {missing}", file=sys.stderr)
        launchers.remove("slurm")
    with tempfile.TemporaryDirectory(prefix="ablate-slurm-") as folder:
        if "slurm" in launchers:
            with slurm.slurm(Path(folder) / "cluster") as cluster:
                found = rows(given.runs, given.rounds, launchers, cluster.environment)
        else:
            found = rows(given.runs, given.rounds, launchers, os.environ)
    for row in found:
        show(row)
    write(given.output, where, found)


if __name__ == "__main__":
    main()
