"""The training and MLflow's calls in one loop: a process a slot, and no harness at all."""

from benchmarks.harness.workload import Options, in_processes, options, prepare_mlflow, train_and_log


def train(given: Options, seeds: list[int]) -> None:
    for seed in seeds:
        train_and_log(given, seed)


if __name__ == "__main__":
    prepare_mlflow(options())
    in_processes(train, options())
