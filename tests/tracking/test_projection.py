"""What MLflow is told of a run, as plain data, before any of it is sent."""

import getpass
import math
from dataclasses import replace
from typing import Any

import pytest

from ablate.record.rundir import State, Status
from ablate.subject.metrics import Metric, Metrics
from ablate.tracking import projection
from ablate.tracking.projection import TAG_LIMIT, Point, points, users_tags
from tests.analysis.folded import CARD as FOLDED
from tests.analysis.folded import fold_run
from tests.fabricate import CARD, make_run
from tests.schedule.test_search import plan
from tests.tracking.runs import CONDITION, S1

HISTORY: list[dict[str, Any]] = [
    {"epoch": 1, "loss": 1.0, "seconds": 2.0},
    {"epoch": 2, "loss": 0.5, "grl_cosine": None, "seconds": 0.5},
    {"epoch": 3, "loss": math.inf},
]
RESULT: dict[str, Any] = {
    "metrics": {"score": 0.75, "f/car": 0.5, "recall/car": 0.25, "none": None},
    "facts": {"n_parameters": 7, "energy_kwh": 0.125, "seed": 9},
    "duration_s": 2.5,
    "device": "cpu",
    "versions": {"torch": "2.9"},
}
METRICS = Metrics([Metric("score"), Metric("f/*"), Metric("recall/*", chart=False)])


@pytest.fixture(autouse=True)
def the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")


def status(**content: Any) -> Status:
    return Status(**{"state": State.FINISHED, "attempt": 2, "host": "here", **content})


class TestPoints:
    def test_times_add_up_the_seconds_of_the_epochs_from_the_start(self) -> None:
        found = points(HISTORY, None, 10_000, METRICS)
        assert [point for point in found if point.key == "curves/loss"][:2] == [
            Point("curves/loss", 1.0, 1, 12_000),
            Point("curves/loss", 0.5, 2, 12_500),
        ]
        assert found[-1].timestamp_ms == 12_500  # an epoch that does not say how long it took

    def test_a_curve_has_no_point_for_none_and_not_a_number_for_infinity(self) -> None:
        found = points(HISTORY, None, 0, METRICS)
        assert "curves/grl_cosine" not in {point.key for point in found}
        assert "curves/epoch" not in {point.key for point in found}
        assert math.isnan(found[-1].value)

    def test_scores_are_at_step_0_when_the_curves_end(self) -> None:
        found = points(HISTORY[:2], RESULT, 10_000, METRICS)
        assert found[-4:] == [
            Point("energy_kwh", 0.125, 0, 12_500),
            Point("score", 0.75, 0, 12_500),
            Point("f/car", 0.5, 0, 12_500),  # of a family that has a chart, as recall has not
            Point("duration_s", 2.5, 0, 12_500),
        ]


class TestTags:
    def test_what_a_run_and_a_report_are_created_with(self) -> None:
        source = {"mlflow.source.name": "ablate", "mlflow.source.type": "LOCAL", "mlflow.user": "ada"}
        run = make_run()
        assert projection.birth_tags(run) == {"ablate.run_id": run.run_id, **source}
        assert projection.report_tags() == {"ablate.run_id": "report", "ablate.kind": "report", **source}

    def test_a_user_without_a_name_is_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def nobody() -> str:
            raise KeyError("getpwuid(): uid not found: 1234")

        monkeypatch.setattr(getpass, "getuser", nobody)
        assert "mlflow.user" not in projection.report_tags()

    def test_where_the_numbers_of_a_finished_run_come_from(self) -> None:
        run = make_run()
        assert projection.tags(run, status(cause="of an attempt before"), RESULT) == {
            "ablate.condition_id": run.condition_id,
            "ablate.attempt": "2",
            "ablate.host": "here",
            "ablate.device": "cpu",
            "version.torch": "2.9",
        }

    @pytest.mark.parametrize("state", [State.FAILED, State.INTERRUPTED, State.PRUNED])
    def test_a_run_that_stopped_says_why(self, state: State) -> None:
        found = projection.tags(make_run(), status(state=state, cause="x" * 6000), None)
        assert found["ablate.cause"] == "x" * TAG_LIMIT
        assert "ablate.cause" not in projection.tags(make_run(), status(state=state), None)

    def test_a_host_that_is_not_known_is_left_out(self) -> None:
        assert "ablate.host" not in projection.tags(make_run(), status(host=None), None)

    def test_what_a_search_says_of_a_trial(self) -> None:
        asked = replace(plan("gp", seed=3), optuna="4.6.0")
        said = {
            "ablate.trial": "4",
            "ablate.sampler": "gp",
            "ablate.sampler_options": "n_startup_trials=10, deterministic_objective=False",
            "ablate.search_seed": "3",
            "ablate.scored_on": "held-out data",
            "version.optuna": "4.6.0",
        }
        assert projection.search_tags(4, asked) == said
        on_evaluation = replace(asked, on_evaluation=True)
        assert projection.search_tags(4, on_evaluation) == {**said, "ablate.scored_on": "evaluation data"}

    def test_a_users_are_the_name_the_description_and_what_no_tool_has_written(self) -> None:
        theirs = {"mlflow.runName": "the best", "mlflow.note.content": "see slide 3", "team": "ears"}
        tools = {"ablate.attempt": "1", "version.torch": "2.9", "mlflow.user": "ada"}
        assert users_tags({**theirs, **tools}) == theirs


class TestParams:
    def test_the_condition_comes_first_by_the_names_of_its_factors_then_the_settings(self) -> None:
        run = make_run("grl_s1", 5, S1, CONDITION)
        found = projection.params(run, None, CARD)
        assert list(found)[: len(CONDITION) + 3] == ["condition", "seed", *CONDITION, "run_id"]
        assert (found["condition"], found["seed"], found["run_id"]) == ("grl_s1", "5", run.run_id)
        assert (found["grl_pos"], found["optim.lr"]) == ("S1", "0.001")
        assert "grl.position" not in found

    def test_facts_are_params_unless_they_are_measured_or_known(self) -> None:
        found = projection.params(make_run(seed=5), RESULT, CARD)
        assert found["n_parameters"] == "7"
        assert found["seed"] == "5"  # the run's, whatever a fact says
        assert "energy_kwh" not in found

    def test_a_fold_comes_after_the_seed(self) -> None:
        found = projection.params(fold_run("baseline", 4, 2), None, FOLDED)
        assert list(found.items())[1:3] == [("seed", "4"), ("fold", "2")]
        assert "fold" not in projection.params(make_run(), None, CARD)

    def test_names_are_as_mlflow_takes_them(self) -> None:
        result = {**RESULT, "facts": {"gain (dB)": 3, "x" * 300: 1}}
        found = projection.params(make_run(), result, CARD)
        assert found["gain _dB_"] == "3"
        assert found["x" * 250] == "1"
