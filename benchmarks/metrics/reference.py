"""Writes cases and what sed_scores_eval says to them into a file, to which the tests hold ours.

python -m benchmarks.metrics.reference
"""

import gzip
import json
from dataclasses import asdict
from pathlib import Path

from benchmarks.common import ROOT, versions
from benchmarks.metrics.cases import BY_HAND, Case, random_case

REFERENCE = ROOT / "tests" / "mtl" / "metrics" / "reference.json.gz"
N_RANDOM = 60


def cases() -> dict[str, Case]:
    """By name."""
    made = {name: make() for name, make in BY_HAND.items()}
    return made | {f"seed {seed}": random_case(seed) for seed in range(N_RANDOM)}


def write(file: Path) -> None:
    from benchmarks.metrics.libraries import answers

    rows = [
        {"name": name, "recordings": [asdict(recording) for recording in case], **answers(case)}
        for name, case in cases().items()
    ]
    content = {"versions": versions("numpy", "pandas", "sed_scores_eval"), "cases": rows}
    text = json.dumps(content, separators=(",", ":"))
    file.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    write(REFERENCE)
