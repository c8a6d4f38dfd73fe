"""What an outage of MLflow's server costs a study: wall time against the same study undisturbed, and losses.

Two studies of the same runs train at the same time, each with one worker and a real server of its own, so
that other load on the machine touches both alike. In the middle the server of one of them is stopped (it
accepts connections and never answers) or killed (it refuses them), and brought back a minute later. What an
`ablate sync` then still has to send is noted, and in the server's database every epoch of every run must be
there once.

    python -m benchmarks.outage --output benchmarks/results/outage.json
"""

import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from ablate.record.store import Store
from ablate.tracking.server import free_port, server, wait_until_up
from benchmarks import common

HOST = "127.0.0.1"
STUDY = "outage"
MINUTES = 1  # of soundscapes in each split
GRID = ["--factors", "grl_pos", "--seeds", "1", "--workers", "1", "--set", "optim.batch_size=2"]
NARROW = ["--set", "model.width=0.03125"]  # 4 and 8 channels


def ablate_command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ablate.cli.app", *map(str, arguments)]


class Tracking:
    """A real MLflow server that can be taken away."""

    def __init__(self, folder: Path, first_port: int) -> None:
        self.database = folder / "served.db"
        self._folder = folder
        self._port = free_port(HOST, first_port)
        self.url = f"http://{HOST}:{self._port}"
        self.start()

    def start(self) -> None:
        self._running = ExitStack()
        log = self._folder / "server.log"
        artifacts = self._folder / "served"
        uri = f"sqlite:///{self.database}"
        self._child = self._running.enter_context(server(uri, artifacts, HOST, self._port, log))
        wait_until_up(self._child, self.url, log)

    def kill(self) -> None:
        os.killpg(self._child.pid, signal.SIGKILL)
        self._running.close()

    def stop(self) -> None:
        os.killpg(self._child.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self._child.pid, signal.SIGCONT)

    def close(self) -> None:
        self._running.close()


OUTAGES: dict[str, tuple[Callable[[Tracking], None], Callable[[Tracking], None]]] = {
    "hanging": (Tracking.stop, Tracking.resume),
    "refused": (Tracking.kill, Tracking.start),
}


class Arm:
    """One study with a server of its own."""

    def __init__(self, folder: Path, data: Path, epochs: int, first_port: int) -> None:
        folder.mkdir(parents=True)
        self.store = Store(folder / "store")
        self.tracking = Tracking(folder, first_port)
        settings = [*NARROW, "--set", f"optim.epochs={epochs}", "--data", data, "--store", self.store.root]
        self._command = ablate_command("grid", STUDY, *GRID, *settings)
        self.seconds = 0.0

    def environment(self) -> dict[str, str]:
        return {**os.environ, "MLFLOW_TRACKING_URI": self.tracking.url}

    def train(self) -> None:
        started = time.perf_counter()
        subprocess.run(self._command, env=self.environment(), capture_output=True, check=True)
        self.seconds = time.perf_counter() - started

    def n_finished(self) -> int:
        return len(self.store.finished_runs())

    def losses(self) -> list[str]:
        """What the server's database lacks of the run folders, or has twice."""
        found = []
        with closing(sqlite3.connect(self.tracking.database)) as connection:
            for folder in self.store.study_runs(STUDY):
                shown = connection.execute(
                    "SELECT run_uuid, status FROM runs JOIN tags USING (run_uuid) WHERE tags.key = "
                    "'ablate.run_id' AND tags.value = ? AND lifecycle_stage = 'active'",
                    (folder.run_id,),
                ).fetchall()
                if [status for _, status in shown] != ["FINISHED"]:
                    found.append(f"{folder.run_id}: {shown}")
                    continue
                steps = connection.execute(
                    "SELECT step FROM metrics WHERE run_uuid = ? AND key = 'curves/loss' ORDER BY step",
                    (shown[0][0],),
                ).fetchall()
                if [step for (step,) in steps] != [row["epoch"] for row in folder.history()]:
                    found.append(f"{folder.run_id}: epochs {steps}")
        return found

    def sync(self) -> str:
        """What the command says that would send whatever was missed."""
        command = ablate_command("sync", STUDY, "--store", self.store.root)
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=True)
        return done.stdout.partition("  ->")[0]


def compare(folder: Path, data: Path, kind: str, epochs: int, outage_s: float, port: int) -> dict[str, Any]:
    """Train both studies together, one of them with an outage."""
    undisturbed = Arm(folder / "undisturbed", data, epochs, port)
    disturbed = Arm(folder / kind, data, epochs, port + 50)
    take_away, bring_back = OUTAGES[kind]
    threads = [threading.Thread(target=arm.train) for arm in (undisturbed, disturbed)]
    try:
        for thread in threads:
            thread.start()
        while disturbed.n_finished() == 0 and threads[1].is_alive():
            time.sleep(0.1)
        take_away(disturbed.tracking)
        time.sleep(outage_s)
        still_training = threads[1].is_alive()
        bring_back(disturbed.tracking)
        for thread in threads:
            thread.join()
        sync_afterwards = disturbed.sync()
        return {
            "server": kind,
            "outage_s": outage_s,
            "undisturbed_s": round(undisturbed.seconds, 1),
            "disturbed_s": round(disturbed.seconds, 1),
            "ratio": round(disturbed.seconds / undisturbed.seconds, 3),
            "back_before_the_end": still_training,
            "runs": undisturbed.n_finished(),
            "sync_afterwards": sync_afterwards,
            "epochs_lost_or_doubled": undisturbed.losses() + disturbed.losses(),
        }
    finally:
        undisturbed.tracking.close()
        disturbed.tracking.close()


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the server is away")
    parser.add_argument("--epochs", type=int, default=100, help="of each of the study's runs")
    parser.add_argument("--rounds", type=int, default=2, help="how often each outage is measured")
    parser.add_argument("--port", type=int, default=6100, help="the first port to try")
    options = parser.parse_args()
    where = common.context("ablate", "mlflow", "torch")
    rows = []
    with tempfile.TemporaryDirectory(prefix="ablate-outage-") as name:
        data = Path(name) / "data"
        generate = ablate_command("data", "generate", data, "--minutes", MINUTES, "--eval-minutes", MINUTES)
        subprocess.run(generate, check=True, capture_output=True)
        for number in range(options.rounds):
            for kind in OUTAGES:
                folder = Path(name) / f"{kind}-{number}"
                row = compare(folder, data, kind, options.epochs, options.seconds, options.port)
                rows.append(row)
                print(json.dumps(row), flush=True)
    median = statistics.median(row["ratio"] for row in rows)
    print(f"median ratio {median:.3f}")
    common.write(options.output, {**where, "median_ratio": median}, rows)


if __name__ == "__main__":
    main()
