"""The space of a search: what may be typed, what is drawn, and which conditions follow."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.design.conditions import canonical
from ablate.design.space import Dimension, Range, Space, make_space, parse_ranges
from ablate.ground.errors import ConfigError
from ablate.mtl.config import RunConfig
from ablate.mtl.definition import subject

KNOWN = subject.known_factors


def space(*factors: str, base: RunConfig | None = None, ranges: tuple[str, ...] = (), **levels: str) -> Space:
    texts = {name: text.split(",") for name, text in levels.items()}
    return make_space(base or RunConfig(), KNOWN, factors, texts, parse_ranges(ranges))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lambda=0.01:10:log", Range(0.01, 10.0, log=True)),
        ("beta=0:1", Range(0.0, 1.0)),
        ("optim.batch_size=8:64:log:int", Range(8.0, 64.0, log=True, integer=True)),
        ("x=-1e-3:.5", Range(-0.001, 0.5)),
    ],
)
def test_a_range_is_two_ends_and_its_scale(text: str, expected: Range) -> None:
    (found,) = parse_ranges([text]).values()
    assert found == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("lambda=0:10:log", "on a log scale there is no 0; begin above 0"),
        ("lambda=10:1", "10 should be less than 1"),
        ("lambda=1", "write FACTOR=LOW:HIGH"),
        ("lambda=1:2:lin", "write FACTOR=LOW:HIGH"),
        ("lambda=one:two", "write FACTOR=LOW:HIGH"),
        ("lambda=1:inf", "write FACTOR=LOW:HIGH"),
        ("=1:2", "write FACTOR=LOW:HIGH"),
        ("epochs=1.5:3:int", "both ends are whole numbers"),
    ],
)
def test_a_bad_range_is_a_sentence(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match="--range ") as caught:
        parse_ranges([text])
    assert problem in str(caught.value)


def test_all_that_is_wrong_with_a_space_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        space(
            "nonsense",
            "optim.lr",
            "seed",
            ranges=("grl_pos=1:2", "alpha=-1:1", "optim.epochs=1:2.5", "beta=0:1"),
            beta="0.1,1",
        )
    assert [problem.split(";")[0] for problem in caught.value.problems] == [
        "unknown factor 'nonsense'",
        "factor 'optim.lr' has no default levels",
        "seed is the replicate and no level to choose",
        "factor 'beta' has both --levels and --range",
        "factor 'grl_pos': a range is for numbers, and its levels are words (none, S1, S2, E1, E2)",
        "factor 'alpha': loss.alpha = '-1': input should be greater than or equal to 0",
        "factor 'optim.epochs' takes whole numbers, and 1:2.5 has others at its ends",
    ]


def test_a_space_of_nothing_is_no_space() -> None:
    with pytest.raises(ConfigError, match="name what to search over"):
        space()


def test_what_cannot_matter_is_not_drawn() -> None:
    """Lambda scales a reversal: it is drawn after the position, and where there is one."""
    found = space("grl_pos", ranges=("lambda=0.1:10:log",), alpha="0.1,1")
    assert [dimension.name for dimension in found.dimensions] == ["alpha", "grl_pos", "lambda"]
    levels = {"alpha": 0.1, "grl_pos": "none", "lambda": 3.0}
    assert found.draw(lambda dimension: levels[dimension.name]) == {"alpha": 0.1, "grl_pos": "none"}
    levels["grl_pos"] = "S1"
    assert found.draw(lambda dimension: levels[dimension.name]) == levels


def test_a_condition_is_named_by_what_differs_from_the_base() -> None:
    found = space("grl_pos", ranges=("lambda=0.1:10:log",))
    condition = found.condition({"grl_pos": "S1", "lambda": 0.123456789})
    assert condition.name == "grl_pos=S1 lambda=0.1235"
    assert condition.config.get("grl.strength") == 0.1235
    assert condition.levels["grl_pos"] == "S1"


def test_the_baseline_is_a_draw_where_it_lies_in_the_space() -> None:
    assert space("grl_pos", ranges=("lambda=0.1:10:log",)).baseline()[1] == {"grl_pos": "none"}
    condition, draws = space(ranges=("beta=0.1:0.5",)).baseline()  # beta is 1
    assert draws is None
    assert condition.name == "baseline"


def test_whole_numbers_stay_whole() -> None:
    found = space(ranges=("optim.batch_size=8:64:log",))
    assert found.dimensions[0].range == Range(8.0, 64.0, log=True, integer=True)
    assert found.condition({"optim.batch_size": 12}).config.get("optim.batch_size") == 12


@given(st.floats(0.01, 10.0))
def test_a_level_lies_within_its_range_and_is_its_own_level(draw: float) -> None:
    within = Range(0.01, 10.0, log=True)
    level = within.level(draw)
    assert 0.01 <= level <= 10.0
    assert within.level(level) == level
    assert level == pytest.approx(draw, rel=1e-3)


@given(st.integers(0, 2**32))
def test_conditions_are_canonical(seed: int) -> None:
    """Whatever is drawn, no level of the condition is inert but at the level that says so."""
    rng = random.Random(seed)
    found = space("tasks", "shuffle", "grl_pos", ranges=("lambda=0.1:10:log", "alpha=0:1"))

    def choose(dimension: Dimension) -> object:
        if dimension.range is None:
            return rng.choice(dimension.levels)
        return rng.uniform(dimension.range.low, dimension.range.high)

    draws = found.draw(choose)
    config = found.condition(draws).config
    rules = KNOWN.rules_beside(KNOWN.described([]))
    assert canonical(config, rules) == (config, [])
