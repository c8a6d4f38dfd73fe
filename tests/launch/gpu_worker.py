"""A worker that takes memory of a GPU, as it is told in a run's name: ``takes-2500-a`` takes 2500 MiB.

``FAKE_GPUS`` is the folder of ``tests.launch.gpus``. It keeps the memory until it ends, as a worker does.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

SECONDS = 0.4  # of a run, after its epoch


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device")
    card = parser.parse_known_args()[0].device.removeprefix("cuda:")
    folder = Path(os.environ["FAKE_GPUS"])
    taken = folder / f"taken-{card}" / str(os.getpid())
    with (folder / "workers").open("a") as noted:
        noted.write(f"{card} {os.environ.get('CUDA_MPS_PIPE_DIRECTORY', '-')}\n")
    try:
        for line in sys.stdin:
            run_id = Path(json.loads(line)["folder"]).name
            _emit("started", run_id)
            taken.write_text(run_id.split("-")[1])
            if run_id.startswith("overtakes"):
                _emit("no_memory", run_id)
                continue
            _emit("epoch", run_id, 1)
            time.sleep(SECONDS)
            _emit("finished", run_id)
    finally:
        taken.unlink(missing_ok=True)


def _emit(kind: str, run_id: str, epoch: int = 0) -> None:
    print(json.dumps({"kind": kind, "run_id": run_id, "epoch": epoch, "cause": None}), flush=True)


if __name__ == "__main__":
    main()
