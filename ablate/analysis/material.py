"""All that a study's report is made of, read from the store once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.analysis import noise, query, searches
from ablate.analysis.claims import Verdict, judge
from ablate.analysis.compare import Comparison, Group, compare, group_runs
from ablate.analysis.effects import Effects, effects
from ablate.analysis.folds import pooled
from ablate.analysis.looked import remark, seeds_of_comparison
from ablate.analysis.noise import Noise
from ablate.analysis.query import RunRecord
from ablate.analysis.searches import Search
from ablate.design.claims import StudyDetails
from ablate.ground.errors import StoreError, StudyError
from ablate.record.decision import Decision, read_decision
from ablate.record.rundir import RunFolder, State
from ablate.record.searches import SearchFolder
from ablate.record.store import Store
from ablate.subject.interface import Card
from ablate.subject.registry import open_if_there

LEAST_SEEDS = 3  # of a baseline, before its noise is spoken of


@dataclass(frozen=True)
class Material:
    """All that a report is made of; ``effects`` where there are.

    ``records`` are the runs, each fold one of its own; all that counts seeds has them put together.
    ``folders`` are by run id, ``noise`` by baseline. ``added`` compares by the scores that
    were asked for when runs had finished, where there are any.
    """

    study: str
    details: StudyDetails
    commands: tuple[str, ...]
    records: tuple[RunRecord, ...]
    groups: tuple[Group, ...]
    comparison: Comparison
    verdicts: tuple[Verdict, ...]
    effects: tuple[Effects, ...]
    store: Store
    card: Card
    decision: Decision | None
    noise: Mapping[str, list[Noise]]
    folders: Mapping[str, RunFolder]
    search: Search | None = None
    added: Comparison | None = None

    def finished(self) -> list[RunRecord]:
        return [record for record in self.records if record.state is State.FINISHED]


def gather(store: Store, study: str) -> Material:
    """Read a study. Raises StudyError when it is unknown or no run has finished, StoreError for damage."""
    records = query.load_runs(store, study)
    seeds = pooled(records)
    details = store.study_details(study)
    folders = {folder.run_id: folder for folder in store.study_runs(study)}
    comparison = compare(seeds, study, details.baseline)
    looked = remark(store, study, seeds, details, seeds_of_comparison(comparison))
    return Material(
        study=study,
        details=details,
        commands=tuple(store.study_commands(study)),
        records=tuple(records),
        groups=tuple(group_runs(seeds)),
        comparison=searches.marked(replace(comparison, looked=looked), store),
        verdicts=tuple(judge(seeds, details)),
        effects=_effects_of(store, study, seeds, details),
        store=store,
        card=store.study_card(study),
        decision=_decision(store, study),
        noise=_noise(seeds, comparison),
        folders=folders,
        search=_search_of(store, study),
        added=_added(seeds, study, details.baseline),
    )


def _added(records: Sequence[RunRecord], study: str, baseline: str | None) -> Comparison | None:
    """Scores of no single class: a table of all is too wide to be read."""
    names = dict.fromkeys(name for record in records for name in record.added if "/" not in name)
    return compare(records, study, baseline, metrics=list(names)) if names else None


def _search_of(store: Store, study: str) -> Search | None:
    """None also where its record is damaged, which the comparison tells."""
    try:
        return searches.read_search(store, study)
    except StoreError:
        return None


def _effects_of(
    store: Store, study: str, records: Sequence[RunRecord], details: StudyDetails
) -> tuple[Effects, ...]:
    """None for a study of one factor, whose effects are the comparison, and for one that has no effects."""
    if SearchFolder.of(store, study).exists():
        return ()
    subject = open_if_there(store.study_card(study).spec)
    try:
        found = effects(records, study, subject, baseline=details.baseline)
    except StudyError:
        return ()
    return tuple(each for each in found if len(each.axes) > 1)


def _decision(store: Store, study: str) -> Decision | None:
    """Whether claims were decided by a plan; a damaged record is told of by ``ablate decide``."""
    try:
        found = read_decision(store, study)
    except StoreError:
        return None
    return found if found and found.looks else None


def _noise(records: Sequence[RunRecord], comparison: Comparison) -> dict[str, list[Noise]]:
    """Of each baseline with seeds enough to speak of."""
    names = {row.name for row in comparison.conditions if row.is_baseline}
    baselines = [group for group in group_runs(records) if group.name in names]
    found = noise.noise_of_groups(records, baselines, comparison.units, comparison.metrics)
    enough = {name: [each for each in those if each.n >= LEAST_SEEDS] for name, those in found.items()}
    return {name: those for name, those in enough.items() if those}
