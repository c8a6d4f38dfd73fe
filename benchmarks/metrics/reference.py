"""Writes cases and what sed_scores_eval says to them into a file, to which the tests hold ours.

python -m benchmarks.metrics.reference            # write it
python -m benchmarks.metrics.reference --check    # does the file still say what the library says?
"""

import gzip
import json
from dataclasses import asdict

from benchmarks.common import ROOT, versions
from benchmarks.metrics.cases import cases

REFERENCE = ROOT / "tests" / "mtl" / "metrics" / "reference.json.gz"
N_RANDOM = 60


def main() -> None:
    from benchmarks.metrics.libraries import answers

    rows = [
        {"name": name, "recordings": [asdict(recording) for recording in case], **answers(case)}
        for name, case in cases(N_RANDOM).items()
    ]
    content = {"versions": versions("numpy", "pandas", "sed_scores_eval"), "cases": rows}
    text = json.dumps(content, separators=(",", ":"))
    REFERENCE.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
