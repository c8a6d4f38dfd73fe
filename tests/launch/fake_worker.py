"""A worker that speaks the protocol but trains nothing: what it does is in the name of the run."""

import json
import os
import signal
import sys
import time
from pathlib import Path


def emit(kind: str, run_id: str, epoch: int = 0, cause: str | None = None) -> None:
    print(json.dumps({"kind": kind, "run_id": run_id, "epoch": epoch, "cause": cause}), flush=True)


def main() -> None:
    for line in sys.stdin:
        content = json.loads(line)
        if "prune" in content:
            emit("pruned", content["prune"], cause=content["cause"])
            continue
        run_id = Path(content["folder"]).name
        emit("started", run_id)
        if run_id.startswith("dies"):
            print("out of luck", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if run_id.startswith("fails"):
            emit("failed", run_id, cause="ValueError: no")
            continue
        if run_id.startswith("hopeless"):
            continue  # until it is pruned
        if run_id.startswith("slow"):
            sys.stdin.read()  # until the controller closes it
            emit("interrupted", run_id, cause="stopped")
            return
        if run_id.startswith("leaves"):
            emit("interrupted", run_id, cause="asked to")
            return
        if run_id.startswith("stuck"):
            time.sleep(600)
        emit("epoch", run_id, 1)
        emit("finished", run_id)


if __name__ == "__main__":
    main()
