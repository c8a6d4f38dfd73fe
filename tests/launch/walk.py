"""A walk of random steps that can be resumed: an epoch is one step and a pause."""

import random
import time

import ablate


class Config(ablate.Config):
    step: float = ablate.setting(1.0, gt=0, help="length of a step")
    pause: float = ablate.setting(0.1, ge=0, help="seconds that an epoch takes")
    epochs: int = ablate.setting(20, gt=0, help="steps")


class Place:
    x = 0.0

    def state_dict(self):
        return {"x": self.x}

    def load_state_dict(self, saved):
        self.x = saved["x"]


def train(config, run):
    place = Place()
    for _ in run.epochs(config.epochs, save=place):
        time.sleep(config.pause)
        place.x += config.step * random.gauss(0, 1)
        run.report(x=place.x)
    return ablate.Scores(x=place.x)


subject = ablate.Subject("walk", Config, train, metrics=[ablate.Metric("x")])
