"""Handwritten digits by logistic regression: what do scaling, and how strong a penalty, do?

ablate subject --check examples/digits.py
ablate grid --subject examples/digits.py --levels scale=true,false --levels C=0.01,1
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, f1_score

import ablate

DIGITS = [str(digit) for digit in range(10)]


class Config(ablate.Config):
    C: float = ablate.setting(1.0, gt=0, help="inverse strength of the penalty")
    scale: bool = ablate.setting(True, help="divide the pixels by 16")
    steps: int = ablate.setting(50, gt=0, help="steps of the solver, at most")


def train(config: Config, run: ablate.Training) -> ablate.Scores:
    images, digits = load_digits(return_X_y=True)
    images = images / 16 if config.scale else images
    order = run.generator("split").permutation(len(digits))  # the same for each condition of a seed
    ours, theirs = order[300:], order[:300]
    model = LogisticRegression(C=config.C, max_iter=config.steps).fit(images[ours], digits[ours])
    found = model.predict(images[theirs])
    per_class = f1_score(digits[theirs], found, average=None, labels=np.arange(10))
    counts = confusion_matrix(digits[theirs], found, labels=np.arange(10))
    by_digit = {f"f/{digit}": score for digit, score in zip(DIGITS, per_class, strict=True)}
    return ablate.Scores(by_digit, accuracy=counts.trace() / 300, confusion=ablate.Matrix(DIGITS, counts))


METRICS = [ablate.Metric("accuracy", unit="%"), ablate.Metric("f/*", unit="%", headline=True)]
subject = ablate.Subject("digits", Config, train, METRICS, packages=("scikit-learn", "numpy"))
