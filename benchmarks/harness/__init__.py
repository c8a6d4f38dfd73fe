"""Ways to train the same runs: ``python -m benchmarks.harness.NAME --runs N --slots M --folder DIR``."""
