"""A subject of some 10 ms an epoch that saves after each; it also reads a file beside it, and its data."""

import time
from pathlib import Path

import numpy as np
from light_constants import EPOCHS  # found beside this file, on whichever machine

import ablate


class Config(ablate.Config):
    """Settings."""

    lr: float = ablate.setting(0.1, gt=0, help="learning rate")
    epoch_s: float = 0.03
    brake: str = ""  # a file: while it exists, an epoch from the fourth on takes a second more


class Walk:
    """A random walk, whose place is its state."""

    def __init__(self) -> None:
        self.place = np.zeros(3)

    def state_dict(self) -> dict[str, object]:
        return {"place": self.place}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.place = np.asarray(state["place"])


def wait_for(brake: str, seconds: float = 1.0) -> None:
    end = time.monotonic() + seconds
    while brake and Path(brake).exists() and time.monotonic() < end:
        time.sleep(0.02)


def train(config: Config, run: ablate.Training) -> ablate.Scores:
    walk = Walk()
    step = 1.0 if run.data is None else float((run.data / "step.txt").read_text())
    for epoch in run.epochs(EPOCHS, save=walk):
        walk.place = walk.place + step * config.lr * run.generator("step", epoch).standard_normal(3)
        time.sleep(config.epoch_s)
        if epoch > 3:
            wait_for(config.brake)
        run.report(length=float(abs(walk.place).sum()))
    return ablate.Scores(score=float(walk.place.sum()), files={"place.txt": repr(walk.place).encode()})


subject = ablate.Subject("light", Config, train, metrics=[ablate.Metric("score")])
