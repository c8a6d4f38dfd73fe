"""What MLflow says of a study in words, as its experiment's description: what it asks, and by which runs.

Users may write it as well: a description that somebody has changed stays theirs.
"""

from collections.abc import Iterator, Sequence

from ablate.design.claims import Claim
from ablate.design.conditions import show
from ablate.ground.errors import AblateError
from ablate.ground.wording import count, some
from ablate.record.rundir import RunFolder
from ablate.record.searches import SearchFolder
from ablate.record.store import Store
from ablate.subject.interface import NO_DATA, Card
from ablate.tracking.baselines import UNNAMED
from ablate.tracking.descriptions import literal
from ablate.tracking.projection import TAG_LIMIT

MAX_NAMED = 12  # conditions, or levels of a factor
MAX_CLAIMS = 8
MAX_QUESTION = 1000  # characters

READING = """\
**Views** (top right) holds *Conditions*, the means over seeds, and *Runs*. Written by `ablate` from its run \
folders. The run *report*, which `ablate report` writes, has the differences between conditions with their \
confidence intervals, as `ablate compare` shows them. Scores that are percentages elsewhere are fractions \
here, with all their digits; what an epoch reports is under `curves/`. Every factor is a param of its own \
name, to group by or to filter by."""


def describe_study(store: Store, study: str, card: Card) -> str:
    """In Markdown. Raises StudyError when there is no such study, StoreError when it cannot be read."""
    details = store.study_details(study)
    question = " ".join(details.question.split())[:MAX_QUESTION]
    facts = "\n".join(f"- {line}" for line in _facts(store, study, card))
    claims = _claims(details.claims)
    parts = [literal(question), facts, claims, READING]
    return "\n\n".join(part for part in parts if part)[:TAG_LIMIT]


def _facts(store: Store, study: str, card: Card) -> Iterator[str]:
    folders = store.study_runs(study)
    baseline = store.study_details(study).baseline or UNNAMED
    is_search = SearchFolder.of(store, study).exists()
    yield from _search(store, study) if is_search else _conditions(folders, baseline)
    varied = _levels(folders)
    if varied:
        listed = [f"`{name}` ({_some(levels)})" for name, levels in varied.items()]
        yield f"**Factors**: {_some(listed)}"
    labels = [card.metrics.label(name) for name in card.metrics.headline(card.metrics.names)]
    if labels:
        yield f"**Metrics**: {literal(_some(labels))}"
    yield from _data(folders)
    commands = [f"`{command}`" for command in store.study_commands(study)]
    if commands:
        yield f"**Made by** {_some(commands)}"


def _search(store: Store, study: str) -> Iterator[str]:
    """Of a search's trials, which become more, only what they look for."""
    try:
        plan = SearchFolder.of(store, study).plan()
    except AblateError:  # a damaged record, as `ablate search` will tell
        return
    goals = " and ".join(f"`{metric}` ({way})" for metric, way in plan.objectives.items())
    yield f"**A search** for the best {goals}, drawn by {plan.sampler}; its conditions are trials"


def _conditions(folders: Sequence[RunFolder], baseline: str) -> Iterator[str]:
    names = list(dict.fromkeys(folder.name for folder in folders))
    seeds = {folder.seed for folder in folders}
    folds = {folder.fold for folder in folders} - {None}
    product = [count(len(names), "condition"), count(len(seeds), "seed")]
    product += [count(len(folds), "fold")] * bool(folds)
    is_full = len(folders) == len(names) * len(seeds) * max(1, len(folds))
    runs = f"{' x '.join(product)} = " if is_full else f"{', '.join(product)}, not all of each: "
    # The baseline first, since of many conditions only some are named.
    named = sorted(names, key=lambda name: name != baseline)
    told = [f"`{name}`" + " (the baseline)" * (name == baseline) for name in named]
    yield f"{runs}{count(len(folders), 'run')}: {_some(told)}"


def _levels(folders: Sequence[RunFolder]) -> dict[str, list[str]]:
    """The levels of each factor that has several, in the order of planning."""
    found: dict[str, dict[str, None]] = {}
    for folder in folders:
        for name, level in (folder.condition or {}).items():
            found.setdefault(name, {})[show(level)] = None
    return {name: list(levels) for name, levels in found.items() if len(levels) > 1}


def _data(folders: Sequence[RunFolder]) -> Iterator[str]:
    """As the first run says that can be read; all have the same."""
    for folder in folders:
        try:
            dataset = folder.run().dataset
        except AblateError:  # a damaged folder, as shipping it will tell
            continue
        if dataset.digest != NO_DATA:
            yield f"**Data**: {literal(dataset.name)} (digest `{dataset.digest}`)"
        return


def _claims(claims: Sequence[Claim]) -> str:
    """A list of its own; none without claims."""
    if not claims:
        return ""
    lines = [f"- {literal(claim.id)}: {literal(claim.text)}" for claim in claims[:MAX_CLAIMS]]
    more = [f"- and {len(claims) - MAX_CLAIMS} more"] * (len(claims) > MAX_CLAIMS)
    return "\n".join(["**Claims**, which `ablate claims` judges:", "", *lines, *more])


def _some(names: Sequence[str]) -> str:
    return some(names, MAX_NAMED, ", ")
