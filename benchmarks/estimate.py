"""How well a plan's time is predicted: grids of several sizes, calibrated, predicted, then trained.

Each grid has a store of its own, so that nothing is known of it but the calibration: the first line of each
is that of ``ablate grid --calibrate``, beside the wall time of the command that follows. ``again_s`` is what
is predicted, once these runs have finished, for as many runs more, which take the same time. The data are
there already, but for the first grid, which generates and prepares them.

    python -m benchmarks.estimate --output benchmarks/results/estimate.json
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablate.mtl.data.datasets import provide
from benchmarks.common import ROOT, Row, context, parser, show, time_command, write

UNPREPARED = "quick, its data to prepare"
GRIDS = {
    UNPREPARED: ["--factors", "grl_pos", "--seeds", "2"],
    "quick, 15 runs": ["--factors", "grl_pos,shuffle", "--seeds", "1"],
    "32/64 channels in batches of 16, 1 worker": [
        *["--levels", "alpha=1e-4,1", "--seeds", "1", "--workers", "1"],
        *["--set", "model.width=0.25", "--set", "optim.batch_size=16", "--set", "optim.epochs=10"],
    ],
    "each task, 20 epochs": [
        "--levels",
        "tasks=both,scene,event",
        "--seeds",
        "2",
        "--set",
        "optim.epochs=20",
    ],
}


def plan(words: Sequence[str], store: Path) -> Any:
    """What ``ablate grid`` says of its plan."""
    command = [*grid(words, store), "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def grid(words: Sequence[str], store: Path) -> list[str]:
    return [sys.executable, "-m", "ablate.cli.app", "grid", "estimate", *words, "--store", str(store)]


def more_seeds(words: Sequence[str]) -> list[str]:
    """The same grid with twice the seeds."""
    doubled = list(words)
    place = doubled.index("--seeds") + 1
    doubled[place] = str(2 * int(doubled[place]))
    return doubled


def measure(title: str, words: Sequence[str], store: Path) -> Row:
    calibration_s, _ = time_command(grid([*words, "--calibrate"], store), ROOT)
    predicted_s = plan([*words, "--dry-run"], store)["estimated_seconds"]
    actual_s, _ = time_command(grid(words, store), ROOT)
    planned = plan([*more_seeds(words), "--dry-run"], store)
    return {
        "grid": title,
        "runs": len(planned["runs"]) // 2,
        "predicted_s": round(predicted_s, 1),
        "actual_s": round(actual_s, 1),
        "error": round(predicted_s / actual_s - 1, 3),
        "again_s": round(planned["estimated_seconds"], 1),
        "calibration_s": round(calibration_s, 1),
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--only", type=int, nargs="+", choices=range(len(GRIDS)), help="only these grids")
    chosen = options.parse_args()
    where = context("torch", "numba")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        data = ["--data", str(provide(None, Path(name), print).path)]
        for place in chosen.only or range(len(GRIDS)):
            title, words = list(GRIDS.items())[place]
            given = [] if title == UNPREPARED else data
            rows.append(measure(title, [*words, *given], Path(name) / f"store-{place}"))
            show(rows[-1])
    write(chosen.output, where, rows)


if __name__ == "__main__":
    main()
