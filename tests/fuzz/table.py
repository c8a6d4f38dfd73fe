"""What ``make fuzz`` has handed to each reader, as a table: ``python -m tests.fuzz.table docs/fuzz.json``."""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import ablate


@cache
def code() -> str:
    """A digest of the program's source."""
    digest = hashlib.sha256()
    for path in sorted(Path(ablate.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def by_reader(tests: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: a row for each reader, with the cases of all tests that hand it something."""
    cases: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for test in tests.values():
        for reader, counts in test["readers"].items():
            cases[reader] += counts["cases"]
            refused[reader] += counts["refused"]
    cases["all"], refused["all"] = cases.total(), refused.total()
    rows = [("reader", "cases", "accepted", "refused"), ("---", "--:", "--:", "--:")]
    for reader in [*sorted(cases.keys() - {"all"}), "all"]:
        n, no = cases[reader], refused[reader]
        rows.append((reader, f"{n:,}", f"{n - no:,}", f"{no:,}"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(by_reader(json.loads(Path(sys.argv[1]).read_text())))
