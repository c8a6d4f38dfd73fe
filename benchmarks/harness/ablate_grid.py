"""``ablate grid`` as it is typed; notes the CPU time of its main thread, where nothing goes to MLflow."""

import atexit
import json
import sys
import time

from ablate.cli.app import main
from benchmarks.harness.workload import DATA, SETTINGS, options

if __name__ == "__main__":
    given = options()
    cost = given.folder / "controller.json"
    atexit.register(lambda: cost.write_text(json.dumps({"cpu_s": time.thread_time()}), encoding="utf-8"))
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    sys.argv = ["ablate", "grid", "overhead", "--levels", "lambda=1", "--seeds", str(given.runs), *settings]
    sys.argv += [
        "--data",
        str(given.folder / DATA),
        "--store",
        str(given.folder),
        "--workers",
        str(given.slots),
    ]
    main()
