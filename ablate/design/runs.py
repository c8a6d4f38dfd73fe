"""A run is a configuration, trained on a data set; its identity is the hash of both."""

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ablate.mtl.config import RunConfig

# Part of every run id. Raise it when the same configuration would give other numbers than before.
SCHEMA = 1


@dataclass(frozen=True)
class Dataset:
    """Which prepared data a run uses. The digest decides the run's identity, not where the data lie."""

    name: str
    digest: str
    path: Path


@dataclass(frozen=True)
class Run:
    """One training, planned or done.

    ``condition`` maps each factor to its level; ``name`` is the condition's short name, such as
    ``grl_pos=S1``. Neither is part of the identity: a condition renamed is not trained again.
    """

    config: RunConfig
    dataset: Dataset
    name: str
    condition: dict[str, Any]

    @property
    def seed(self) -> int:
        return self.config.seed

    @cached_property
    def run_id(self) -> str:
        """Sixteen hexadecimal digits of the full configuration, the data's digest and the schema."""
        return _digest({"schema": SCHEMA, "config": self.config.model_dump(), "dataset": self.dataset.digest})

    @cached_property
    def condition_id(self) -> str:
        """As ``run_id`` but without the seed: equal for the replicates of one condition."""
        config = self.config.model_dump(exclude={"seed"})
        return _digest({"schema": SCHEMA, "config": config, "dataset": self.dataset.digest})

    @cached_property
    def training_id(self) -> str:
        """As ``run_id`` but without what only touches the scoring: equal for runs with the same weights."""
        config = self.config.model_dump(exclude={"scoring"})
        return _digest({"schema": SCHEMA, "config": config, "dataset": self.dataset.digest})

    def with_seed(self, seed: int) -> "Run":
        return replace(self, config=self.config.model_copy(update={"seed": seed}))


def _digest(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
