"""What was found: a file that is added to with each mutant, and the mutants that no test can notice.

A mutant that was killed is not tried again; nor is one that survived, unless that is asked for.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.ground.files import read_json, write_json
from tests.mutants.mutations import Mutant

SURVIVED = "survived"
EQUAL = Path(__file__).with_name("equal.toml")
Place = tuple[str, str, str, str]  # module, function, the lines as they were, the lines as they are


@dataclass
class Record:
    path: Path
    content: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> "Record":
        return cls(path, read_json(path) if path.exists() else {"areas": {}})

    def area(self, name: str) -> dict[str, Any]:
        empty: dict[str, Any] = {"controls": 0, "modules": {}}
        return self.content["areas"].setdefault(name, empty)

    def module(self, area: str, module: str, there: Mapping[str, Mutant]) -> dict[str, Any]:
        """The verdicts on a module's mutants; those of functions that have changed are forgotten."""
        found = self.area(area)["modules"].setdefault(module, {"verdicts": {}, "survivors": {}})
        found["there"] = len(there)
        for kind in ("verdicts", "survivors"):
            found[kind] = {name: value for name, value in found[kind].items() if name in there}
        return found

    def add(self, module: dict[str, Any], name: str, mutant: Mutant, verdict: str) -> None:
        module["verdicts"][name] = verdict
        module["survivors"].pop(name, None)
        if verdict == SURVIVED:
            was, becomes = mutant.change
            module["survivors"][name] = {"where": mutant.where, "was": was, "becomes": becomes}
        self.save()

    def save(self) -> None:
        write_json(self.path, self.content)


def equal(path: Path = EQUAL) -> dict[Place, str]:
    """Why no test can notice it, by mutant."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["equal"]
    return {
        (each["module"], each["where"], each["was"], each["becomes"]): each["because"] for each in entries
    }


def survivors(area: Mapping[str, Any], known: Mapping[Place, str]) -> Iterator[tuple[Place, str | None]]:
    """Each survivor of an area, and why it is equal, if it is."""
    for module, found in area["modules"].items():
        for each in found["survivors"].values():
            place = (module, each["where"], each["was"], each["becomes"])
            yield place, known.get(place)


def table(content: Mapping[str, Any], known: Mapping[Place, str]) -> str:
    """Markdown, a row for each area."""
    heads = ("area", "mutants", "tried", "killed", "by time", "equal", "left", "killed of those not equal")
    rows = [(name, *_counts(area, known)) for name, area in content["areas"].items()]
    sums = [sum(row[column] for row in rows) for column in range(1, 7)]
    lines = [[*map(str, row), _share(row[3], row[6])] for row in [*rows, ("all", *sums)]]
    return "\n".join(f"| {' | '.join(line)} |" for line in [heads, ["---", *["--:"] * 7], *lines])


def _counts(area: Mapping[str, Any], known: Mapping[Place, str]) -> tuple[int, ...]:
    modules = area["modules"].values()
    verdicts = [verdict for module in modules for verdict in module["verdicts"].values()]
    reasons = [reason for _, reason in survivors(area, known)]
    killed = len(verdicts) - len(reasons)
    by_time = verdicts.count("killed by time")
    named = sum(reason is not None for reason in reasons)
    return (
        sum(module["there"] for module in modules),
        len(verdicts),
        killed,
        by_time,
        named,
        len(reasons) - named,
    )


def _share(killed: int, left: int) -> str:
    return f"{100 * killed / (killed + left):.1f} %" if killed + left else "-"
