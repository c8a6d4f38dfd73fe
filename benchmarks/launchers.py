"""What a launcher adds to each run over the local one: a study of trainings of 10 ms by each.

The study has ``--runs`` runs (200) of one epoch, in which nothing happens for 10 ms, on ``--workers`` slots
(2). ``ablate grid`` trains them in a fresh store. ``seconds`` is from the first run's beginning to the last
one's end, as their records say: starting a cluster is not in it, and is told as ``before_s``, from the
command's beginning to the first run's. ``overhead_s`` is how much longer a run takes than by the local
launcher, which is measured before and after the others; the faster of the two counts.

    python -m benchmarks.launchers --launcher ray --output benchmarks/results/launchers_ray.json
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablate.record.rundir import State
from ablate.record.store import Store
from benchmarks.common import ROOT, Row, context, parser, show, write

SUBJECT = """
import time

import ablate


class Config(ablate.Config):
    pass


def train(config, run):
    for _ in run.epochs(1):
        time.sleep(0.01)
        run.report(loss=1.0)
    return ablate.Scores(score=1.0)


subject = ablate.Subject("brief", Config, train, metrics=[ablate.Metric("score")])
"""


@dataclass(frozen=True)
class Way:
    """A launcher with its options, and what its command finds in its environment."""

    label: str
    words: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


LOCAL = Way("local", ["--launcher", "local"])
WAYS = {
    "local": [LOCAL],
    "ray": [Way("ray", ["--launcher", "ray"])],
}


def measure(way: Way, runs: int, workers: int) -> Row:
    """One study in a fresh store."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "brief.py").write_text(SUBJECT, encoding="utf-8")
        command = [sys.executable, "-m", "ablate.cli.app", "grid", "s", "--subject", str(folder / "brief.py")]
        command += ["--levels", f"seed={','.join(map(str, range(runs)))}", "--workers", str(workers)]
        command += ["--store", str(folder / "store"), "--device", "cpu", *way.words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **way.environment}
        began = time.time()
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        store = Store(folder / "store")
        statuses = [store.folder(run.name).status() for run in sorted(store.runs.iterdir())]
        assert [status.state for status in statuses] == [State.FINISHED] * runs
        started = min(status.started_at or 0.0 for status in statuses)
        ended = max(status.ended_at or 0.0 for status in statuses)
    return {
        "launcher": way.label,
        "runs": runs,
        "workers": workers,
        "before_s": round(started - began, 2),
        "seconds": round(ended - started, 2),
    }


def compared(rows: Sequence[Row]) -> list[Row]:
    """With what each run costs beyond that of the local launcher."""
    local_s = min(row["seconds"] for row in rows if row["launcher"] == LOCAL.label)
    return [{**row, "overhead_s": round((row["seconds"] - local_s) / row["runs"], 4)} for row in rows]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--launcher", choices=sorted(WAYS), default="ray")
    options.add_argument("--runs", type=int, default=200)
    options.add_argument("--workers", type=int, default=2)
    given = options.parse_args()
    where = context("mlflow", "ray")
    ways = [LOCAL, *WAYS[given.launcher], LOCAL]
    rows = compared([measure(way, given.runs, given.workers) for way in ways])
    for row in rows:
        show(row)
    write(given.output, where, rows)


if __name__ == "__main__":
    main()
