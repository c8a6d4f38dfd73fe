"""Writes cases and what sed_scores_eval says to them into a file, to which the tests hold ours.

python -m benchmarks.metrics.reference            # write it
python -m benchmarks.metrics.reference --check    # does the file still say what the library says?
"""

import gzip
import json
import sys
from dataclasses import asdict

from benchmarks.common import ROOT, versions
from benchmarks.metrics.cases import BY_HAND, Case, random_case

REFERENCE = ROOT / "tests" / "mtl" / "metrics" / "reference.json.gz"
N_RANDOM = 60


def cases() -> dict[str, Case]:
    """By name."""
    made = {name: make() for name, make in BY_HAND.items()}
    return made | {f"seed {seed}": random_case(seed) for seed in range(N_RANDOM)}


def written() -> bytes:
    """The content of the file, as it should be. Needs the environment of ``packages.txt``."""
    from benchmarks.metrics.libraries import answers

    rows = [
        {"name": name, "recordings": [asdict(recording) for recording in case], **answers(case)}
        for name, case in cases().items()
    ]
    content = {"versions": versions("numpy", "pandas", "sed_scores_eval"), "cases": rows}
    text = json.dumps(content, separators=(",", ":"))
    return text.encode()


def main() -> None:
    if sys.argv[1:] != ["--check"]:
        REFERENCE.write_bytes(gzip.compress(written(), mtime=0))
    elif gzip.decompress(REFERENCE.read_bytes()) != written():
        sys.exit(f"{REFERENCE} is not what sed_scores_eval says; write it anew and see what has changed")


if __name__ == "__main__":
    main()
