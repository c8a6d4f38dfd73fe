"""A subject to start from: short, runnable, and every part explained."""

import re
from pathlib import Path

_STARTER = '''\
"""A subject for ablate. Change it into your own.

ablate subject --check {file}                                            one run, here and now
ablate grid --subject {file} --levels rate=0.5,0.1 --levels momentum=0.9,0   all combinations
"""

import numpy as np

import ablate


class Config(ablate.Config):  # each field is a setting: its type, its default, bounds, what it is
    rate: float = ablate.setting(0.5, gt=0, help="learning rate")
    momentum: float = ablate.setting(0.9, ge=0, lt=1, help="share of a step that the next one repeats")
    epochs: int = ablate.setting(20, gt=0, help="passes over the data")


class Model(dict):  # what is to be saved has these two methods; networks and optimisers of torch have them
    state_dict = dict.copy
    load_state_dict = dict.update


def train(config: Config, run: ablate.Training) -> ablate.Scores:
    random = run.generator("data")  # its numbers depend on the seed, and on what they are for
    inputs = random.normal(size=(300, 5))
    targets = inputs @ [1, -2, 3, 0, 0] + random.normal(size=300) > 0
    model = Model(weights=np.zeros(5), step=np.zeros(5))
    for _ in run.epochs(config.epochs, save=model):  # after an interruption it goes on where it was
        errors = 1 / (1 + np.exp(-inputs[:200] @ model["weights"])) - targets[:200]
        model["step"] = config.momentum * model["step"] - config.rate * errors @ inputs[:200] / 200
        model["weights"] = model["weights"] + model["step"]
        run.report(error=abs(errors).mean())  # curves: any names, a value an epoch
    right = (inputs[200:] @ model["weights"] > 0) == targets[200:]
    return ablate.Scores(accuracy=right.mean())


accuracy = ablate.Metric("accuracy", best="max", unit="%")
subject = ablate.Subject("{name}", Config, train, metrics=[accuracy])
'''


def starter(path: Path) -> str:
    """The text of a module at a path, which names the subject after its file."""
    name = re.sub(r"\W+", "_", path.stem).strip("_") or "mine"
    return _STARTER.format(file=path.name, name=name)
