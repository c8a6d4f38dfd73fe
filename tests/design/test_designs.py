"""The designs as laws, and by hand on few factors; what is zipped, left out and added."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.design.conditions import canonical
from ablate.design.designs import DESIGNS, Axis, Design
from ablate.design.study import Study, plan_study
from ablate.design.typed import parse_also, parse_full, parse_zips
from ablate.ground.errors import ConfigError
from ablate.mtl.definition import subject

BASE = subject.profile("quick")
KNOWN = subject.known_factors
# Settings that always matter, each with the baseline's level first.
NAMES = ("optim.lr", "optim.epochs", "optim.batch_size", "model.width")


def levels_of(sizes: list[int]) -> dict[str, list[str]]:
    """So many levels of each of the settings, the baseline's among them."""
    found = {}
    for name, size in zip(NAMES, sizes, strict=False):
        own = BASE.get(name)
        found[name] = [str(own), *(str(own * (k + 2)) for k in range(size - 1))]
    return found


def plan(levels: dict[str, list[str]], design: str = "full", **more: Any) -> Study:
    return plan_study("s", subject, BASE, [], levels, design=design, seeds=1, **more)  # type: ignore[arg-type]


def names(study: Study) -> list[str]:
    return [condition.name for condition in study.conditions]


def configs(study: Study) -> set[Any]:
    return {condition.config for condition in study.conditions}


ABC = {"optim.lr": ["0.01", "0.02"], "optim.epochs": ["20", "40"], "model.width": ["0.125", "0.25"]}
A, B, C = "optim.lr=0.02", "optim.epochs=40", "model.width=0.25"


def on(**more: Any) -> Study:
    """A study of three settings, each 1 or 2, of which the baseline has 1."""
    base = BASE.override({"optim.lr": 0.01, "optim.epochs": 20, "model.width": 0.125})
    return plan_study("s", subject, base, [], ABC, seeds=1, **more)


def test_leave_one_out_is_the_baseline_the_full_system_and_the_full_system_less_each() -> None:
    study = on(design="leave-one-out")
    assert [set(name.split()) for name in names(study)] == [{"baseline"}, {A, B, C}, {B, C}, {A, C}, {A, B}]
    assert study.remarks == (f"the full system has {A} {B} {C}",)


def test_a_ladder_adds_one_factor_after_the_other_and_says_that_order_matters() -> None:
    study = on(design="ladder")
    assert [set(name.split()) for name in names(study)] == [{"baseline"}, {A}, {A, B}, {A, B, C}]
    assert study.remarks == (
        f"the ladder adds {A}, then {B}, then {C}; what a step shows depends on this order",
    )


sizes = st.lists(st.integers(2, 3), min_size=1, max_size=4)


@given(sizes, st.sampled_from(sorted(DESIGNS)))
def test_the_conditions_of_every_design_are_distinct_and_canonical(sizes: list[int], design: str) -> None:
    levels = {**levels_of(sizes), "grl_pos": ["none", "S1"], "lambda": ["1", "10"]}
    full = {name: texts[1] for name, texts in levels.items()} if DESIGNS[design].needs_full else {}  # type: ignore[index]
    study = plan(levels, design, full=full)
    assert len(configs(study)) == len(study.conditions) == len(set(names(study)))
    rules = KNOWN.rules_beside(list(KNOWN.values()))
    assert all(canonical(condition.config, rules) == (condition.config, []) for condition in study.conditions)


@given(sizes)
def test_one_at_a_time_and_leaving_one_out_are_parts_of_the_full_design_and_together_are_both(
    sizes: list[int],
) -> None:
    levels = levels_of(sizes)
    inside = {name: texts[-1] for name, texts in levels.items()}
    full, ofat = configs(plan(levels)), configs(plan(levels, "ofat"))
    left_out, both = (configs(plan(levels, design, full=inside)) for design in ("leave-one-out", "both"))
    assert ofat <= full
    assert left_out <= full
    assert both == ofat | left_out


