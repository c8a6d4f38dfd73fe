"""A subject that trains nothing: its runs were trained elsewhere, and only what came out of them is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from ablate.ground.errors import ConfigError
from ablate.ground.wording import suggest
from ablate.subject.factors import Factor, Factors
from ablate.subject.interface import Data, Dataset, Say, Subject, Trainer
from ablate.subject.levels import level_of
from ablate.subject.metrics import Metric
from ablate.subject.settings import SEED, Config, Settings

KIND = "results"
NO_TRAINING = "its runs were imported; nothing can be trained"


class Columns(Config):
    """The settings of imported runs: a level for each factor, under whatever name its column has."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def get(self, name: str) -> Any:
        return self.flat()[name]

    def flat(self) -> dict[str, Any]:
        return {**(self.model_extra or {}), SEED: self.seed}

    def override(self, values: Mapping[str, Any]) -> "Columns":
        flat = self.flat()
        problems = [f"unknown setting '{name}'{suggest(name, flat)}" for name in values if name not in flat]
        if problems:
            raise ConfigError(problems)
        parsed = {name: level_of(value) for name, value in values.items()}
        return type(self).model_validate({**flat, **parsed})

    @property
    def help(self) -> dict[str, str]:
        return dict.fromkeys(self.flat(), "")


class NoData(Data):
    """What imported runs were trained on is not known, and nothing is trained on it again."""

    def identify(self, folder: Path | None, store_data: Path, say: Say, expected: Sequence[Any]) -> Dataset:  # noqa: ARG002
        raise ConfigError(NO_TRAINING)

    def provide(self, folder: Path | None, store_data: Path, say: Say, expected: Sequence[Any]) -> Dataset:  # noqa: ARG002
        raise ConfigError(NO_TRAINING)


@dataclass(frozen=True, eq=False)
class ResultsSubject(Subject):
    """The runs of a study that were trained elsewhere. ``name`` is the study's.

    ``source`` is the file or experiment that they came from; ``columns`` are the column of each factor, and
    ``seed_column`` that of the seed, None where the rows were numbered.
    """

    source: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    seed_column: str | None = None

    @classmethod
    def of(
        cls,
        name: str,
        source: str,
        columns: Mapping[str, str],
        metrics: Sequence[Metric],
        seed_column: str | None,
    ) -> "ResultsSubject":
        """The subject of a study, with the spec that describes it."""
        spec = {
            "kind": KIND,
            "name": name,
            "source": source,
            "columns": dict(columns),
            "seed": seed_column,
            "metrics": [vars(metric) for metric in metrics],
        }
        return cls(
            name,
            Columns,
            metrics=tuple(metrics),
            spec=spec,
            source=source,
            columns=dict(columns),
            seed_column=seed_column,
        )

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "ResultsSubject":
        """The subject that a study's record describes. Raises ConfigError for another form."""
        try:
            metrics = [Metric(**metric) for metric in spec["metrics"]]
            return cls.of(spec["name"], spec["source"], spec["columns"], metrics, spec["seed"])
        except (KeyError, TypeError) as error:
            raise ConfigError(f"the record of imported runs is not of this version ({error})") from None

    @property
    def default(self) -> Columns:
        """No level for any factor: imported runs have no defaults."""
        return Columns.model_validate(dict.fromkeys(self.columns))

    @cached_property
    def known_factors(self) -> Factors:
        own = [
            Factor(name, name, (), f"column '{column}' of {self.source}")
            for name, column in self.columns.items()
        ]
        return Factors(self.default, own)

    def configure(self, settings: Settings) -> Config:
        """The configuration as it was imported."""
        return Columns.model_validate(settings.flat())

    @cached_property
    def data(self) -> Data:
        return NoData()

    def trainer(self, device: str, width: int | None = 1) -> Trainer:  # noqa: ARG002
        raise ConfigError(f"study '{self.name}': {NO_TRAINING}")
