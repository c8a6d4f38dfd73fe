"""How much the scores of a baseline differ between seeds: the seeds to train for it, and what they say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.api.answers import OfStudy, study_of
from ablate.api.asked import Recorded, Wanted
from ablate.api.page import Page
from ablate.api.subjects import Chosen, Code, choose_subject, settle_code
from ablate.api.training import reference_of
from ablate.ground.errors import StudyError
from ablate.record.opening import StorePath, StudyName

if TYPE_CHECKING:
    from ablate.analysis.compare import Group
    from ablate.analysis.noise import Noise
    from ablate.analysis.query import RunRecord
    from ablate.record.store import Store

NAME = "noise"  # of the study that is made where none is named
DEFAULT_SEEDS = 10


@dataclass(frozen=True)
class Baseline:
    """The baseline alone, as a grid without factors; each field as the option of ``ablate noise``."""

    seeds: int
    folds: int | None
    chosen: Chosen
    code: Code | None
    data: Path | None
    profile: str | None
    settings: Mapping[str, str]

    def wanted(self, store: "Store") -> Wanted:
        """The study ``noise``. Raises ConfigError."""
        from ablate.design.folds import in_folds
        from ablate.design.study import plan_study

        subject = choose_subject(self.chosen, levels={}, settings=self.settings)
        subject = settle_code(store, NAME, subject, self.code)
        known = subject.known_factors.on_data(subject.data.settles(self.data, store.data))
        base = subject.profile(self.profile).override(known.fields_of(self.settings))
        base = in_folds(base, subject, self.folds)
        reference = reference_of(store, NAME, subject)
        study = plan_study(NAME, subject, base, [], {}, seeds=self.seeds, known=known, reference=reference)
        return Wanted(study, None, self.profile, self.chosen.gpus_per_run)


def more_seeds(store: "Store", study: str, seeds: int, code: Code | None) -> Wanted:
    """The baseline of a study that exists, with so many seeds. Raises StudyError, StoreError."""
    from ablate.analysis.query import load_runs

    found = baselines(load_runs(store, study), store, study)
    if len(found) > 1:
        names = ", ".join(group.name for group in found)
        raise StudyError(
            f"study '{study}' has several baselines, {names}; --seeds cannot tell which is meant"
        )
    wanted = Recorded(study, seeds, code, found[0].first.condition_id).wanted(store)
    return replace(wanted, details=None)


def baselines(records: "Sequence[RunRecord]", store: "Store", study: str) -> "list[Group]":
    """The conditions that a study compares others with. Raises StudyError when it has none."""
    from ablate.analysis.compare import group_runs, named
    from ablate.design.conditions import BASELINE

    name = store.study_details(study).baseline or BASELINE
    found = named(group_runs(records), name)
    if not found:
        raise StudyError(
            f"study '{study}' has no run of a condition '{name}', which would be its baseline; a study file "
            "names another, and without a study `ablate noise` trains one"
        )
    return found


@dataclass(frozen=True, repr=False)
class Spread(OfStudy):
    """How much a study's baseline differs between seeds, as ``ablate noise STUDY`` shows it."""

    @cached_property
    def _records(self) -> "list[RunRecord]":
        from ablate.analysis.folds import pooled

        return pooled(self.runs)

    @cached_property
    def by_baseline(self) -> "Mapping[str, Sequence[Noise]]":
        """The spread of each metric, for each condition that is a baseline. Raises StudyError."""
        from ablate.analysis.compare import measured
        from ablate.analysis.noise import noise_of_groups
        from ablate.analysis.query import units_of

        records = self._records
        metrics = self.store.study_card(self.study).metrics.headline(measured(records))
        groups = baselines(records, self.store, self.study)
        return noise_of_groups(records, groups, units_of(records), metrics)

    @property
    def document(self) -> dict[str, Any]:
        from ablate.analysis.noise import content

        return {
            "schema": "ablate.noise/1",
            "study": self.study,
            "baselines": {
                name: [content(noise) for noise in each] for name, each in self.by_baseline.items()
            },
        }

    def text(self, width: int | None = None) -> str:
        return self._page(width).text(width)

    def html(self) -> str:
        return self._page(None).html()

    def _page(self, width: int | None) -> Page:
        from ablate.analysis.folds import folding
        from ablate.analysis.noise import terminal
        from ablate.analysis.query import units_of

        page = Page()
        for name, each in self.by_baseline.items():
            page.say()
            if not each:
                page.say(
                    f"{name}, study {self.study}: no metric differs between its seeds. Two seeds at least "
                    "must have finished (--seeds trains more), and the training must use its seed."
                )
                continue
            page.say(f"Noise of {name}, study {self.study}:\n")
            page.laid_out(terminal(each, name, units_of(self._records), width))
            said = folding(self._records, [noise.metric for noise in each])
            if said is not None:
                page.say(said.note)
        return page


def noise(study: StudyName = None, *, store: "StorePath | Store" = None) -> Spread:
    """How much a study's baseline differs between seeds, and what so many seeds can tell apart.

    Raises StudyError when there is no such study, or no run of its baseline.
    """
    spread = Spread(*study_of(study, store))
    baselines(spread.runs, spread.store, spread.study)
    return spread
