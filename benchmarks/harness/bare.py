"""The training alone: a process a slot trains its share of the runs, and nothing is logged."""

from benchmarks.harness.workload import Options, in_processes, options, train_and_score


def train(given: Options, seeds: list[int]) -> None:
    for seed in seeds:
        train_and_score(given.folder, seed)


if __name__ == "__main__":
    in_processes(train, options())
