"""A subject that needs numpy alone: a fit by gradient descent, an epoch of which is one step and a pause."""

import time

import numpy as np

import ablate

WEIGHTS = "weights.safetensors"  # as the built-in subject's are called, and compared


class Config(ablate.Config):
    lr: float = ablate.setting(0.1, gt=0, help="learning rate")
    epochs: int = ablate.setting(20, gt=0, help="steps")
    pause: float = ablate.setting(0.02, ge=0, help="seconds that an epoch takes")


class Fit:
    """Weights and the momentum of their descent, which must be resumed together."""

    def __init__(self, start):
        self.weights = start
        self.momentum = np.zeros_like(start)

    def state_dict(self):
        return {"weights": self.weights, "momentum": self.momentum}

    def load_state_dict(self, saved):
        self.weights, self.momentum = saved["weights"], saved["momentum"]


def train(config, run):
    fit = Fit(run.generator("start").standard_normal(64))
    noise = run.generator("noise")  # its place in its sequence must be resumed, too
    for epoch in run.epochs(config.epochs, save=fit):
        target = run.generator("target", epoch).standard_normal(64)
        time.sleep(config.pause)
        gradient = fit.weights - target + 0.1 * noise.standard_normal(64)
        fit.momentum = 0.9 * fit.momentum + gradient
        fit.weights = fit.weights - config.lr * fit.momentum
        run.report(loss=float(gradient @ gradient))
    return ablate.Scores(score=float(fit.weights.sum()), files={WEIGHTS: fit.weights.tobytes()})


subject = ablate.Subject("light", Config, train, metrics=[ablate.Metric("score")])
