"""A run is a configuration, trained on a data set; its identity is the hash of both."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ablate.subject.interface import Dataset
from ablate.subject.settings import SEED, Settings

# Part of every run id. Raise it when the same configuration would give other numbers than before, or when
# the records of runs and studies take another form.
SCHEMA = 2


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def replicate(seed: int, fold: int | None) -> str:
    """``seed=3``, or ``seed=3 fold=2``."""
    return f"seed={seed}" + ("" if fold is None else f" fold={fold}")


def replicate_in_words(seed: int | None, fold: int | None) -> str:
    """``seed 3``, or ``seed 3, fold 2``."""
    return f"seed {seed}" + ("" if fold is None else f", fold {fold}")


@dataclass(frozen=True)
class SubjectRef:
    """Whose run it is: the subject's name, and the digest of its code."""

    name: str
    version: str = ""


@dataclass(frozen=True)
class Run:
    """One training, planned or done.

    ``condition`` maps each factor to its level; ``name`` is the condition's short name, such as
    ``lr=0.1``. Neither is part of the identity: a condition renamed is not trained again. ``scoring`` names
    the settings that only touch the scoring, ``folds`` those that say how many folds there are and which one
    this run holds out. A ``lean`` run keeps no more of what it was scored on than its scores; of a
    ``metered`` one the energy is measured.
    """

    config: Settings
    dataset: Dataset
    name: str
    condition: Mapping[str, Any]
    subject: SubjectRef
    scoring: tuple[str, ...] = ()
    lean: bool = False
    folds: tuple[str, str] | None = None
    metered: bool = False

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def n_folds(self) -> int:
        """Into how many folds the training data are divided; 0 where they are not."""
        return 0 if self.folds is None else int(self.config.get(self.folds[0]))

    @property
    def fold(self) -> int | None:
        """Which fold the run holds out and is scored on, from 1 on; None where there are no folds."""
        return None if self.folds is None or not self.n_folds else int(self.config.get(self.folds[1]))

    @property
    def title(self) -> str:
        """``lr=0.1 seed=3``, and ``fold=2`` where there are folds."""
        return f"{self.name} {replicate(self.seed, self.fold)}"

    @cached_property
    def run_id(self) -> str:
        """Sixteen hexadecimal digits of the subject, all settings, the data's digest and the schema."""
        return self._digest()

    @cached_property
    def condition_id(self) -> str:
        """As ``run_id`` but without seed and fold: equal for the replicates of one condition."""
        return self._digest(SEED, *([] if self.folds is None else self.folds[1:]))

    @cached_property
    def training_id(self) -> str:
        """As ``run_id`` but without what only touches the scoring: equal for runs with the same weights."""
        return self._digest(*self.scoring) if self.scoring else self.run_id

    def with_seed(self, seed: int) -> "Run":
        other = replace(self, config=self.config.with_seed(seed))
        vars(other)["condition_id"] = self.condition_id  # the same for all seeds, and takes as long as an id
        return other

    def in_folds(self) -> "list[Run]":
        """A run for each fold; the run itself where there are no folds."""
        if self.folds is None or not self.n_folds:
            return [self]
        values, which = self.config.values, self.folds[1]
        return [
            replace(self, config=Settings({**values, which: fold})) for fold in range(1, self.n_folds + 1)
        ]

    def _digest(self, *without: str) -> str:
        config = {name: value for name, value in self.config.values.items() if name not in without}
        content = {
            "schema": SCHEMA,
            "subject": [self.subject.name, self.subject.version],
            "config": config,
            "dataset": self.dataset.digest,
        }
        return hashlib.sha256(_CANONICAL.encode(content).encode()).hexdigest()[:16]