@given(sizes)
def test_a_ladder_has_a_step_for_each_factor(sizes: list[int]) -> None:
    levels = levels_of(sizes)
    study = plan(levels, "ladder", full={name: texts[-1] for name, texts in levels.items()})
    assert len(study.conditions) == len(levels) + 1


def axes_of(sizes: list[int]) -> list[Axis]:
    """Axes a, b, ...: so many levels 0, 1, ... of each, 0 in the baseline and the last in the full system."""
    return [
        Axis(tuple({name: level} for level in range(size)), base={name: 0}, inside={name: size - 1})
        for name, size in zip("abcd", sizes, strict=False)
    ]


@pytest.mark.parametrize(
    ("design", "size"),
    [
        ("full", 2 * 3),
        ("ofat", 1 + 2 + 3),  # the baseline's levels, too, are counted, which are no cells of their own
        ("leave-one-out", 2 + 2),
        ("both", 2 + 2 + 3 + 2),
        ("ladder", 1 + 2),
    ],
)
def test_the_size_of_a_design_is_known_before_it_is_listed(design: Design, size: int) -> None:
    assert DESIGNS[design].size(axes_of([2, 3])) == size


@given(sizes, st.sampled_from(sorted(DESIGNS)))
def test_the_size_that_is_checked_first_is_never_less_than_the_number_of_cells(
    sizes: list[int], design: Design
) -> None:
    rule, axes = DESIGNS[design], axes_of(sizes)
    assert len(list(rule.cells(axes))) <= rule.size(axes)


def test_too_large_a_design_is_refused_before_it_is_listed() -> None:
    hundred = [str(k) for k in range(1, 101)]
    levels = dict.fromkeys(("alpha", "beta", "lambda", "optim.epochs"), hundred)
    with pytest.raises(ConfigError, match=r"100,000,002 conditions x 1 seeds"):
        plan(
            {"grl_pos": ["none", "S1"]},
            also=[parse_also(" ".join(f"{name}={','.join(hundred)}" for name in levels))],
        )


class TestZip:
    def test_levels_pair_up(self) -> None:
        study = on(zips=[("optim.lr", "model.width")])
        assert [set(name.split()) for name in names(study)] == [{"baseline"}, {B}, {A, C}, {A, B, C}]

    @given(st.integers(2, 3))
    def test_zipped_factors_are_one_factor_for_every_design(self, size: int) -> None:
        levels = levels_of([size, 2, size])
        zips, inside = [(NAMES[0], NAMES[2])], {name: texts[-1] for name, texts in levels.items()}
        assert len(plan(levels, zips=zips).conditions) == 2 * size
        assert len(plan(levels, "ofat", zips=zips).conditions) == size + 1
        assert len(plan(levels, "ladder", zips=zips, full=inside).conditions) == 3

    def test_one_level_of_the_full_system_says_those_that_go_with_it(self) -> None:
        levels = levels_of([3, 3])
        study = plan(levels, "leave-one-out", zips=[NAMES[:2]], full={NAMES[0]: levels[NAMES[0]][2]})
        assert study.conditions[1].config.get(NAMES[1]) == 3 * BASE.get(NAMES[1])

    @pytest.mark.parametrize(
        ("zips", "sentence"),
        [
            ([NAMES[:2]], "--zip optim.lr,optim.epochs: they need equally many levels, and optim.lr has 2, "),
            ([("optim.lr", "alpha")], "--zip optim.lr,alpha: 'alpha' is not varied; known: optim.lr, "),
            ([NAMES[::2], NAMES[2::-2]], "a factor is in another zip too"),
        ],
    )
    def test_what_cannot_pair_up_is_a_sentence(self, zips: list[tuple[str, ...]], sentence: str) -> None:
        with pytest.raises(ConfigError, match=sentence):
            plan(levels_of([2, 3, 2]), zips=zips)

    def test_one_factor_is_no_zip(self) -> None:
        with pytest.raises(ConfigError, match="--zip 'a,a': write two factors or more"):
            parse_zips(["a,a"])


