"""The long form: a hundred moments, every other fault, fifty races and twenty searches, counted.

    python -m tests.faults --output docs/reliability.json
    python -m tests.faults --replay "worker SIGKILL" 4711

Typed again after an interruption, it goes on where it was. Exit code 1 when anything was found.
"""

import argparse
import hashlib
import itertools
import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import ablate
from ablate.ground.files import write_json
from tests.conftest import make_tiny_data
from tests.faults import searches
from tests.faults.race import SHAPES, crowd, race
from tests.faults.scenarios import MOMENTS, OTHERS, may_mount, run_trial
from tests.faults.study import Outcome, Study, Undisturbed, outcomes, run_undisturbed
from tests.faults.verdict import Kind

PRUNERS = ("none", "median")  # of the searches, in turn
COLUMNS = (Kind.LOST, Kind.DOUBLED, Kind.DIFFERS, Kind.ORPHAN, Kind.LITTER)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--moments", type=int, default=100, help="moments at which a process gets a signal")
    parser.add_argument("--others", type=int, default=3, help="trials of each other fault")
    parser.add_argument("--races", type=int, default=50, help="races of eight workers for 28 runs")
    parser.add_argument("--searches", type=int, default=20, help="searches that are killed three times")
    parser.add_argument("--seed", type=int, default=0, help="of the first trial; the next have the next")
    parser.add_argument("--replay", nargs=2, metavar=("SCENARIO", "SEED"), help="one trial, and keep it")
    parser.add_argument("--output", type=Path, default=Path("faults.json"), help="the trials, as JSON")
    parser.add_argument("--table", action="store_true", help="print the table of --output; run nothing")
    options = parser.parse_args()
    # A shell that runs this in the background has Ctrl-C ignored, which the commands would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if options.table:
        print(table(json.loads(options.output.read_text())["trials"]))
        return
    laboratory = Laboratory.open()
    if options.replay:
        name, seed = options.replay
        print(json.dumps(laboratory.trial(name, int(seed)), indent=1))
        return
    record = Record.open(options.output, options.seed)
    for trial in trials(laboratory, record, options):
        record.add(trial)
    print(table(record.content["trials"]))
    sys.exit(any(trial["problems"] for trial in record.content["trials"]))


@dataclass
class Laboratory:
    """A folder for the studies, the data, and what an undisturbed study looks like."""

    folder: Path
    data: Path
    undisturbed: Undisturbed | None = None
    crowd: dict[str, Outcome] | None = None
    undisturbed_searches: dict[str, searches.Undisturbed] = field(default_factory=dict)  # by pruner

    @classmethod
    def open(cls) -> "Laboratory":
        folder = Path(tempfile.mkdtemp(prefix="ablate-faults-"))
        print(f"in {folder}", flush=True)
        return cls(folder, make_tiny_data(folder / "data"))

    def trial(self, name: str, seed: int) -> dict[str, Any]:
        """The folder of a trial in which anything was wrong is kept."""
        if self.undisturbed is None:
            self.undisturbed = run_undisturbed(Study(self.folder / "undisturbed", self.data))
            print(f"undisturbed: {self.undisturbed.seconds:.1f} s", flush=True)
        folder = self.folder / f"{name} {seed}".replace(" ", "-").replace(",", "")
        started = time.monotonic()
        trial = run_trial(name, Study(folder, self.data), self.undisturbed, seed)
        if not trial.problems:
            shutil.rmtree(folder)
        return {
            "scenario": name,
            "seed": seed,
            "seconds": round(time.monotonic() - started, 1),
            "injections": trial.injections,
            "problems": [str(problem) for problem in trial.problems],
        }

    def race(self, number: int) -> dict[str, Any]:
        commands, workers = SHAPES[number % len(SHAPES)]
        folder = self.folder / f"race-{number}"
        study = crowd(folder, self.data, workers)
        started = time.monotonic()
        try:
            problems = race(study, commands, self.crowd)
        finally:
            study.end()
        if not problems:
            self.crowd = self.crowd or outcomes(study)
            shutil.rmtree(folder)
        return {
            "scenario": f"{commands} commands x {workers} workers, 28 runs",
            "seed": number,
            "seconds": round(time.monotonic() - started, 1),
            "injections": [],
            "problems": [str(problem) for problem in problems],
        }

    def search(self, number: int) -> dict[str, Any]:
        pruner = PRUNERS[number % len(PRUNERS)]
        if pruner not in self.undisturbed_searches:
            calm = searches.Search(self.folder / f"search-{pruner}", pruner=pruner)
            self.undisturbed_searches[pruner] = searches.undisturbed(calm)
        search = searches.Search(self.folder / f"search-{number}", pruner=pruner)
        started = time.monotonic()
        try:
            problems = searches.killed_again_and_again(
                search, random.Random(number), 3, self.undisturbed_searches[pruner]
            )
        finally:
            search.end()
        if not problems:
            shutil.rmtree(search.folder)
        return {
            "scenario": scenario_of_search(number),
            "seed": number,
            "seconds": round(time.monotonic() - started, 1),
            "injections": search.kills,
            "problems": [str(problem) for problem in problems],
        }


