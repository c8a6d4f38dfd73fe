"""A search from trial to trial, with trainings that are a formula: what is asked, trained and told."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ablate
from ablate.campaign.searching import Searching, Target
from ablate.design.runs import Run
from ablate.design.space import Space, make_space, parse_ranges
from ablate.ground.errors import ConfigError
from ablate.ground.failures import FailureKind
from ablate.launch.base import Event, Kind
from ablate.record.rundir import State
from ablate.record.searches import Plan, SearchFolder
from ablate.record.store import Store
from ablate.schedule.search import SAMPLERS, VERSION, pruner_options
from ablate.subject.interface import Dataset
from tests.no_scores import NO_SCORES

EPOCHS = 6


class Config(ablate.Config):
    kind: str = "plain"
    strength: float = ablate.setting(1.0, gt=0, lt=11)
    lr: float = ablate.setting(0.1, gt=0)
    epochs: int = EPOCHS


def strength_is_inert(config: Config) -> ablate.Inert | None:
    if config.kind == "plain" and config.strength != 1.0:
        return ablate.Inert(1.0, "nothing is strengthened")
    return None


def never_called(_config: Config, _run: ablate.Training) -> ablate.Scores:
    raise AssertionError("trainings are a formula here")


SUBJECT = ablate.Subject(
    "formula",
    Config,
    never_called,
    metrics=[ablate.Metric("score", select=True)],
    factors=[
        ablate.Factor("kind", "kind", ("plain", "strong")),
        ablate.Factor("strength", "strength", (), "", strength_is_inert, "kind = plain"),
        ablate.Factor("lr", "lr", ()),
    ],
)
SPACE = make_space(
    Config(), SUBJECT.known_factors, ["kind"], {}, parse_ranges(["strength=0.1:10:log", "lr=0.001:1:log"])
)
WORDS = make_space(Config(), SUBJECT.known_factors, ["kind"], {"lr": ["0.1", "0.2", "0.3"]}, {})
DATA = Dataset("none", "none", Path("data"))


def plan(space: Space = SPACE, pruner: str = "none", seeds: int = 1, sampler: str = "tpe") -> Plan:
    return Plan(
        objectives={"score": "max"},
        space=tuple(dimension.to_json() for dimension in space.dimensions),
        sampler=sampler,
        sampler_options=SAMPLERS[sampler],
        pruner=pruner,
        pruner_options=pruner_options(pruner, EPOCHS),
        seed=0,
        seeds=seeds,
        validation=0.0,
        on_evaluation=False,
        base=space.base.flat(),
        dataset=DATA.digest,
        subject="formula",
        optuna=VERSION,
    )


def score(run: Run) -> float:
    """Best at a learning rate of 0.01 and a strength of 1, and a little another for each seed."""
    lr, strength = run.config.get("lr"), run.config.get("strength")
    return float(1 - (math.log10(lr) + 2) ** 2 - math.log10(strength) ** 2 / 4 + 0.01 * run.seed)


class Lab:
    """A store with a search in it, and trainings that take no time."""

    def __init__(self, root: Path, asked: Plan | None = None, space: Space = SPACE) -> None:
        self.store = Store(root)
        self.store.require_writable()
        self.folder = SearchFolder.of(self.store, "s")
        self.folder.path.mkdir(parents=True, exist_ok=True)
        self.plan, self.space = asked or plan(), space
        self.trained: list[str] = []  # titles, in the order of their ends
        self.epochs = 0
        self.warnings: list[str] = []

    def open(self, n_trials: int, *, retry: bool = False) -> Searching:
        return Searching(
            Target(self.store, "s", SUBJECT, DATA, "ablate search"),
            self.folder,
            self.plan,
            self.space,
            n_trials=n_trials,
            until=math.inf,
            retry=tuple(FailureKind) if retry else (),
            warn=self.warnings.append,
        )

    def search(
        self,
        n_trials: int,
        *,
        slots: int = 1,
        stop_after: int | None = None,
        end: Callable[["Lab", Searching, Run], None] | None = None,
        retry: bool = False,
    ) -> Searching:
        """Search on; ``stop_after`` so many runs as a kill would, with others under way."""
        searching = self.open(n_trials, retry=retry)
        under_way: list[Run] = []
        while True:
            under_way += searching.next_runs(slots - len(under_way))
            if not under_way:
                searching.enrol(now=True)
                return searching
            if stop_after is not None and len(self.trained) >= stop_after:
                return searching
            (end or Lab.train)(self, searching, under_way.pop(0))

    def train(self, searching: Searching, run: Run) -> None:
        """All epochs of a run, unless the search gives it up; its curve rises to its score."""
        folder = self.store.folder(run.run_id)
        folder.begin()
        for epoch in range(len(folder.history()) + 1, EPOCHS + 1):
            self.epochs += 1
            folder.append_history({"epoch": epoch, "score": score(run) - 1 / epoch})
            for run_id, why in searching.on_event(run, Event(Kind.EPOCH, run.run_id, epoch)):
                assert run_id == run.run_id
                folder.end(State.PRUNED, why)
                searching.on_event(run, Event(Kind.PRUNED, run_id, cause=why))
                self.trained.append(f"{run.title} {why}")
                return
        folder.write_result({**NO_SCORES, "metrics": {"score": score(run)}})
        folder.end(State.FINISHED)
        self.trained.append(run.title)
        searching.on_event(run, Event(Kind.FINISHED, run.run_id))

    def fail(self, searching: Searching, run: Run) -> None:
        folder = self.store.folder(run.run_id)
        folder.begin()
        folder.end(State.FAILED, "no luck")
        self.trained.append(f"{run.title} failed")
        searching.on_event(run, Event(Kind.FAILED, run.run_id, cause="no luck"))

    def draws(self) -> list[Any]:
        return [trial.draws for trial in self.folder.trials()]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_the_baseline_comes_first_then_what_the_sampler_draws(lab: Lab) -> None:
    lab.search(12)
    assert len(lab.trained) == 12
    assert lab.trained[0] == "baseline seed=0"
    assert len(set(lab.trained)) == 12


def test_the_same_search_again_trains_nothing_and_a_longer_one_only_what_is_new(lab: Lab) -> None:
    lab.search(8)
    lab.search(8)
    assert len(lab.trained) == 8
    lab.search(11)
    assert len(lab.trained) == 11


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "nsga2"])
@pytest.mark.parametrize("pruner", ["none", "median", "hyperband"])
def test_a_search_that_was_killed_ends_as_the_undisturbed_one(
    sampler: str, pruner: str, tmp_path: Path
) -> None:
    """With one worker: the same draws, the same runs, the same that was given up, nothing twice."""
    asked = plan(pruner=pruner, sampler=sampler)
    undisturbed, killed = Lab(tmp_path / "a", asked), Lab(tmp_path / "b", asked)
    undisturbed.search(26)
    for stop_after in (0, 1, 9, 10, 17, 25):
        killed.search(26, stop_after=stop_after)
    killed.search(26)
    assert killed.folder.trials() == undisturbed.folder.trials()
    assert killed.trained == undisturbed.trained
    assert killed.warnings == []


def test_trials_of_several_seeds_are_told_their_mean(tmp_path: Path) -> None:
    lab = Lab(tmp_path, plan(seeds=3))
    searching = lab.search(4, slots=2)
    assert lab.trained[:3] == ["baseline seed=0", "baseline seed=1", "baseline seed=2"]
    assert len(lab.trained) == 12
    first = next(searching.ended())
    # At the baseline's learning rate of 0.1: 1 - 1, and 0, 0.01 and 0.02 for the seeds.
    assert first.values == pytest.approx([0.01])


def test_batches_fill_the_slots(lab: Lab) -> None:
    searching = lab.open(10)
    runs = searching.next_runs(4)
    assert len(runs) == 4
    assert searching.next_runs(0) == []
    assert len(searching.next_runs(3)) == 3
    assert searching.n_to_come == 10


def test_what_was_tried_before_is_told_at_no_cost_and_ends_an_exhausted_search(tmp_path: Path) -> None:
    """2 kinds x 3 learning rates, of which strength makes no more: six conditions are all that there is."""
    lab = Lab(tmp_path, plan(WORDS, sampler="random"), WORDS)
    searching = lab.search(100)
    assert searching.is_exhausted
    assert len(lab.trained) == 6
    repeats = [trial for trial in lab.folder.trials() if trial.same_as is not None]
    assert len(repeats) >= 50
    ended = {trial.number: trial for trial in searching.ended()}
    assert all(ended[repeat.number].values == ended[repeat.same_as or 0].values for repeat in repeats)
    assert lab.search(100).is_exhausted
    assert len(lab.trained) == 6


def test_a_condition_that_another_study_has_trained_is_not_trained_again(tmp_path: Path) -> None:
    first, second = Lab(tmp_path), Lab(tmp_path)
    first.search(5)
    second.folder = SearchFolder(second.store.study_folder("other"), "other")
    second.folder.path.mkdir(parents=True)
    searching = second.search(5)
    assert searching.n_conditions == 5
    assert second.trained == []


def test_a_failed_trial_is_no_score_and_is_tried_again_on_request(lab: Lab) -> None:
    def fate(lab: Lab, searching: Searching, run: Run) -> None:
        (Lab.fail if len(lab.trained) == 2 else Lab.train)(lab, searching, run)

    searching = lab.search(5, end=fate)
    failed = [title for title in lab.trained if title.endswith("failed")]
    assert len(failed) == 1
    assert [trial.values is None for trial in searching.ended()].count(True) == 1
    lab.search(5)
    assert len(lab.trained) == 5
    lab.search(5, retry=True)
    assert lab.trained[5:] == [failed[0].removesuffix(" failed")]


def test_a_pruner_spends_fewer_epochs_and_what_it_gave_up_has_no_score(tmp_path: Path) -> None:
    whole, pruned = Lab(tmp_path / "a"), Lab(tmp_path / "b", plan(pruner="median"))
    whole.search(30)
    searching = pruned.search(30)
    given_up = [trial for trial in searching.ended() if trial.pruned]
    assert given_up
    assert all(trial.values is None for trial in given_up)
    assert pruned.epochs < whole.epochs == 30 * EPOCHS
    assert any(re.search(r"pruned in epoch \d at score -[\d.]+ \(median\)", each) for each in pruned.trained)


@pytest.mark.parametrize("pruner", ["median", "percentile", "hyperband"])
def test_the_baseline_is_never_given_up_however_poor_it_is(pruner: str, tmp_path: Path) -> None:
    """The best are compared with it. Its learning rate is the worst that there is, and it trains last."""
    base = Config(lr=1.0)
    poor = make_space(base, SUBJECT.known_factors, [], {}, parse_ranges(["lr=0.001:1:log"]))
    lab = Lab(tmp_path, plan(poor, pruner), poor)
    searching = lab.open(16)
    baseline, *others = searching.next_runs(16)
    for run in (*others, baseline):
        lab.train(searching, run)
    assert any("pruned" in title for title in lab.trained)
    assert lab.trained[-1] == "baseline seed=0"


def test_the_other_seeds_wait_until_the_first_has_survived(tmp_path: Path) -> None:
    lab = Lab(tmp_path, plan(pruner="median", seeds=2))
    searching = lab.open(3)
    (first,) = searching.next_runs(1)
    assert searching.next_runs(1)[0].condition_id != first.condition_id
    lab.train(searching, first)
    assert searching.next_runs(1)[0].title == "baseline seed=1"


def test_runs_without_the_curve_are_not_pruned_and_that_is_said_once(tmp_path: Path) -> None:
    lab = Lab(tmp_path, plan(pruner="median"))

    def mute(lab: Lab, searching: Searching, run: Run) -> None:
        folder = lab.store.folder(run.run_id)
        folder.append_history({"epoch": 1, "loss": 1.0})
        assert searching.on_event(run, Event(Kind.EPOCH, run.run_id, 1)) == ()
        folder.history_file.unlink()
        lab.train(searching, run)

    lab.search(4, end=mute)
    assert [warning.split(";")[0] for warning in lab.warnings] == [
        "--prune median: runs report no curve 'score', so that none is pruned"
    ]


def test_a_score_that_no_run_has_ends_the_search(lab: Lab) -> None:
    def scoreless(lab: Lab, searching: Searching, run: Run) -> None:
        folder = lab.store.folder(run.run_id)
        folder.begin()
        folder.write_result({**NO_SCORES, "metrics": {"scores": 1.0}})
        folder.end(State.FINISHED)
        searching.on_event(run, Event(Kind.FINISHED, run.run_id))

    with pytest.raises(ConfigError, match="no run has 'score'; did you mean 'scores'"):
        lab.search(3, end=scoreless)


def test_the_study_knows_the_runs_of_all_trials(lab: Lab) -> None:
    lab.search(7)
    runs = lab.store.study_runs("s")
    assert [folder.run_id for folder in runs] == [trial.runs[0] for trial in lab.folder.trials()]
    assert lab.store.study_commands("s") == ["ablate search"]
