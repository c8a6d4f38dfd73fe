"""A program with a configuration file of its own: a line fitted to noisy points by gradient descent.

    python examples/configured.py examples/configured.toml

It knows nothing of ablate. Its settings are in the file; ablate writes one for each run and says where:

    ablate study examples/configured_study.toml
"""

import json
import random
import sys
import tomllib
from pathlib import Path


def load(path: Path) -> dict:
    if path.suffix == ".toml":
        return tomllib.loads(path.read_text())
    return json.loads(path.read_text())


def main() -> None:
    settings = load(Path(sys.argv[1]))
    draw = random.Random(settings["seed"])
    points = [
        (x := draw.uniform(-1, 1), 2 * x - 1 + draw.gauss(0, settings["data"]["noise"])) for _ in range(64)
    ]
    slope = intercept = speed_slope = speed_intercept = 0.0
    for step in range(1, settings["fit"]["steps"] + 1):
        errors = [slope * x + intercept - y for x, y in points]
        speed_slope = settings["fit"]["momentum"] * speed_slope + sum(
            error * x for error, (x, _) in zip(errors, points, strict=True)
        ) / len(points)
        speed_intercept = settings["fit"]["momentum"] * speed_intercept + sum(errors) / len(points)
        slope -= settings["fit"]["rate"] * speed_slope
        intercept -= settings["fit"]["rate"] * speed_intercept
        if step % 10 == 0:
            print(f"step {step}: squared error {sum(error**2 for error in errors) / len(errors):.6f}")
    print(
        f"slope {slope:.6f} and intercept {intercept:.6f}: off by {abs(slope - 2) + abs(intercept + 1):.6f}"
    )


if __name__ == "__main__":
    main()