def scenario_of_search(number: int) -> str:
    pruner = PRUNERS[number % len(PRUNERS)]
    return f"search{'' if pruner == 'none' else f' --prune {pruner}'}, all SIGKILL again and again"


@dataclass(frozen=True)
class Record:
    """The trials so far, in a file that is written after each."""

    file: Path
    content: dict[str, Any]

    @classmethod
    def open(cls, file: Path, seed: int) -> "Record":
        """Goes on with an earlier record of the same code and the same first seed."""
        about = {
            "code": _code(),
            "seed": seed,
            "cores": len(os.sched_getaffinity(0)),
            "system": platform.platform(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        }
        if file.exists():
            content = json.loads(file.read_text())
            if content["about"] == about:
                return cls(file, content)
        return cls(file, {"about": about, "trials": []})

    def find(self, scenario: str, seed: int) -> dict[str, Any] | None:
        found = (t for t in self.content["trials"] if (t["scenario"], t["seed"]) == (scenario, seed))
        return next(found, None)

    def add(self, trial: dict[str, Any]) -> None:
        if trial not in self.content["trials"]:
            self.content["trials"].append(trial)
            write_json(self.file, self.content)
            print(f"{trial['scenario']}, seed {trial['seed']}: {trial['seconds']:.0f} s", flush=True)
            for line in trial["injections"] + trial["problems"]:
                print(f"    {line}", flush=True)


def trials(laboratory: Laboratory, record: Record, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Everything that was asked for, from the record where it has been done."""
    hits = 0
    for seed, name in zip(itertools.count(options.seed), itertools.cycle(MOMENTS)):
        if hits == options.moments:
            break
        trial = record.find(name, seed) or laboratory.trial(name, seed)
        hits += bool(trial["injections"])  # else the study was over before the moment
        yield trial
    others = [name for name in OTHERS if name != "disk full" or may_mount(laboratory.folder / "disk")]
    for seed, name in itertools.product(range(options.seed, options.seed + options.others), others):
        yield record.find(name, seed) or laboratory.trial(name, seed)
    for number in range(options.races):
        commands, workers = SHAPES[number % len(SHAPES)]
        scenario = f"{commands} commands x {workers} workers, 28 runs"
        yield record.find(scenario, number) or laboratory.race(number)
    for number in range(options.searches):
        yield record.find(scenario_of_search(number), number) or laboratory.search(number)


def table(found: list[dict[str, Any]]) -> str:
    """Markdown, a row for each scenario: trials, injections that met a running study, and what was wrong."""
    header = ["scenario", "trials", "injections", "completed", *COLUMNS]
    rows = [header, ["---"] + ["--:"] * (len(header) - 1)]
    for scenario in [*dict.fromkeys(trial["scenario"] for trial in found), "all"]:
        mine = [trial for trial in found if scenario in (trial["scenario"], "all")]
        kinds = Counter(
            kind for trial in mine for kind in {text.partition(":")[0] for text in trial["problems"]}
        )
        failed = sum(any(text.startswith((Kind.COMMAND, Kind.LOST)) for text in t["problems"]) for t in mine)
        numbers = [len(mine), sum(len(t["injections"]) for t in mine), len(mine) - failed]
        rows.append([scenario, *map(str, numbers), *(str(kinds[kind]) for kind in COLUMNS)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _code() -> str:
    """A digest of the program's source."""
    digest = hashlib.sha256()
    for path in sorted(Path(ablate.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    main()
