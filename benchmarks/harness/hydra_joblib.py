"""Hydra: a multirun with the joblib launcher, whose processes are used again for the next run."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from benchmarks.harness.workload import Options, options, prepare_mlflow, train_and_log


@hydra.main(version_base=None, config_path=None, config_name="run")
def run(config: DictConfig) -> None:
    train_and_log(Options(1, 1, Path(config.folder)), config.seed)


if __name__ == "__main__":
    given = options()
    prepare_mlflow(given)
    from hydra.core.config_store import ConfigStore

    folder = given.folder.resolve()
    ConfigStore.instance().store("run", OmegaConf.create({"seed": 0, "folder": str(folder)}))
    sys.argv[1:] = [
        "--multirun",
        "hydra/launcher=joblib",
        f"hydra.launcher.n_jobs={given.slots}",
        f"hydra.sweep.dir={folder}/multirun",
        f"seed=range(0,{given.runs})",
    ]
    run()
