"""Every crash state: a study is recorded, and recovered from what a crash may leave of it, 10,000 times.

    python -m tests.faults.crash --output docs/crashes.json
    python -m tests.faults.crash --output docs/crashes.json --table

Typed again after an interruption, it goes on where it was. Exit code 1 when anything was found; what the disk
held then is kept.
"""

import argparse
import itertools
import json
import os
import platform
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any

from ablate.ground.files import write_json
from ablate.tracking.client import Client
from tests.faults.crash.campaign import SCENARIOS, run_batch, table
from tests.faults.crash.recording import why_not
from tests.faults.record import code

BATCH = 250  # states of one recording


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.crash", description=__doc__)
    parser.add_argument("--states", type=int, default=10_000, help="how many to recover from")
    parser.add_argument("--output", type=Path, default=Path("crashes.json"), help="the record, as JSON")
    parser.add_argument("--table", action="store_true", help="print the table of --output; run nothing")
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.output.read_text())["batches"]))
        return
    if (reason := why_not()) is not None:
        sys.exit(f"nothing can be recorded: {reason}")
    content = _record(options.output)
    folder = Path(tempfile.mkdtemp(prefix="ablate-crash-", dir=_memory()))
    print(f"in {folder}", flush=True)
    database = folder / "empty.db"
    Client.open(f"sqlite:///{database}")
    for seed, scenario in ((seed, scenario) for seed in itertools.count() for scenario in SCENARIOS):
        if sum(sum(batch["states"].values()) for batch in content["batches"]) >= options.states:
            break
        if any((batch["scenario"], batch["seed"]) == (scenario, seed) for batch in content["batches"]):
            continue
        batch = run_batch(scenario, seed, BATCH, folder, database)
        content["batches"].append(batch.to_json())
        write_json(options.output, content)
        print(f"{scenario}, seed {seed}: {batch.cpu_s:.0f} CPU s, {len(batch.problems)} wrong", flush=True)
        for found in batch.problems:
            print(f"    {found['crash']}: {found['problems'][0]}", flush=True)
    print(table(content["batches"]))
    sys.exit(any(batch["problems"] for batch in content["batches"]))


def _memory() -> str | None:
    """Where files cost least; None for where temporary files are."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _record(file: Path) -> dict[str, Any]:
    """An earlier record of the same code, or a new one."""
    about = {
        "code": code(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }
    if file.exists():
        content: dict[str, Any] = json.loads(file.read_text())
        if content["about"] == about:
            return content
    return {"about": about, "batches": []}


if __name__ == "__main__":
    main()
