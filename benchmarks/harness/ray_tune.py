"""Ray Tune: a grid search with an actor a slot, which Tune uses again for the next run."""

import ray
from ray import tune

from benchmarks.harness.workload import options, prepare_mlflow, train_and_log


def main() -> None:
    given = options()
    prepare_mlflow(given)
    ray.init(num_cpus=given.slots, include_dashboard=False, log_to_driver=False)

    def trainable(config: dict[str, int]) -> dict[str, float]:
        train_and_log(given, config["seed"])
        return {"done": 1.0}

    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"seed": tune.grid_search(list(range(given.runs)))},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(storage_path=str(given.folder.resolve()), verbose=0),
    )
    results = tuner.fit()
    if results.num_errors:
        raise RuntimeError(f"{results.num_errors} runs failed: {results.errors[0]}")


if __name__ == "__main__":
    main()
