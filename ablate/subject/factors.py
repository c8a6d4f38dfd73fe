"""Factors: what a study varies, and when it cannot matter."""

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ablate.ground.errors import ConfigError, brief
from ablate.ground.files import is_file
from ablate.ground.wording import suggest
from ablate.subject.settings import SEED, Config


@dataclass(frozen=True)
class Inert:
    """A level cannot change the result under the other levels; ``instead`` is the level that says so."""

    instead: Any
    why: str


def never_inert(config: Any) -> Inert | None:  # noqa: ARG001
    return None


@dataclass(frozen=True)
class Factor:
    """One thing that a study varies.

    ``field`` is the dotted name of the setting it sets, whose type parses and bounds its levels. ``levels``
    are those tried when the user names none. ``inert`` says whether the level that a configuration has for
    this factor can matter to its result.
    """

    name: str
    field: str
    levels: tuple[Any, ...] = ()
    help: str = ""
    inert: Callable[[Any], Inert | None] = never_inert
    inert_when: str = ""

    def inert_for(self, config: Config) -> Inert | None:
        """``inert(config)``, with the errors of a user's own rule told as theirs."""
        try:
            return self.inert(config)
        except Exception as error:
            raise ConfigError(
                f"factor '{self.name}': its rule for when it is inert raises {type(error).__name__}: {error}"
            ) from error

    def level(self, config: Config) -> Any:
        return config.get(self.field)


# Names by which runs are asked for, which a factor of that name would hide.
RESERVED = frozenset(
    {
        "run_id",
        "name",
        "condition",
        "state",
        "cause",
        "dataset",
        "dataset_digest",
        "log",
        "mlflow_run_id",
    }
)


class Factors(Mapping[str, Factor]):
    """The factors of a subject by name; any other setting can be varied by its dotted name.

    ``default`` is the subject's configuration as it is when nothing is set. ``rules`` are factors that have
    no name of their own, since their settings can be inert all the same. In the order of the factors
    inertness is resolved: what a later one's rule asks, an earlier one has settled. ``settled`` are settings
    that have one level on the data at hand, and why.
    """

    def __init__(
        self,
        default: Config,
        factors: Iterable[Factor] = (),
        rules: Sequence[Factor] = (),
        settled: Mapping[str, Inert] | None = None,
    ) -> None:
        self.default = default
        self._settled = settled or {}
        self.settings = default.help
        self._factors = {factor.name: factor for factor in factors}
        self._rules = {rule.field: rule for rule in rules}
        if SEED not in self._factors:
            self._factors[SEED] = Factor(SEED, SEED, (0, 1, 2), self.settings[SEED])

    def __getitem__(self, name: str) -> Factor:
        return self._factors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._factors)

    def __len__(self) -> int:
        return len(self._factors)

    def find(self, name: str, what: str = "factor") -> Factor:
        """The factor of a name, or of a dotted setting. Raises ConfigError with the nearest valid name."""
        if name in self._factors:
            return self._factors[name]
        if name in self.settings:
            for factor in self._factors.values():
                if factor.field == name:
                    return factor
            return self._rules.get(name) or Factor(name, name, (), self.settings[name])
        raise ConfigError(
            f"unknown {what} '{brief(name)}'{suggest(name, dict.fromkeys([*self._factors, *self.settings]))}"
        )

    def fields_of(self, pairs: Mapping[str, Any]) -> dict[str, Any]:
        """Values by dotted name from values by factor or dotted name.

        Raises ConfigError that lists every unknown name.
        """
        problems: list[str] = []
        values: dict[str, Any] = {}
        for name, value in pairs.items():
            try:
                values[self.find(name, "setting").field] = value
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(problems)
        return values

    def parse(self, factor: Factor, text: str) -> Any:
        """A level from its text. Raises ConfigError with the factor and, for words, the nearest level."""
        try:
            return self.default.override({factor.field: text.strip()}).get(factor.field)
        except ConfigError as error:
            is_word = factor.levels and isinstance(factor.level(self.default), str)
            hint = suggest(text, map(str, factor.levels)) if is_word else ""
            raise ConfigError(
                [f"factor '{factor.name}': {problem}{hint}" for problem in error.problems]
            ) from None

    def rules_beside(self, factors: Sequence[Factor]) -> list[Factor]:
        """What the data settle, ``factors``, and the rules of settings that none of them is."""
        settled = [
            replace(self.find(field), inert=_settled_at(field, level))
            for field, level in self._settled.items()
        ]
        return [*settled, *factors, *(rule for rule in self._rules.values() if rule not in factors)]

    def described(self, varied: Sequence[Factor]) -> list[Factor]:
        """Every factor but the seed, then those varied by their dotted name."""
        described = [factor for factor in self._factors.values() if factor.name != SEED]
        return described + [factor for factor in varied if factor not in described]

    def with_plugin(self, path: Path) -> "Factors":
        """These and the factors of a user's own module, which may replace some of them."""
        both = {**self._factors, **load_plugin(path, self.settings)}
        return Factors(self.default, both.values(), tuple(self._rules.values()), self._settled)

    def on_data(self, settled: Mapping[str, Inert]) -> "Factors":
        """These on data that settle the level of some settings, by their dotted names."""
        return Factors(self.default, self._factors.values(), tuple(self._rules.values()), dict(settled))

    def check_settled(self, base: Config) -> None:
        """Raises ConfigError where ``base`` asks on purpose for another level than the data settle."""
        problems = [
            f"{self.find(field).name}={base.get(field)}: {settled.why}; leave it out, or take other data"
            for field, settled in self._settled.items()
            if base.get(field) not in (settled.instead, self.default.get(field))
        ]
        if problems:
            raise ConfigError(problems)

    @property
    def settled_remarks(self) -> list[str]:
        """What the data settle, in sentences."""
        return [
            f"{settled.why}: {self.find(field).name}={settled.instead} in all runs"
            for field, settled in self._settled.items()
        ]


def _settled_at(field: str, settled: Inert) -> Callable[[Any], Inert | None]:
    """The rule by which a setting has one level."""
    return lambda config: None if config.get(field) == settled.instead else settled


def load_plugin(path: Path, settings: Mapping[str, str]) -> dict[str, Factor]:
    """The factors of a user's own module: its table ``FACTORS``, name -> Factor, or an iterable of Factors.

    Raises ConfigError when the module cannot be run, has no such table, or names an unknown setting.
    """
    spec = importlib.util.spec_from_file_location(f"ablate_plugin_{path.stem}", path)
    if spec is None or spec.loader is None or not is_file(path):
        raise ConfigError(f"plugin {brief(str(path))}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"plugin {path}: {type(error).__name__}: {error}") from error
    found = getattr(module, "FACTORS", None)
    if not isinstance(found, Iterable):
        raise ConfigError(f"plugin {path}: define FACTORS, a dict of name -> ablate.Factor")
    factors = list(found.values() if isinstance(found, Mapping) else found)
    problems = [f"plugin {path}: {problem}" for problem in factor_problems(factors, settings)]
    if problems:
        raise ConfigError(problems)
    return {factor.name: factor for factor in factors}


def factor_problems(factors: Iterable[Any], settings: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with factors that somebody wrote, a sentence each."""
    for factor in factors:
        if not isinstance(factor, Factor) or factor.field not in settings:
            yield f"{factor!r} is not a Factor whose field is known; known: {', '.join(settings)}"
        elif factor.name in RESERVED or (factor.name == SEED) != (factor.field == SEED):
            yield f"a factor cannot be called '{factor.name}', which means something else; rename it"
