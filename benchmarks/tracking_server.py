"""What shipping a study to MLflow takes: `ablate sync` of finished runs, and again with nothing left to send.

Real servers on the loopback interface (`mlflow server`, which takes the files), on PostgreSQL and on SQLite,
and the store's own database without a server. The runs are fabricated: 20 epochs of five curves, 29 scores,
and six files. With --before, another checkout of this repository sends the same runs to the same servers.

    python -m benchmarks.tracking_server --output benchmarks/results/tracking_server.json
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ablate.record.store import Store
from benchmarks import common
from tests import servers
from tests.fabricate import fabricate_study, make_run

EPOCHS = 20
OWN = "own database"


@contextmanager
def addresses(folder: Path, kinds: list[str], workers: int) -> Iterator[dict[str, str]]:
    """The address of each kind of MLflow, all of which run."""
    with ExitStack() as stack:
        found = {}
        for kind in kinds:
            if kind == OWN:
                found[kind] = ""
                continue
            home = folder / kind
            home.mkdir()
            if kind == "PostgreSQL":
                database = stack.enter_context(servers.postgres("fsync=on")).create("mlflow")
            else:
                database = f"sqlite:///{home / 'mlflow.db'}"
            words = ["--workers", str(workers), "--backend-store-uri", database]
            words += ["--artifacts-destination", str(home / "files")]
            found[kind] = stack.enter_context(servers.mlflow_server(home, *words)).url
        yield found


def measure(folder: Path, kind: str, address: str, n_runs: int, code: Path, workers: int) -> common.Row:
    """A fresh study is sent, and then looked through three times."""
    head = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=code, capture_output=True, text=True, check=True
    )
    study = f"study_{head.stdout.strip()}_{n_runs}"
    store = Store(folder / "store")
    fabricate_study(store, study, [make_run("baseline", seed) for seed in range(n_runs)], epochs=EPOCHS)
    command = [sys.executable, "-m", "ablate.cli.app", "sync", study, "--store", str(store.root)]
    where = {"PYTHONPATH": str(code), "MLFLOW_TRACKING_URI": address}
    try:
        first_s, first_cpu_s = common.time_command(command, folder, **where)
        again_s = sorted(common.time_command(command, folder, **where)[0] for _ in range(3))
    finally:
        shutil.rmtree(store.root)
    return {
        "mlflow": kind,
        "workers": None if kind == OWN else workers,
        "code": head.stdout.strip(),
        "runs": n_runs,
        "sync_s": round(first_s, 2),
        "s_a_run": round(first_s / n_runs, 4),
        "cpu_s_a_run": round(first_cpu_s / n_runs, 4),
        "again_s": round(again_s[1], 2),
    }


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[30, 1000])
    parser.add_argument("--workers", type=int, default=1, help="of each server")
    parser.add_argument("--before", type=Path, help="another checkout of this repository")
    parser.add_argument("--kinds", nargs="+", default=["PostgreSQL", "SQLite", OWN])
    options = parser.parse_args()
    where = common.context("ablate", "mlflow", "psycopg", "requests")
    rows = []
    codes = [common.ROOT, *([options.before.resolve()] if options.before else [])]
    with tempfile.TemporaryDirectory(prefix="ablate-server-") as name:
        folder = Path(name)
        with addresses(folder, options.kinds, options.workers) as found:
            for n_runs in options.runs:
                for kind, address in found.items():
                    for code in codes:
                        row = measure(folder, kind, address, n_runs, code, options.workers)
                        rows.append(row)
                        common.show(row)
                        common.write(options.output, where, rows)


if __name__ == "__main__":
    main()
