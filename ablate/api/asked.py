"""What a user asks for, as a grid of factors, a study file or a study that is there, and the study of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.api.subjects import Chosen, Code, all_factors, choose_subject, settle_code
from ablate.api.training import reference_of, require_no_search
from ablate.design.claims import StudyDetails
from ablate.design.folds import in_folds, without_fold
from ablate.design.study import Study, check_study_name, plan_study
from ablate.design.studyfile import StudyFile
from ablate.design.typed import TypedGrid
from ablate.ground.errors import ConfigError, StoreError
from ablate.record.store import Store

if TYPE_CHECKING:
    from ablate.design.designs import Design
    from ablate.design.runs import Run
    from ablate.subject.interface import Dataset

DEFAULT_NAME = "grid"  # of a study of the built-in subject


@dataclass(frozen=True)
class Wanted:
    """A study that is asked for. ``dataset`` is what it is trained on, where that is known already."""

    study: Study
    details: StudyDetails | None = None
    profile: str | None = None
    gpus_per_run: int = 1
    dataset: "Dataset | None" = None


@dataclass(frozen=True)
class Grid:
    """Combinations of factors' levels, each field as the option of ``ablate grid``; levels are text."""

    name: str | None = None
    factors: Sequence[str] = ()
    levels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    design: "Design" = "full"
    full: Mapping[str, str] = field(default_factory=dict)
    zips: Sequence[tuple[str, ...]] = ()
    exclude: Sequence[str] = ()
    also: Sequence[TypedGrid] = ()
    seeds: int | None = None
    folds: int | None = None
    chosen: Chosen = field(default_factory=Chosen)
    code: Code | None = None
    data: Path | None = None
    profile: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    plugins: Sequence[Path] = ()

    def wanted(self, store: Store) -> Wanted:
        """The study. Raises ConfigError, with every unknown factor and bad level at once; StudyError."""
        from ablate.subject.registry import built_in

        if not self.factors and not self.levels:
            raise ConfigError(
                "name what to vary, such as --factors grl_pos,shuffle; `ablate factors` lists all"
            )
        subject = choose_subject(self.chosen, levels=self._tried(), settings=self.settings)
        name = self.name or (DEFAULT_NAME if subject is built_in() else subject.name)
        check_study_name(name)
        store.require_folder()
        subject = settle_code(store, name, subject, self.code)
        known = all_factors(subject, self.plugins)
        known = known.on_data(subject.data.settles(self.data, store.data))
        base = subject.profile(self.profile).override(known.fields_of(self.settings))
        base = in_folds(base, subject, self.folds)
        study = plan_study(
            name,
            subject,
            base,
            self.factors,
            self.levels,
            design=self.design,
            also=self.also,
            zips=self.zips,
            full=self.full,
            exclude=self.exclude,
            seeds=self.seeds,
            known=known,
            reference=reference_of(store, name, subject),
        )
        require_no_search(store, name)
        return Wanted(study, None, self.profile, self.chosen.gpus_per_run)

    def _tried(self) -> dict[str, list[str]]:
        """What is tried of each factor in all grids, each level once."""
        grids = [dict.fromkeys(self.factors, ()), self.levels, *(grid.levels for grid in self.also)]
        names = dict.fromkeys(name for grid in grids for name in grid)
        return {
            name: list(dict.fromkeys(level for grid in grids for level in grid.get(name, ())))
            for name in names
        }


@dataclass(frozen=True)
class File:
    """A study file by its path or name, and what is asked for otherwise than it says."""

    file: str
    seeds: int | None = None
    folds: int | None = None
    code: Code | None = None
    data: Path | None = None
    profile: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    plugins: Sequence[Path] = ()

    def page(self, store: Store) -> StudyFile:
        """The file. Its subject is as the store's study knows it, and its factors as they are on the data.

        Raises ConfigError with every problem of the file at once, each with its line.
        """
        from ablate.design.library import find_study
        from ablate.design.studyfile import read_study_file

        page = read_study_file(find_study(self.file), list(self.plugins))
        store.require_folder()
        page = page.of(settle_code(store, page.name, page.subject, self.code))
        return page.on_data(page.subject.data.settles(self.data, store.data))

    def wanted(self, store: Store) -> Wanted:
        """The study that the file describes. Raises ConfigError, StudyError."""
        page = self.page(store)
        study = self.study_of(page, None if self.seeds is None else range(self.seeds))
        require_no_search(store, study.name)
        return Wanted(study, page.details, self.profile or page.profile, page.gpus)

    def study_of(self, page: StudyFile, seeds: Sequence[int] | None) -> Study:
        """The study of the file's ``page`` with these seeds."""
        settings = page.known.fields_of(self.settings)
        return page.plan(profile=self.profile, settings=settings, seeds=seeds, folds=self.folds)


@dataclass(frozen=True)
class Recorded:
    """A study that the store has already: its conditions and settings as they were planned.

    ``condition_id`` leaves but one of the conditions.
    """

    name: str
    seeds: int | None = None
    code: Code | None = None
    condition_id: str | None = None

    def wanted(self, store: Store) -> Wanted:
        """The study, with seeds 0, 1, ... where their number is given, else with those it has.

        Raises StudyError when there is none of the name, ConfigError when its code is gone or has changed or
        when it was imported, StoreError when a run is damaged.
        """
        from ablate.design.conditions import Condition
        from ablate.subject.registry import open_subject

        card = store.study_card(self.name)
        require_no_search(store, self.name)
        subject = settle_code(store, self.name, open_subject(card.spec), self.code)
        runs = [
            run
            for folder in store.study_runs(self.name)
            if self.condition_id in (None, (run := folder.run()).condition_id)
        ]
        first: dict[str, Run] = {}
        for run in runs:
            first.setdefault(run.condition_id, run)
        conditions = [
            Condition(run.name, without_fold(subject, subject.configure(run.config)), dict(run.condition))
            for run in first.values()
        ]
        seeds = sorted({run.seed for run in runs}) if self.seeds is None else list(range(self.seeds))
        base = store.study_base(self.name)
        study = Study(
            self.name,
            subject,
            [],
            conditions,
            [],
            seeds,
            without_fold(subject, subject.configure(base)) if base is not None else conditions[0].config,
            named=True,
        )
        gpus = int(card.spec.get("gpus_per_run", 1))
        return Wanted(study, store.study_details(self.name), None, gpus, self._dataset(store, runs[0]))

    def _dataset(self, store: Store, run: "Run") -> "Dataset":
        """The data of the study's runs, where they are now. Raises StoreError when they are gone."""
        from ablate.subject.interface import NO_DATA

        dataset = replace(run.dataset, path=store.locate(run.dataset))
        if dataset.digest != NO_DATA and not dataset.path.exists():
            raise StoreError(
                f"the data of study '{self.name}' are no longer at {dataset.path}; type the command again "
                "that planned it"
            )
        return dataset
