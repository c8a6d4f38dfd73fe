"""What a search chooses by: never the data that its best are judged on, unless the user says so."""

import pytest

from ablate.design.selection import hold_out, objectives_of
from ablate.ground.errors import ConfigError
from ablate.mtl.definition import subject

BASE = subject.profile("quick")
SCORE = {"event_micro_f": "max"}


@pytest.mark.parametrize(
    ("of_base", "share", "held_out"),
    [(0.0, None, 0.2), (0.0, 0.3, 0.3), (0.1, None, 0.1), (0.1, 0.3, 0.3)],
)
def test_a_share_of_the_training_data_is_held_out(
    of_base: float, share: float | None, held_out: float
) -> None:
    base = BASE.override({"validation.share": of_base})
    config, chosen = hold_out(subject, base, SCORE, share, on_evaluation=False)
    assert chosen == held_out
    assert config == BASE.override({"validation.share": held_out})


def test_the_evaluation_data_are_chosen_by_only_when_that_is_said() -> None:
    with pytest.raises(ConfigError, match="--validation 0 would choose by the evaluation data"):
        hold_out(subject, BASE, SCORE, 0.0, on_evaluation=False)
    base = BASE.override({"validation.share": 0.1})
    assert hold_out(subject, base, SCORE, None, on_evaluation=True) == (BASE, 0.0)
    with pytest.raises(ConfigError, match=r"--on-evaluation and --validation 0.3 contradict each other"):
        hold_out(subject, BASE, SCORE, 0.3, on_evaluation=True)


def test_a_search_scores_on_a_share_not_on_folds() -> None:
    with pytest.raises(ConfigError, match="--folds: a search scores its trials on a share"):
        hold_out(subject, BASE.override({"validation.folds": 3}), SCORE, None, on_evaluation=False)


def test_objectives_are_one_or_two_metrics_and_which_way_is_better() -> None:
    assert objectives_of(subject, "event_micro_f", None, None) == SCORE
    both = objectives_of(subject, "event_micro_f", None, "scene_micro_f")
    assert list(both.items()) == [("event_micro_f", "max"), ("scene_micro_f", "max")]
    assert objectives_of(subject, "event_micro_f", None, "scene_micro_f:max") == both


@pytest.mark.parametrize(
    ("maximize", "minimize", "second", "problem"),
    [
        (None, None, None, "say what the search is for"),
        ("event_micro_f", "scene_micro_f", None, "say what the search is for"),
        ("event_micro_ff", None, None, "unknown metric 'event_micro_ff'"),
        (None, "event_micro_f", None, "of 'event_micro_f' more is better: say --maximize"),
        ("event_micro_f", None, "scene_micro_f:min", "of 'scene_micro_f' more is better: say --maximize"),
        ("event_micro_f", None, "event_micro_f", "that is the first objective already"),
        ("event_micro_f", None, "scene_micro_f:most", "write METRIC, METRIC:max or METRIC:min"),
    ],
)
def test_what_is_no_objective_is_a_sentence(
    maximize: str | None, minimize: str | None, second: str | None, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        objectives_of(subject, maximize, minimize, second)
