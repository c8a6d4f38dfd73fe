"""A fresh process for each run, as a shell loop starts them."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from benchmarks.harness.workload import options, prepare_mlflow

given = options()
RUN = """
import sys
from pathlib import Path
from benchmarks.harness.workload import Options, train_and_log
train_and_log(Options(1, 1, Path(sys.argv[1])), int(sys.argv[2]))
"""


def start(seed: int) -> None:
    subprocess.run([sys.executable, "-c", RUN, str(given.folder), str(seed)], check=True)


if __name__ == "__main__":
    prepare_mlflow(given)  # two processes that create the database at once fail
    with ThreadPoolExecutor(given.slots) as slots:
        list(slots.map(start, range(given.runs)))
