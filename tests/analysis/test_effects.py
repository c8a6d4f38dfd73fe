"""Effects by hand: grids of known effects, the same alone and in company, ladders, and what is none."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from ablate.analysis.effects import Effects, effects, refuse_search
from ablate.analysis.query import load_runs
from ablate.analysis.variance import variance_shares
from ablate.design.study import plan_study
from ablate.ground.errors import StudyError
from ablate.ground.files import write_json
from ablate.mtl.definition import subject
from ablate.record.rundir import State
from ablate.record.store import Store
from ablate.subject.settings import Settings
from tests.analysis.programs import PROGRAM, add_condition, losses
from tests.fabricate import CARD, DATASET, fabricate_run

# Loss by (lr, dropout) and seed: about 10, 14 with lr, 12 with dropout, 20 with both; a seed's own level is
# up to 2 more or 1 less.
CELLS = {
    (0.1, 0.0): (10.0, 11.2, 12.5, 9.1),
    (0.2, 0.0): (14.1, 15.0, 16.2, 13.4),
    (0.1, 0.5): (12.0, 13.3, 14.1, 11.2),
    (0.2, 0.5): (20.2, 20.9, 22.3, 19.1),
}


def name_of(rate: float, dropout: float) -> str:
    parts = [f"lr={rate}"] * (rate != 0.1) + [f"dropout={dropout}"] * (dropout != 0.0)
    return " ".join(parts) or "baseline"


def add_cells(store: Store, cells: Mapping[tuple[float, float], Sequence[float]] = CELLS) -> None:
    for (rate, dropout), values in cells.items():
        add_condition(store, name_of(rate, dropout), {"lr": rate, "dropout": dropout}, losses(*values))


def of_program(store: Store, *, metrics: Sequence[str] | None = ("loss",)) -> list[Effects]:
    """The effects of the study "s" of a program whose code is gone."""
    return effects(load_runs(store, "s"), "s", None, metrics=metrics, command="ablate grid s --design ofat")


def by_label(found: Effects, metric: int = 0) -> dict[str, dict[str, float]]:
    return {
        row.label: {kind: effect.difference.mean for kind, effect in row.effects.items()}
        for row in found.metrics[metric].rows
    }


# ----------------------------------------------------------------------------------------------- a 2 x 2 grid


@pytest.fixture
def store(tmp_path: object) -> Store:
    return Store(tmp_path)  # type: ignore[arg-type]


def test_main_effects_and_the_interaction_are_contrasts_within_each_seed(store: Store) -> None:
    add_cells(store)
    grid, _ = of_program(store)
    one, two, three, four = (
        np.array(CELLS[cell]) for cell in ((0.1, 0.0), (0.2, 0.0), (0.1, 0.5), (0.2, 0.5))
    )
    by_hand = {
        "lr=0.2": (two + four - one - three) / 2,
        "dropout=0.5": (three + four - one - two) / 2,
        "lr=0.2 x dropout=0.5": four - three - two + one,
    }
    assert grid.kind == "grid"
    assert [row.label for row in grid.metrics[0].rows] == list(by_hand)
    p_values = []
    for row, values in zip(grid.metrics[0].rows, by_hand.values(), strict=True):
        found, expected = row.effects["effect"].difference, ttest_1samp(values, 0)
        interval = expected.confidence_interval(0.95)
        assert found.mean == pytest.approx(values.mean())
        assert found.p == pytest.approx(expected.pvalue)
        assert (found.ci_low, found.ci_high) == pytest.approx((interval.low, interval.high))
        p_values.append(expected.pvalue)
    smallest, middle, largest = sorted(p_values)
    adjusted = sorted(row.effects["effect"].p_holm or 0.0 for row in grid.metrics[0].rows)
    assert adjusted == pytest.approx([3 * smallest, max(3 * smallest, 2 * middle), max(2 * middle, largest)])


def test_alone_in_company_and_their_difference_are_those_of_the_cells(store: Store) -> None:
    means = dict(zip(CELLS, (10.0, 14.0, 12.0, 20.0), strict=True))
    add_cells(store, {cell: (mean, mean + 1) for cell, mean in means.items()})
    _, both = of_program(store)
    assert both.kind == "both"
    assert by_label(both) == {
        "lr=0.2": pytest.approx({"alone": 4, "in company": 8, "interaction": 4}),
        "dropout=0.5": pytest.approx({"alone": 2, "in company": 6, "interaction": 4}),
    }


def test_shares_of_variance_by_hand() -> None:
    """Means 0, 2 / 4, 10: effects of +-3 and +-2, an interaction of +-1; one cell is 1 higher in one seed."""
    means = np.array([[0.0, 2.0], [4.0, 10.0]])
    scores = np.stack([means, means], axis=-1)
    scores[0, 0] += [1, -1]
    # Of that +-1, the seeds' own level takes 1/4: 0.75 stays in the cell, 0.25 in each of the three others.
    noise = 2 * 0.75**2 + 6 * 0.25**2
    total = 2 * 4 * (3**2 + 2**2 + 1**2) + noise
    assert variance_shares(scores, ["a", "b"]) == pytest.approx(
        {"a": 72 / total, "b": 32 / total, "a x b": 8 / total, "seeds": noise / total}
    )
    twice = np.concatenate([scores, scores], axis=-1)  # as many seeds again, which differ no more
    assert variance_shares(twice, ["a", "b"]) == pytest.approx(variance_shares(scores, ["a", "b"]))


def test_what_only_three_factors_do_together_is_beyond_pairs() -> None:
    signs = [a * b * c for a, b, c in product((-1, 1), repeat=3)]
    scores = np.array(signs, dtype=float).reshape(2, 2, 2, 1).repeat(2, axis=-1)
    shares = variance_shares(scores, ["a", "b", "c"])
    assert shares["higher interactions"] == pytest.approx(1)
    alone = np.array([0.0, 1.0]).reshape(2, 1, 1, 1) * np.ones((2, 2, 2, 2))
    assert variance_shares(alone, ["a", "b", "c"])["higher interactions"] == pytest.approx(0)
    assert variance_shares(np.ones((2, 2, 3)), ["a", "b"]) == {}


@given(st.lists(st.floats(-100, 100), min_size=24, max_size=24))
def test_shares_sum_to_one_and_a_seed_s_own_level_is_none_of_them(values: list[float]) -> None:
    scores = np.array(values).reshape(2, 3, 4)
    shares = variance_shares(scores, ["a", "b"])
    assert not shares or sum(shares.values()) == pytest.approx(1)
    shifted = variance_shares(scores + np.array([0.0, 5.0, -3.0, 100.0]), ["a", "b"])
    if np.ptp(scores) > 1e-3:
        assert shifted == pytest.approx(shares, abs=1e-6)


def test_an_interaction_that_is_certain_is_drawn_with_the_cells_means(store: Store) -> None:
    add_cells(store)
    grid, _ = of_program(store)
    (drawn,) = grid.interactions
    assert (drawn.factor, drawn.ticks) == ("lr", ("0.1", "0.2"))
    assert {line.label: [score.mean for score in line.scores] for line in drawn.lines} == {
        f"dropout={dropout:g}": [pytest.approx(np.mean(CELLS[rate, dropout])) for rate in (0.1, 0.2)]
        for dropout in (0.0, 0.5)
    }


@pytest.mark.parametrize(
    ("rates", "dropouts", "factor", "ticks"),
    [
        ((0.1, 0.2), (0.0, 0.9, 0.5), "dropout", ("0", "0.5", "0.9")),
        ((0.1, 0.4, 0.2), (0.0, 0.5), "lr", ("0.1", "0.2", "0.4")),
        ((True, False), (0.0, 0.5), "lr", ("True", "False")),  # words, not the numbers 1 and 0
    ],
)
def test_lines_run_along_the_factor_with_more_levels_which_rise(
    store: Store, rates: Sequence[float], dropouts: Sequence[float], factor: str, ticks: tuple[str, ...]
) -> None:
    for rate, dropout in product(rates, dropouts):
        both = (rate != rates[0]) and (dropout != 0)
        scores = losses(*(10 * both + 0.1 * seed * (1 + both) for seed in range(4)))
        name = f"lr={rate} dropout={dropout}" if rate != rates[0] or dropout else "baseline"
        card = replace(PROGRAM, default={"lr": rates[0], "dropout": 0.0, "seed": 0})
        add_condition(store, name, {"lr": rate, "dropout": dropout}, scores, card=card)
    (drawn,) = of_program(store)[0].interactions
    assert (drawn.factor, drawn.ticks) == (factor, ticks)


def test_a_factor_of_several_levels_has_an_effect_for_each_but_the_baseline_s(store: Store) -> None:
    for rate, dropout in product((0.1, 0.2, 0.4), (0.0, 0.5)):
        add_condition(
            store, name_of(rate, dropout), {"lr": rate, "dropout": dropout}, losses(rate, rate + 1, rate)
        )
    (grid,) = of_program(store)
    assert by_label(grid) == {
        "lr=0.2": {"effect": pytest.approx(0.1)},
        "lr=0.4": {"effect": pytest.approx(0.3)},
        "dropout=0.5": {"effect": 0},
        "lr=0.2 x dropout=0.5": {"effect": 0},
        "lr=0.4 x dropout=0.5": {"effect": 0},
    }
    assert grid.metrics[0].shares == pytest.approx({"lr": 1, "dropout": 0, "lr x dropout": 0, "seeds": 0})


def test_factors_that_vary_together_are_one(store: Store) -> None:
    add_condition(store, "baseline", {"lr": 0.1, "dropout": 0.0}, losses(1, 2))
    add_condition(store, "lr=0.2 dropout=0.5", {"lr": 0.2, "dropout": 0.5}, losses(3, 4.5))
    (grid,) = of_program(store)
    assert by_label(grid) == {"lr=0.2 dropout=0.5": {"effect": pytest.approx(2.25)}}


# -------------------------------------------------------------------------- cells that are the same training


def add_planned(store: Store, scores: Mapping[str, float], *, seeds: int = 3, **how: object) -> None:
    """A planned study of the built-in subject with a score for each condition, less in later seeds."""
    study = plan_study("s", subject, subject.profile("quick"), [], seeds=seeds, **how)  # type: ignore[arg-type]
    runs = study.runs(DATASET)
    store.require_writable()
    for run in runs:
        score = (
            scores.get(run.name, 0.5) - 0.01 * run.seed + 0.001 * (run.seed == 1 and run.name == "baseline")
        )
        fabricate_run(store, run, metrics={"event_micro_f": score})
    base = Settings(subject.profile("quick").flat())
    store.add_to_study("s", runs, "ablate grid s --design ofat", card=CARD, base=base)


def of_subject(store: Store) -> list[Effects]:
    return effects(load_runs(store, "s"), "s", subject, metrics=["event_micro_f"])


def test_a_cell_that_collapsed_is_filled_by_the_condition_that_stands_for_it(store: Store) -> None:
    """Without a reversal lambda does nothing: its effect is half of what it has with S1."""
    scores = {"grl_pos=S1": 0.4, "grl_pos=S1 lambda=10": 0.3}
    add_planned(store, scores, levels={"grl_pos": ["none", "S1"], "lambda": ["1", "10"]})
    grid, *_ = of_subject(store)
    assert dict(grid.stand_ins) == {"lambda=10": "baseline"}
    assert by_label(grid) == {
        "grl_pos=S1": {"effect": pytest.approx(-0.15, abs=1e-3)},
        "lambda=10": {"effect": pytest.approx(-0.05, abs=1e-3)},
        "grl_pos=S1 x lambda=10": {"effect": pytest.approx(-0.1, abs=1e-3)},
    }


def test_a_level_that_only_says_inert_is_none_of_the_grid(store: Store) -> None:
    """The baseline has lambda 1, as nothing is reversed in it; the grid is of 0.1 and 10."""
    add_planned(store, {}, levels={"grl_pos": ["none", "S1", "E1"], "lambda": ["0.1", "10"]})
    (grid,) = of_subject(store)
    assert {axis.name: [level[0] for level in axis.levels] for axis in grid.axes} == {
        "grl_pos": ["none", "S1", "E1"],
        "lambda": [0.1, 10],
    }
    assert len(grid.groups) == 5


def test_without_the_code_nobody_can_tell_and_a_sentence_says_so(store: Store) -> None:
    add_planned(store, {}, levels={"grl_pos": ["none", "S1", "E1"], "lambda": ["0.1", "10"]})
    with pytest.raises(StudyError, match="The subject's code is gone"):
        effects(load_runs(store, "s"), "s", None)


# ------------------------------------------------------------------------------------------ the other designs

FOUR = {
    "alpha": ["0.0001", "1"],
    "beta": ["1", "0.5"],
    "optim.lr": ["0.02", "0.01"],
    "grl_pos": ["none", "S1"],
}


def test_both_is_known_by_its_conditions(store: Store) -> None:
    inside = {name: texts[1] for name, texts in FOUR.items()}
    add_planned(store, {"alpha=1": 0.6}, levels=FOUR, design="both", full=inside)
    (both,) = of_subject(store)
    assert (both.kind, len(both.groups), both.n_others) == ("both", 10, 0)
    alpha = both.metrics[0].rows[0]
    assert (alpha.label, alpha.factors) == ("alpha=1", ("alpha",))
    assert by_label(both)["alpha=1"]["alone"] == pytest.approx(0.1, abs=1e-3)
    assert by_label(both)["alpha=1"]["interaction"] == pytest.approx(-0.1, abs=1e-3)
    assert [each.factor for each in both.interactions] == ["alpha"]


def test_each_step_of_a_ladder_is_compared_with_the_one_before(store: Store) -> None:
    scores = {"alpha=1": 0.6, "alpha=1 beta=0.5": 0.65, "alpha=1 beta=0.5 optim.lr=0.01": 0.6}
    levels = {name: FOUR[name] for name in ("beta", "alpha", "optim.lr")}
    add_planned(store, {**scores, "beta=0.5": 0.55}, levels=levels, design="ladder")
    (ladder,) = of_subject(store)
    assert ladder.kind == "ladder"
    assert list(by_label(ladder)) == ["+ beta=0.5", "+ alpha=1", "+ optim.lr=0.01"]
    assert by_label(ladder)["+ alpha=1"] == {"effect": pytest.approx(0.1)}


@pytest.mark.parametrize("design", ["ofat", "leave-one-out"])
def test_what_is_no_such_design_names_what_is_missing_and_what_to_type(store: Store, design: str) -> None:
    add_planned(store, {}, levels=FOUR, design=design)
    with pytest.raises(StudyError) as caught:
        effects(load_runs(store, "s"), "s", subject, command=f"ablate grid s --design {design} --seeds 3")
    (sentence,) = caught.value.problems
    n_there = {"ofat": 5, "leave-one-out": 6}[design]
    assert (
        f"of the 16 combinations of alpha (2) x beta (2) x grl_pos (2) x optim.lr (2), {16 - n_there} "
        in sentence
    )
    assert " and " in sentence
    assert "`ablate grid s --seeds 3 --design full` trains them, --design both fewer" in sentence


# ----------------------------------------------------------------------------------- seeds, metrics, searches


def test_all_effects_are_over_the_seeds_that_every_condition_has(store: Store) -> None:
    add_cells(store)
    more = [*losses(*CELLS[0.2, 0.0]), *losses(17), State.PENDING]
    add_condition(store, "lr=0.2", {"lr": 0.2, "dropout": 0.0}, more)
    grid, _ = of_program(store)
    assert grid.metrics[0].seeds == (0, 1, 2, 3)
    short = {cell: values[:1] for cell, values in CELLS.items()}
    other = Store(store.root / "other")
    add_cells(other, short)
    with pytest.raises(
        StudyError, match="at least 2 seeds that all 4 conditions have, and they share seed 0"
    ):
        of_program(other)


def test_a_metric_that_a_condition_has_not_is_left_out_by_name(store: Store) -> None:
    for (rate, dropout), values in CELLS.items():
        scores = [{"loss": value, "accuracy": None if rate == 0.2 else 0.5} for value in values]
        add_condition(store, name_of(rate, dropout), {"lr": rate, "dropout": dropout}, scores)
    grid, _ = of_program(store, metrics=None)
    assert [found.metric for found in grid.metrics] == ["loss"]
    assert grid.left_out == ("accuracy is left out: it has no value in lr=0.2; lr=0.2 dropout=0.5.",)
    with pytest.raises(StudyError, match="study 's': accuracy is left out"):
        of_program(store, metrics=["accuracy"])


def test_one_condition_has_no_effects(store: Store) -> None:
    add_condition(store, "baseline", {"lr": 0.1, "dropout": 0.0}, losses(1, 2))
    with pytest.raises(StudyError, match="varies nothing"):
        of_program(store)


def test_the_study_of_a_search_is_refused(store: Store) -> None:
    add_cells(store)
    refuse_search(store, "s")
    store.study_folder("s").mkdir()
    write_json(store.study_folder("s") / "search.json", {})
    with pytest.raises(StudyError, match="study 's' is a search"):
        refuse_search(store, "s")