class TestFullSystem:
    def test_a_factor_with_several_other_levels_needs_to_be_told_which(self) -> None:
        with pytest.raises(ConfigError, match=r"several levels .* \(S1, S2\).* such as --full grl_pos=S1"):
            plan({"grl_pos": ["none", "S1", "S2"]}, "both")

    @pytest.mark.parametrize(
        ("design", "full", "sentence"),
        [
            ("both", "grl_pos=none", "--full grl_pos=none: the full system has a level other than"),
            ("both", "lambda=2", "--full lambda=2: 'lambda' is not varied; known: grl_pos"),
            (
                "ofat",
                "grl_pos=S1",
                "--full grl_pos=S1: design ofat has no full system; .* leave-one-out, both",
            ),
        ],
    )
    def test_a_level_that_no_system_has_is_a_sentence(self, design: str, full: str, sentence: str) -> None:
        with pytest.raises(ConfigError, match=sentence):
            plan({"grl_pos": ["none", "S1"]}, design, full=parse_full([full]))

    def test_a_factor_at_the_baseline_adds_nothing(self) -> None:
        with pytest.raises(ConfigError, match="factor 'grl_pos' has no level but the baseline's"):
            plan({"grl_pos": ["none"]}, "ladder")


class TestExclude:
    @given(st.sampled_from([0.01, 0.02]), st.sampled_from([20, 40]))
    def test_what_matches_is_left_out_and_nothing_else(self, rate: float, epochs: int) -> None:
        whole, part = on(), on(exclude=[f"optim.lr = {rate} and optim.epochs = {epochs}"])
        gone = configs(whole) - configs(part)
        assert len(gone) == len(part.excluded) == 2
        assert {(config.get("optim.lr"), config.get("optim.epochs")) for config in gone} == {(rate, epochs)}

    def test_the_filter_itself_is_the_reason_and_names_settings_that_do_not_vary(self) -> None:
        study = plan({"grl_pos": ["none", "S1", "S2"]}, exclude=["grl_pos = S2 and optim.lr < 1"])
        assert [vars(cell) for cell in study.excluded] == [
            {"name": "grl_pos=S2", "why": "grl_pos = S2 and optim.lr < 1"}
        ]

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("grl_pos = E1", "--exclude 'grl_pos = E1': excludes no combination"),
            ("lambda > 0", "every combination is excluded"),
            ("event_micro_f > 0", "--exclude: unknown name 'event_micro_f'"),
        ],
    )
    def test_nothing_and_everything_are_sentences(self, text: str, sentence: str) -> None:
        with pytest.raises(ConfigError, match=sentence):
            plan({"grl_pos": ["none", "S1"]}, exclude=[text])


class TestAlso:
    def test_one_more_grid_leaves_the_rest_as_in_the_baseline_and_doubles_nothing(self) -> None:
        study = plan({"grl_pos": ["none", "S1"]}, also=[parse_also("grl_pos=S1,S2 lambda=1,10")])
        assert names(study) == [
            "baseline", "grl_pos=S1", "grl_pos=S1 lambda=10", "grl_pos=S2", "grl_pos=S2 lambda=10",
        ]  # fmt: skip
        assert study.designs == ("full", "full")

    def test_a_grid_has_a_design_of_its_own(self) -> None:
        study = plan({"grl_pos": ["none", "S1"]}, also=[parse_also("alpha=0,1 beta=0.5 design=ofat")])
        assert names(study) == ["baseline", "grl_pos=S1", "alpha=0", "alpha=1", "beta=0.5"]

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("", "write FACTOR=X,Y"),
            ("design=ofat", "write FACTOR=X,Y"),
            ("lambda=1 design=oft", "unknown design 'oft'; did you mean 'ofat'"),
            ("lambda='1", "a quote that is not closed"),
        ],
    )
    def test_what_is_no_grid_is_a_sentence(self, text: str, sentence: str) -> None:
        with pytest.raises(ConfigError, match=sentence):
            parse_also(text)

    def test_the_seed_is_not_varied_by_it(self) -> None:
        with pytest.raises(ConfigError, match="--also 'seed=1': the seed is not varied here"):
            plan({"grl_pos": ["none", "S1"]}, also=[parse_also("seed=1")])
