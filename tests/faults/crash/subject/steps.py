"""A training of milliseconds that saves after every epoch and leaves a file.

Where ``TRAINED`` names a file, each training adds a line to it: the step, the seed, and the epoch that it
began with.
"""

import os
import random
from pathlib import Path

import ablate

TRAINED = "ABLATE_CRASH_TRAINED"


class Config(ablate.Config):
    step: float = ablate.setting(1.0, gt=0, help="length of a step")
    epochs: int = ablate.setting(3, gt=0, help="steps")


class Place:
    x = 0.0

    def state_dict(self):
        return {"x": self.x}

    def load_state_dict(self, saved):
        self.x = saved["x"]


def note(config, seed, epoch):
    file = os.environ.get(TRAINED)
    if file:
        with Path(file).open("a") as lines:
            lines.write(f"{config.step} {seed} {epoch}\n")


def train(config, run):
    place, path, is_noted = Place(), [], False
    for epoch in run.epochs(config.epochs, save=place):
        if not is_noted:
            note(config, run.seed, epoch)
            is_noted = True
        place.x += config.step * random.gauss(0, 1)
        path.append(place.x)
        run.report(x=place.x)
    if not is_noted:
        note(config, run.seed, config.epochs + 1)
    weights = b"".join(place.x.hex().encode() + b"\n" for _ in range(300))  # more than one block
    return ablate.Scores(x=place.x, files={"weights.txt": weights})


subject = ablate.Subject("steps", Config, train, metrics=[ablate.Metric("x")])
