"""A search in which the subject refuses some combinations, or all."""

import math
from pathlib import Path

from pydantic import model_validator

import ablate
from ablate.campaign.searching import MOST_REPEATS, Searching, Target
from ablate.design.space import Space, make_space, parse_ranges
from ablate.launch.base import Event, Kind
from ablate.record.rundir import State
from ablate.record.searches import Plan, SearchFolder, Trial
from ablate.record.store import Store
from ablate.schedule.search import SAMPLERS, VERSION
from ablate.subject.interface import Dataset
from tests.no_scores import NO_SCORES


class Config(ablate.Config):
    a: float = 0.1
    b: float = 0.1

    @model_validator(mode="after")
    def fits(self) -> "Config":
        if self.a + self.b > 1:
            raise ValueError("a and b are shares")
        return self


def never_called(_config: Config, _run: ablate.Training) -> ablate.Scores:
    raise AssertionError("trainings are a formula here")


SUBJECT = ablate.Subject("shares", Config, never_called, metrics=[ablate.Metric("score", select=True)])
DATA = Dataset("none", "none", Path("data"))


def space(*ranges: str, **levels: list[str]) -> Space:
    return make_space(Config(), SUBJECT.known_factors, [], levels, parse_ranges(ranges))


def searched(root: Path, over: Space, n_trials: int) -> tuple[Searching, list[Trial]]:
    """A random search to its end, a run at a time, and its trials."""
    store = Store(root)
    folder = SearchFolder.of(store, "s")
    folder.path.mkdir(parents=True)
    plan = Plan(
        objectives={"score": "max"},
        space=tuple(dimension.to_json() for dimension in over.dimensions),
        sampler="random",
        sampler_options=SAMPLERS["random"],
        pruner="none",
        pruner_options={},
        seed=0,
        seeds=1,
        validation=0.0,
        on_evaluation=False,
        base=over.base.flat(),
        dataset=DATA.digest,
        subject="shares",
        optuna=VERSION,
    )
    searching = Searching(
        Target(store, "s", SUBJECT, DATA, "ablate search"),
        folder,
        plan,
        over,
        n_trials=n_trials,
        until=math.inf,
        retry=(),
        warn=print,
    )
    while runs := searching.next_runs(1):
        (run,) = runs
        store.folder(run.run_id).begin()
        store.folder(run.run_id).write_result({**NO_SCORES, "metrics": {"score": run.config.get("a")}})
        store.folder(run.run_id).end(State.FINISHED)
        searching.on_event(run, Event(Kind.FINISHED, run.run_id))
    return searching, folder.trials()


def test_what_the_subject_refuses_is_a_trial_of_its_own_and_the_search_goes_on(tmp_path: Path) -> None:
    """Of two shares from 0 to 0.9 two pairs in five are more than the whole."""
    searching, trials = searched(tmp_path, space("a=0:0.9", "b=0:0.9"), 20)
    refused = [trial for trial in trials if trial.refused is not None]
    assert refused
    assert all("a and b are shares" in str(trial.refused) and not trial.runs for trial in refused)
    assert all(sum(trial.draws.values()) > 1 for trial in refused if trial.draws)
    assert len(trials) - len(refused) == 20 == searching.n_conditions
    assert not searching.is_exhausted


def test_a_level_that_only_another_one_makes_possible_is_drawn() -> None:
    """0.6 is refused beside a base of 0.5, and not where b is drawn as 0.3."""
    over = Space(Config(a=0.5, b=0.5), space("a=0.5:0.6", "b=0:0.3").dimensions, SUBJECT.known_factors)
    levels = {"a": 0.6, "b": 0.3}
    draws = over.draw(lambda dimension: levels[dimension.name])
    assert draws == levels
    assert over.condition(draws).name == "a=0.6 b=0.3"


def test_a_search_ends_whose_subject_refuses_everything(tmp_path: Path) -> None:
    searching, trials = searched(tmp_path, space(a=["0.6"], b=["0.6"]), 10)
    assert searching.is_exhausted
    assert len(trials) == 1 + MOST_REPEATS
    assert [trial.number for trial in trials if trial.runs] == [0]
