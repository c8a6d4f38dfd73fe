"""What the trials came to: a file that is written after each, and the tables that are made of it."""

import hashlib
import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ablate
from ablate.ground.files import write_json
from tests.faults.verdict import Kind

REPOSITORY = Path(__file__).parents[2]
COLUMNS = (Kind.LOST, Kind.DOUBLED, Kind.DIFFERS, Kind.ORPHAN, Kind.LITTER)

Trial = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """The trials of each version of the program, the latest last; ``trials`` are those of this one."""

    file: Path
    content: dict[str, Any]

    @classmethod
    def open(cls, file: Path, seed: int) -> "Record":
        """Goes on where the same code and the same first seed were, or begins another sitting."""
        about = {
            "code": code(),
            "seed": seed,
            "cores": len(os.sched_getaffinity(0)),
            "system": platform.platform(),
            "python": platform.python_version(),
        }
        content = json.loads(file.read_text()) if file.exists() else {"sittings": []}
        sittings = content["sittings"]
        if not sittings or sittings[-1]["about"] != about:
            sittings.append({"about": about, "trials": []})
        return cls(file, content)

    @property
    def trials(self) -> list[Trial]:
        found: list[Trial] = self.content["sittings"][-1]["trials"]
        return found

    def find(self, scenario: str, seed: int) -> Trial | None:
        found = (t for t in self.trials if (t["scenario"], t["seed"]) == (scenario, seed))
        return next(found, None)

    def add(self, trial: Trial) -> None:
        trial = {**trial, "problems": [without_places(text) for text in trial["problems"]]}
        if trial not in self.trials:
            self.trials.append(trial)
            write_json(self.file, self.content)
            print(f"{trial['scenario']}, seed {trial['seed']}: {trial['seconds']:.0f} s", flush=True)
            for line in trial["injections"] + trial["problems"]:
                print(f"    {line}", flush=True)


def without_places(text: str) -> str:
    """What a trial says, without the folders of this machine: Python's, and the project's."""
    return text.replace(f"{Path(sys.executable).parent}/", "").replace(f"{REPOSITORY}/", "")


def code() -> str:
    """A digest of the program's source."""
    digest = hashlib.sha256()
    for path in sorted(Path(ablate.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def tables(sittings: Sequence[dict[str, Any]]) -> str:
    """Markdown, for each sitting: a table by scenario, and one of what the barrages were made of."""
    parts = []
    for sitting in reversed(sittings):
        parts.append(f"Code {sitting['about']['code']}, Python {sitting['about']['python']}:")
        parts.append(by_scenario(sitting["trials"]))
        if any(is_barrage(trial) for trial in sitting["trials"]):
            parts.append(by_injection([trial for trial in sitting["trials"] if is_barrage(trial)]))
    return "\n\n".join(parts)


def is_barrage(trial: Trial) -> bool:
    return bool(trial["scenario"].startswith("barrage"))


def by_scenario(trials: Sequence[Trial]) -> str:
    """A row for each scenario: trials, injections that met a running study, and what was wrong."""
    return _table(
        ["scenario", "trials", "injections", "completed", *COLUMNS],
        [
            [
                scenario,
                *map(str, _counts([trial for trial in trials if scenario in (trial["scenario"], "all")])),
            ]
            for scenario in [*dict.fromkeys(trial["scenario"] for trial in trials), "all"]
        ],
    )


def _counts(trials: Sequence[Trial]) -> list[int]:
    kinds = Counter(
        kind for trial in trials for kind in {text.partition(":")[0] for text in trial["problems"]}
    )
    failed = sum(any(text.startswith((Kind.COMMAND, Kind.LOST)) for text in t["problems"]) for t in trials)
    injections = sum(len(trial["injections"]) for trial in trials)
    return [len(trials), injections, len(trials) - failed, *(kinds[kind] for kind in COLUMNS)]


def by_injection(trials: Sequence[Trial]) -> str:
    """A row for each kind of injection, a column for each scenario: how many met a running study."""
    scenarios = list(dict.fromkeys(trial["scenario"] for trial in trials))
    of = {name: _kinds(t for t in trials if t["scenario"] == name) for name in scenarios}
    kinds = sorted({kind for counts in of.values() for kind in counts})
    rows = [[kind, *(str(of[name][kind] or "") for name in scenarios)] for kind in kinds]
    totals = ["all", *(str(of[name].total()) for name in scenarios)]
    return _table(["injection", *(_ground(name) for name in scenarios)], [*rows, totals])


def _kinds(trials: Iterable[Trial]) -> Counter[str]:
    return Counter(text.partition(", after")[0] for trial in trials for text in trial["injections"])


def _ground(scenario: str) -> str:
    return scenario.partition(", ")[2]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
