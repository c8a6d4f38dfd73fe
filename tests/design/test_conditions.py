"""Designs, and the collapse of equivalent cells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.design.conditions import canonical, check_size
from ablate.design.study import Study, plan_study
from ablate.ground.errors import ConfigError
from ablate.mtl.config import RunConfig
from ablate.mtl.definition import subject
from ablate.subject.factors import Factor, Factors, Inert

KNOWN = subject.known_factors
POSITIONS = ["baseline", "grl_pos=S1", "grl_pos=S2", "grl_pos=E1", "grl_pos=E2"]


def _plan(factors: str, levels: dict[str, list[str]] | None = None, **kwargs: object) -> Study:
    return plan_study("s", subject, subject.profile("quick"), factors.split(","), levels or {}, **kwargs)  # type: ignore[arg-type]


def _names(study: Study) -> list[str]:
    return [condition.name for condition in study.conditions]


def test_full_design_is_the_product_with_the_last_factor_fastest() -> None:
    names = _names(_plan("grl_pos,shuffle"))
    assert len(names) == 15
    assert names[:4] == ["baseline", "shuffle=scene", "shuffle=event", "grl_pos=S1"]


def test_five_positions_and_three_lambdas_are_thirteen_conditions() -> None:
    study = _plan("grl_pos,lambda", {"lambda": ["0.1", "1", "10"]})
    assert len(study.conditions) == 13
    assert [(cell.name, cell.same_as) for cell in study.collapsed] == [
        ("lambda=0.1", "baseline"),
        ("lambda=10", "baseline"),
    ]
    assert "none is reversed" in study.collapsed[0].why


def test_one_factor_at_a_time_starts_at_the_baseline() -> None:
    assert _names(_plan("grl_pos,shuffle", design="ofat")) == [*POSITIONS, "shuffle=scene", "shuffle=event"]


def test_one_factor_at_a_time_collapses_lambda_without_a_reversal() -> None:
    study = _plan("grl_pos,lambda", {"lambda": ["0.1", "1", "10"]}, design="ofat")
    assert _names(study) == POSITIONS
    assert [cell.name for cell in study.collapsed] == ["lambda=0.1", "lambda=10"]


def test_a_level_spelt_twice_is_one_condition() -> None:
    assert len(_plan("lambda", {"grl_pos": ["S1"], "lambda": ["1", "1.0", "1e0"]}).conditions) == 1


def test_an_inert_setting_given_by_hand_makes_no_other_training() -> None:
    base = subject.profile("quick").override({"labels.redraw": "every_epoch"})
    by_hand = plan_study("s", subject, base, ["shuffle"], {"shuffle": ["none", "scene"]}).conditions
    without = _plan("shuffle", {"shuffle": ["none", "scene"]}).conditions
    assert by_hand[0].config == without[0].config
    assert by_hand[1].config != without[1].config


def test_a_setting_that_the_data_settle_has_one_level() -> None:
    known = KNOWN.on_data({"tasks": Inert("event", "the data have no scenes")})
    study = _plan("tasks,grl_pos", known=known)
    assert _names(study) == ["baseline", "grl_pos=E1", "grl_pos=E2"]
    assert {condition.levels["tasks"] for condition in study.conditions} == {"event"}
    assert study.remarks == ("the data have no scenes: tasks=event in all runs",)
    assert study.collapsed[0].why.startswith(
        "tasks=both is inert: the data have no scenes; grl_pos=S1 is inert"
    )


def test_no_other_level_can_be_asked_for_than_the_data_settle() -> None:
    known = KNOWN.on_data({"tasks": Inert("event", "the data have no scenes")})
    for level in ("both", "event"):  # nobody asks for a default on purpose
        plan_study("s", subject, subject.default.override({"tasks": level}), ["grl_pos"], {}, known=known)
    with pytest.raises(ConfigError, match="tasks=scene: the data have no scenes"):
        plan_study("s", subject, subject.default.override({"tasks": "scene"}), ["grl_pos"], {}, known=known)


def test_rules_that_contradict_each_other_are_refused() -> None:
    width = Factor(
        "width",
        "model.width",
        (0.5, 1.0),
        "",
        lambda config: Inert(1.5 - config.model.width, "never") if config.model.width < 2 else None,
    )
    known = Factors(RunConfig(), [width])
    with pytest.raises(ConfigError, match="contradict each other"):
        plan_study("s", subject, RunConfig(), ["width"], {}, known=known)


def test_levels_name_their_factor() -> None:
    assert _names(_plan("grl_pos", {"lambda": ["0", "1"]})) == [
        "baseline",
        *(name for position in POSITIONS[1:] for name in (f"{position} lambda=0", position)),
    ]


def test_a_condition_has_a_level_for_every_factor() -> None:
    study = _plan("grl_pos,optim.lr", {"optim.lr": ["0.1"]})
    assert study.conditions[1].levels == {
        "tasks": "both",
        "alpha": 1e-4,
        "beta": 1.0,
        "shuffle": "none",
        "without": "none",
        "grl_pos": "S1",
        "lambda": 1.0,
        "median": 0.0,
        "boxes": False,
        "optim.lr": 0.1,
    }


configs = st.builds(
    lambda **values: RunConfig().override({KNOWN[name].field: value for name, value in values.items()}),
    tasks=st.sampled_from(["both", "scene", "event"]),
    alpha=st.sampled_from([0, 1e-4, 1]),
    beta=st.sampled_from([0, 0.5, 1]),
    shuffle=st.sampled_from(["none", "scene", "event", "both"]),
    grl_pos=st.sampled_from(["none", "S1", "S2", "E1", "E2"]),
    **{"lambda": st.sampled_from([0, 0.1, 1, 10])},
)


@given(configs)
def test_a_canonical_configuration_is_its_own_canonical_form(config: RunConfig) -> None:
    once, _ = canonical(config, KNOWN.rules_beside(list(KNOWN.values())))
    again, reasons = canonical(once, KNOWN.rules_beside(list(KNOWN.values())))
    assert again == once
    assert reasons == []


@given(configs)
def test_the_order_in_which_factors_are_asked_does_not_matter(config: RunConfig) -> None:
    factors = KNOWN.rules_beside(list(KNOWN.values()))
    assert canonical(config, factors)[0] == canonical(config, factors[::-1])[0]


def test_a_study_of_a_hundred_thousand_runs_is_the_largest() -> None:
    check_size(100_000, 1)
    check_size(2_000, n_seeds=10, n_folds=5)
    with pytest.raises(ConfigError, match="100,001 conditions x 1 seeds are more than the 100,000 runs"):
        check_size(100_001, 1)
    with pytest.raises(ConfigError, match="20,001 conditions x 1 seeds x 5 folds are more"):
        check_size(20_001, n_seeds=1, n_folds=5)
