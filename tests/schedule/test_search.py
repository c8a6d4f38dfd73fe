"""Asking Optuna: the draws are a function of the seed and of the trials so far, and better than chance."""

from collections.abc import Mapping
from typing import Any

import pytest

from ablate.design.space import make_space, parse_ranges
from ablate.ground.errors import ConfigError
from ablate.mtl.config import RunConfig
from ablate.mtl.definition import subject
from ablate.record.searches import Plan
from ablate.schedule.search import SAMPLERS, VERSION, Asker, check_method, pruner_options

SPACE = make_space(
    RunConfig(), subject.known_factors, ["grl_pos"], {}, parse_ranges(["lambda=0.1:10:log", "alpha=0:1"])
)
N_TRIALS = {"gp": 14}  # ten of which are drawn at random; a model takes a third of a second
Told = list[tuple[dict[str, Any], float]]


def plan(sampler: str = "tpe", pruner: str = "none", seed: int = 0, n_objectives: int = 1) -> Plan:
    return Plan(
        objectives=dict.fromkeys(["score", "size"][:n_objectives], "max"),
        space=(),
        sampler=sampler,
        sampler_options=SAMPLERS[sampler],
        pruner=pruner,
        pruner_options=pruner_options(pruner, 9),
        seed=seed,
        seeds=1,
        validation=0.2,
        on_evaluation=False,
        base={},
        dataset="d",
        subject="s",
        optuna=VERSION,
    )


def value(draws: Mapping[str, Any]) -> float:
    """Best where S2 is reversed with a lambda of 1 and alpha is 0.3."""
    condition = SPACE.condition(draws).levels
    return float(
        (condition["grl_pos"] == "S2") - (condition["alpha"] - 0.3) ** 2 - 0.01 * condition["lambda"]
    )


def begun(plan: Plan) -> tuple[Asker, Told]:
    """A search whose first trial is the baseline, as always."""
    asker, baseline = Asker(plan, SPACE, "x"), dict(SPACE.baseline()[1] or {})
    asker.take(baseline)
    asker.tell(0, [value(baseline)])
    return asker, [(baseline, value(baseline))]


def ask(asker: Asker, n: int, told: Told) -> None:
    """Ask for ``n`` more trials and tell each."""
    for _ in range(n):
        draws = asker.ask()
        asker.tell(asker.n_trials - 1, [value(draws)])
        told.append((draws, value(draws)))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_that_was_broken_off_asks_what_the_undisturbed_one_asks(sampler: str) -> None:
    n = N_TRIALS.get(sampler, 50)
    asker, undisturbed = begun(plan(sampler))
    ask(asker, n - 1, undisturbed)
    resumed = Asker(plan(sampler), SPACE, "x")
    for number, (draws, score) in enumerate(undisturbed[: n - 4]):
        assert resumed.restore(draws), "it would draw otherwise"
        resumed.tell(number, [score])
    rest: Told = []
    ask(resumed, 4, rest)
    assert rest == undisturbed[n - 4 :]


def test_another_seed_draws_otherwise() -> None:
    assert Asker(plan(seed=0), SPACE, "x").ask() != Asker(plan(seed=1), SPACE, "x").ask()


def test_what_is_drawn_in_a_batch_differs() -> None:
    """Trials under way count as known to be poor, so that the next one is drawn elsewhere."""
    asker, told = begun(plan())
    ask(asker, 12, told)
    batch = [tuple(asker.ask().items()) for _ in range(8)]
    assert len(set(batch)) == 8


def test_the_model_finds_the_word_and_the_number() -> None:
    asker, told = begun(plan())
    ask(asker, 60, told)
    best, score = max(told, key=lambda trial: trial[1])
    assert best["grl_pos"] == "S2"
    assert best["alpha"] == pytest.approx(0.3, abs=0.1)
    assert score > 0.95


def test_a_baseline_outside_of_the_space_has_a_number_and_no_say() -> None:
    asker = Asker(plan(), SPACE, "x")
    asker.take(None)
    assert asker.n_trials == 1
    draws = asker.ask()
    asker.tell(1, [value(draws)])


def test_a_failed_and_a_pruned_trial_are_told_as_such() -> None:
    asker = Asker(plan(pruner="median"), SPACE, "x")
    for _ in range(2):
        asker.ask()
    asker.report(0, 1, 0.5)
    asker.tell_pruned(0)
    asker.tell(1, None)
    assert asker.ask()


def test_the_median_pruner_gives_up_what_is_below_the_median() -> None:
    asker = Asker(plan(pruner="median"), SPACE, "x")
    for number, height in enumerate([1.0, 2.0, 3.0, 4.0, 5.0]):
        asker.ask()
        for epoch in (1, 2, 3):
            asker.report(number, epoch, height * epoch)
        asker.tell(number, [height])
    for height, hopeless in ((2.5, True), (3.5, False)):
        asker.ask()
        assert asker.report(asker.n_trials - 1, 3, 3 * height) is hopeless


@pytest.mark.parametrize(
    ("sampler", "pruner", "n", "problem"),
    [
        ("cmaes", "none", 2, "--sampler cmaes is for one objective"),
        ("tpe", "median", 2, "--prune median is for one objective"),
    ],
)
def test_what_is_for_one_objective_is_refused_for_two(
    sampler: str, pruner: str, n: int, problem: str
) -> None:
    check_method(sampler, pruner, 1)
    with pytest.raises(ConfigError, match=problem):
        check_method(sampler, pruner, n)


@pytest.mark.parametrize(
    ("name", "epochs", "after", "options"),
    [
        ("none", 40, None, {}),
        ("median", 40, None, {"n_warmup_steps": 8}),
        ("median", 3, None, {"n_warmup_steps": 1}),
        ("percentile", 40, 10, {"n_warmup_steps": 10}),
        ("hyperband", 40, None, {"min_resource": 2, "max_resource": 40}),
        ("hyperband", 40, 5, {"min_resource": 5, "max_resource": 40}),
    ],
)
def test_nothing_is_given_up_in_the_first_epochs(
    name: str, epochs: int, after: int | None, options: dict[str, int]
) -> None:
    assert pruner_options(name, epochs, after).items() >= options.items()


@pytest.mark.parametrize(
    ("name", "after", "problem"),
    [
        ("none", 3, "--prune-after 3 is for --prune"),
        ("median", 40, "--prune-after 40: runs have 40 epochs, so that nothing would be pruned"),
    ],
)
def test_a_pruner_without_epochs_is_refused(name: str, after: int, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        pruner_options(name, 40, after)


def test_two_objectives_are_told_together() -> None:
    asker = Asker(plan("nsga2", n_objectives=2), SPACE, "x")
    for number in range(25):
        draws = asker.ask()
        asker.tell(number, [value(draws), -value(draws)])
    assert asker.n_trials == 25
