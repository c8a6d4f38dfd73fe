"""A study's plan against what the store has: shown, and trained."""

import textwrap
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ablate.api import plans
from ablate.api.answer import Answer
from ablate.api.page import Page
from ablate.api.training import (
    Training,
    find_dataset,
    plan_for,
    plan_of,
    record_runs,
    require_folds,
    train_runs,
)
from ablate.design.claims import StudyDetails
from ablate.design.study import Study
from ablate.ground import documents
from ablate.ground.wording import readable_bytes
from ablate.record.rundir import State
from ablate.schedule.estimate import Forecast
from ablate.schedule.grid import Plan
from ablate.subject.interface import Dataset

if TYPE_CHECKING:
    import pandas as pd

    from ablate.design.runs import Run

TEXT_WIDTH = 100  # of a study's question


@dataclass(frozen=True, repr=False)
class Planned(Answer):
    """What a study wants and what of that is left to do, as ``ablate grid --dry-run`` shows it.

    ``grid`` has the runs and their states.
    """

    study: Study
    training: Training
    dataset: Dataset
    grid: Plan
    details: StudyDetails | None
    profile: str | None

    @classmethod
    def of(
        cls,
        study: Study,
        training: Training,
        profile: str | None,
        details: StudyDetails | None = None,
        dataset: Dataset | None = None,
    ) -> "Planned":
        """Plan a study. For a plan alone nothing is written, else its data are prepared.

        Raises ConfigError for data that the study cannot have, StudyError for another number of folds,
        StoreError when the store cannot be written.
        """
        store, training = training.store, training.of(study.subject)
        study = training.fit(study)
        if training.calibrate or not training.dry_run:
            store.require_writable()
        require_folds(study, store)
        dataset = dataset or find_dataset(study, training)
        return cls(study, training, dataset, plan_of(study, dataset, store), details, profile)

    # -- what is left

    @cached_property
    def todo(self) -> "list[Run]":
        """What training would train: all that has not finished, and what has failed only with ``retry``."""
        return self.grid.to_train(retry=self.training.means.retried)

    @property
    def counts(self) -> dict[str, int]:
        """How many runs are in each state."""
        counts = self.grid.counts()
        return {str(state): counts[state] for state in State if counts[state]}

    @property
    def is_complete(self) -> bool:
        """Whether every run has finished."""
        return self.grid.counts()[State.FINISHED] == len(self.grid.runs)

    def frame(self) -> "pd.DataFrame":
        """A row a run: its condition's name, the factors' levels, seed, state and why it failed."""
        import pandas as pd

        rows = [
            {
                **run.condition,
                "run_id": run.run_id,
                "name": run.name,
                "seed": run.seed,
                "state": str(run.state),
            }
            for run in self.grid.runs
        ]
        return pd.DataFrame(rows)

    @cached_property
    def forecast(self) -> Forecast:
        """How long it takes with how many workers, as far as that is known."""
        return plans.forecast(self.study.subject, self.training, self._trained)

    @cached_property
    def _trained(self) -> "list[Run]":
        """What is left but for runs that are only scored, with the weights of others."""
        from ablate.schedule.twins import to_be_trained, weights_for

        return to_be_trained(self.todo, weights_for(self.todo, self.training.store))

    @cached_property
    def _kept_bytes(self) -> float:
        return plans.kept_bytes(self.study.subject, self.training, self.todo)

    # -- training

    def record(self) -> None:
        """Record that the study has these runs."""
        record_runs(self.training, self.study, [planned.run for planned in self.grid.runs], self.details)

    def train(self) -> str | None:
        """Record the runs and train what is left, as ``training.train_runs`` does."""
        self.record()
        return train_runs(self.training, self.study, self.todo)

    def again(self) -> "Planned":
        """The plan as it is now."""
        grid = plan_for([planned.run for planned in self.grid.runs], self.study.name, self.training.store)
        return Planned(self.study, self.training, self.dataset, grid, self.details, self.profile)

    # -- showing

    @property
    def document(self) -> documents.Plan:
        study, forecast = self.study, self.forecast
        return documents.Plan(
            schema="ablate.plan/1",
            study=study.name,
            dataset=documents.DatasetName(name=self.dataset.name, digest=self.dataset.digest),
            designs=list(study.designs),
            remarks=list(study.remarks),
            n_conditions=len(study.conditions),
            seeds=study.seeds,
            n_folds=study.n_folds,
            counts=self.counts,
            place=self.training.place,
            kept_bytes=self._kept_bytes,
            estimated_seconds=forecast.by_workers.get(len(self.training.devices)),
            estimated_seconds_by_workers=dict(forecast.by_workers),
            suggested_workers=forecast.best_workers if forecast.by_workers else None,
            runs=[plans.describe_run(planned) for planned in self.grid.runs],
            excluded=[documents.NotTrained(name=each.name, why=each.why) for each in study.excluded],
            collapsed=[
                documents.NotTrained(name=each.name, why=each.why, same_as=each.same_as)
                for each in study.collapsed
            ],
        )

    def text(self, width: int | None = None) -> str:
        return self._page(width).text(width)

    def html(self) -> str:
        return self._page(None).html()

    def _page(self, width: int | None) -> Page:
        page, study, training = Page(), self.study, self.training
        details = self.details or StudyDetails()
        if details.question:
            page.say(textwrap.fill(details.question, min(TEXT_WIDTH, width or TEXT_WIDTH)) + "\n")
        plans.add_plan(page, study, self.grid, self.profile or next(iter(study.subject.profiles), None))
        if n_scored := len(self.todo) - len(self._trained):
            page.say(
                f"  {n_scored} of them only scored, with the weights of runs that differ in nothing else"
            )
        if training.place is not None:
            page.say(f"  {training.place}")
        plans.add_noise(page, study, self.grid, training.store, details.baseline)
        can_calibrate = bool(study.subject.speed_command)
        plans.add_forecast(page, self.forecast, len(training.devices), can_calibrate=can_calibrate)
        if self._kept_bytes:
            kept = readable_bytes(self._kept_bytes)
            page.say(f"  keeps about {kept} of scores of frames for ablate rescore; --no-scores: none")
        if training.only_plan:
            page.say()
            plans.add_states(page, self.grid.runs)
        return page
