"""Optuna asked for the next condition to try, and told what came of it.

Optuna's study lives in memory alone. Before each trial its sampler is made anew, with a seed that is a
function of the search's seed and the trial's number: what it draws depends on these and on the trials so far,
and not on how often the search was broken off. What it remembers of the trials is made again from the ledger
of the search (``record.searches``).
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, PercentilePruner
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from ablate.design.space import Dimension, Draws, Space
from ablate.ground.errors import ConfigError
from ablate.record.searches import Plan

VERSION = optuna.__version__

# The options of each sampler, Optuna's defaults among them: these have changed between its versions.
SAMPLERS: Mapping[str, Mapping[str, Any]] = {
    "tpe": {
        "multivariate": True,
        "group": True,  # parameters that are asked together are modelled together, the conditional ones apart
        "constant_liar": True,
        "n_startup_trials": 10,
        "n_ei_candidates": 24,
    },
    "random": {},
    "cmaes": {"n_startup_trials": 1, "use_separable_cma": False, "with_margin": False, "lr_adapt": False},
    "nsga2": {"population_size": 20, "crossover_prob": 0.9, "swapping_prob": 0.5},
    "gp": {"n_startup_trials": 10, "deterministic_objective": False},
}
MAKE_SAMPLER: Mapping[str, Callable[..., BaseSampler]] = {
    "tpe": TPESampler,
    "random": RandomSampler,
    "cmaes": CmaEsSampler,
    "nsga2": NSGAIISampler,
    "gp": GPSampler,
}
ONE_OBJECTIVE = ("cmaes",)
NEEDS = {"cmaes": "cmaes", "gp": "torch"}
# Those that keep a state of their own beside the trials; their draws are drawn again to restore it.
WITH_STATE = ("cmaes", "nsga2")

# Those that note on each trial how far it has come, whenever they are asked.
PRUNERS_WITH_STATE = ("hyperband",)

DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}

# After which part of the epochs each may give up. Hyperband's brackets differ in that; this is the first.
WARM_UP_SHARES = {"median": 5, "percentile": 5, "hyperband": 14}

PRUNERS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "median": {"n_startup_trials": 5, "interval_steps": 1, "n_min_trials": 3},
    "percentile": {
        "percentile": 25.0,  # of the trials go on; what it saves is in docs/decisions/searching.md
        "n_startup_trials": 5,
        "interval_steps": 1,
        "n_min_trials": 3,
    },
    "hyperband": {"reduction_factor": 3, "bootstrap_count": 0},
}
MAKE_PRUNER: Mapping[str, Callable[..., BasePruner]] = {
    "none": NopPruner,
    "median": MedianPruner,
    "percentile": PercentilePruner,
    "hyperband": HyperbandPruner,
}


def check_method(sampler: str, pruner: str, n_objectives: int) -> None:
    """Raises ConfigError for what cannot search, or cannot search for as many objectives."""
    problems = []
    if n_objectives > 1 and sampler in ONE_OBJECTIVE:
        problems.append(f"--sampler {sampler} is for one objective; for two take tpe, nsga2, gp or random")
    if n_objectives > 1 and pruner != "none":
        problems.append(f"--prune {pruner} is for one objective: two do not say which curve is hopeless")
    package = NEEDS.get(sampler)
    if package is not None and find_spec(package) is None:
        problems.append(f"--sampler {sampler} needs the package {package}: pip install {package}")
    if problems:
        raise ConfigError(problems)


def pruner_options(name: str, epochs: int, after: int | None = None) -> dict[str, Any]:
    """Of a pruner for runs of so many epochs, which gives nothing up before the epoch ``after``.

    Scores of the first epochs are mostly noise. Raises ConfigError where nothing is left to give up.
    """
    if name == "none":
        if after is not None:
            raise ConfigError(f"--prune-after {after} is for --prune")
        return {}
    if after is not None and after >= epochs:
        raise ConfigError(
            f"--prune-after {after}: runs have {epochs} epochs, so that nothing would be pruned"
        )
    first = max(1, epochs // WARM_UP_SHARES[name]) if after is None else after
    if name == "hyperband":
        return {**PRUNERS[name], "min_resource": first, "max_resource": epochs}
    return {**PRUNERS[name], "n_warmup_steps": first}


class Asker:
    """Asks for trials and is told of them. Trials go by their numbers, 0, 1, 2, ..."""

    def __init__(self, plan: Plan, space: Space, name: str) -> None:
        self._plan = plan
        self._space = space
        self._trials: list[optuna.Trial] = []
        self._dimensions = {dimension.name: dimension for dimension in space.dimensions}
        with quiet():
            self._study = optuna.create_study(
                study_name=name,
                directions=[DIRECTIONS[best] for best in plan.objectives.values()],
                pruner=MAKE_PRUNER[plan.pruner](**plan.pruner_options),
            )

    @property
    def n_trials(self) -> int:
        return len(self._trials)

    def ask(self) -> dict[str, Any]:
        """What the sampler draws for the next trial."""
        self._study.sampler = self._sampler(self.n_trials)
        return self._draw()

    def take(self, draws: Draws | None) -> None:
        """Make the next trial one of these draws; None: of a condition outside of the space.

        Nothing can be told of the latter, as Optuna has no place for it.
        """
        self._study.sampler = RandomSampler(seed=0)
        with quiet():
            self._study.enqueue_trial(dict(draws or {}))
        self._draw(draws or {})
        if draws is None:
            self.tell(self.n_trials - 1, None)

    def restore(self, draws: Draws | None) -> bool:
        """As ``take``, for a trial that was asked before; False when the sampler would now draw otherwise.

        A sampler with a state of its own draws again. What was drawn then holds in either case.
        """
        if self._plan.sampler not in WITH_STATE or draws is None or self.n_trials == 0:
            self.take(draws)
            return True
        self._study.sampler = self._sampler(self.n_trials)
        return self._draw() == dict(draws)

    def tell(self, number: int, values: Sequence[float] | None) -> None:
        """The scores of a trial; None: it has failed, and says nothing of its condition."""
        with quiet():
            if values is None:
                self._study.tell(self._trials[number], state=TrialState.FAIL)
            else:
                self._study.tell(self._trials[number], list(values))

    def tell_pruned(self, number: int) -> None:
        """That a trial was given up; its curve so far is known."""
        with quiet():
            self._study.tell(self._trials[number], state=TrialState.PRUNED)

    def report(self, number: int, epoch: int, value: float) -> bool:
        """The value of a trial's curve at an epoch. Returns whether the pruner gives the trial up."""
        with quiet():
            self._trials[number].report(value, epoch)
            return bool(self._trials[number].should_prune())

    def report_again(self, number: int, curve: Mapping[int, float]) -> None:
        """The curve, by epoch, of a trial that was begun before."""
        with quiet():
            for epoch, value in curve.items():
                self._trials[number].report(value, epoch)
                if self._plan.pruner in PRUNERS_WITH_STATE:
                    self._trials[number].should_prune()

    def _draw(self, fixed: Draws | None = None) -> dict[str, Any]:
        with quiet():
            trial = self._study.ask()
            self._trials.append(trial)
            if fixed is not None:
                return {name: _suggest(trial, self._dimensions[name]) for name in fixed}
            return self._space.draw(lambda dimension: _suggest(trial, dimension))

    def _sampler(self, number: int) -> BaseSampler:
        digest = hashlib.sha256(f"{self._plan.seed} {number}".encode()).digest()
        seed = int.from_bytes(digest[:4], "little")
        with quiet():
            return MAKE_SAMPLER[self._plan.sampler](seed=seed, **self._plan.sampler_options)


def _suggest(trial: optuna.Trial, dimension: Dimension) -> Any:
    match distribution(dimension):
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(dimension.name, choices)
        case IntDistribution(low=low, high=high, log=log):
            return trial.suggest_int(dimension.name, low, high, log=log)
        case FloatDistribution(low=low, high=high, log=log):
            return trial.suggest_float(dimension.name, low, high, log=log)


def distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension as Optuna writes it."""
    within = dimension.range
    if within is None:
        return CategoricalDistribution(list(dimension.levels))
    if within.integer:
        return IntDistribution(int(within.low), int(within.high), log=within.log)
    return FloatDistribution(within.low, within.high, log=within.log)


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's remarks on what is experimental, and on each study."""
    if optuna.logging.get_verbosity() != optuna.logging.ERROR:  # for good: setting it takes 0.4 ms
        optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
