"""The claims of a study, judged by its runs.

A claim stands for one or more comparisons, each a difference paired by seed (``ablate.analysis.intervals``):

    supported      in every comparison, the better side is better by more than the margin
    refuted        in some comparison, it is certainly not
    inconclusive   neither, or a comparison has no data yet
    no data        no comparison has a seed in common

Supported asks for all comparisons, so each is tested at the full level, the one-sided 2.5 % of a 95 % CI: a
claim that is false in one comparison passes only if that comparison errs (an intersection-union test; Berger
1982, "Multiparameter Hypothesis Testing and Acceptance Sampling"). Refuted asks for any one, so the 2.5 % are
shared among them (Bonferroni). If no condition differs from another, a claim is thus wrongly decided in at
most 5 % of studies, either way together. Each claim is a question of its own: nothing is adjusted over the
claims of a study.

Verdicts are over seeds. Where the runs keep counts by item, a clause says whether the verdict holds over
seeds and items as well (``ablate.analysis.crossed``): on other recordings, say, than those it was found on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from ablate.analysis.byitem import Counts, Crossed, NotByItem, kept, over_items, upper_p_over
from ablate.analysis.compare import Group, Missing, folding_of, group_runs, named, nearest_group
from ablate.analysis.folds import Folding
from ablate.analysis.intervals import (
    CONFIDENCE,
    MAX_SEEDS,
    Difference,
    paired_difference,
    seeds_needed,
    upper_p,
)
from ablate.analysis.others import crossing
from ablate.analysis.query import RunRecord, units_of
from ablate.analysis.units import Scale
from ablate.design.claims import Claim, StudyDetails
from ablate.ground.wording import joined
from ablate.subject.metrics import Metrics

VerdictName = Literal["supported", "refuted", "inconclusive", "no data"]
Outcome = Literal["for", "against", "open", "no data"]

LEVEL = (1 - CONFIDENCE) / 2  # one-sided


@dataclass(frozen=True)
class Contrast:
    """One comparison of a claim: ``metric`` of ``better`` minus ``than`` of ``worse``, paired by seed.

    ``than`` is the same metric, or ``worse`` the same condition. ``difference`` is None without a seed in
    common. ``better_runs`` and ``worse_runs`` are the ids of the runs behind it, in the order of ``seeds``;
    ``missing`` are the seeds planned for either that are not in it. ``p`` is the one-sided p that the
    difference exceeds the claim's margin (of a metric of which less is better: that it lies as far below 0),
    ``p_against`` that it does not; None for less than two seeds.
    """

    better: str
    worse: str
    metric: str
    than: str
    difference: Difference | None
    p: float | None
    p_against: float | None
    outcome: Outcome
    seeds: tuple[int, ...]
    missing: tuple[int, ...]
    better_runs: tuple[str, ...]
    worse_runs: tuple[str, ...]


@dataclass(frozen=True)
class OnOthers:
    """What the same comparisons say of other seeds and other items, of which one is called ``kind``.

    ``verdict`` and ``differences``, one a comparison and None where it has no data, have their intervals and
    p-values over both. Where the counts do not say, ``verdict`` is None and there are no differences.
    """

    kind: str
    verdict: VerdictName | None
    differences: tuple[Difference | None, ...]
    clause: str


@dataclass(frozen=True)
class Verdict:
    """A claim, what became of it, and why in one sentence.

    ``seeds_needed`` is set when more seeds would decide an inconclusive claim: how many, in all, if the
    differences and spreads observed are the true ones. ``missing`` names the planned seeds without a result.
    ``in_percent``: its metric is a fraction. ``more_is_better`` of it. ``folding`` is set where the scores of
    a seed are those of its folds, and speaks of the metrics of all claims. ``others`` says whether a verdict
    for or against holds on other items, where any run of the claim keeps counts by item; what is not clear
    over seeds is not over both.
    """

    claim: Claim
    verdict: VerdictName
    sentence: str
    comparisons: tuple[Contrast, ...]
    seeds_needed: int | None = None
    missing: tuple[tuple[str, tuple[Missing, ...]], ...] = ()
    in_percent: bool = True
    more_is_better: bool = True
    folding: Folding | None = None
    others: OnOthers | None = None


def judge(records: Sequence[RunRecord], details: StudyDetails) -> list[Verdict]:
    """The verdict on each claim of a study, in the order of its study file. Never raises for want of data.

    A name that several conditions share, as in a study of two profiles or data sets, stands for all of them;
    each is compared with the nearest of the other side on the same data.
    """
    groups = group_runs(records)
    units = units_of(records)
    counts = Counts()
    metrics = dict.fromkeys(name for claim in details.claims for name in (claim.metric, *claim.than))
    folding = folding_of(groups, list(metrics))
    return [replace(judge_claim(claim, groups, units, counts), folding=folding) for claim in details.claims]


def judge_claim(claim: Claim, groups: Sequence[Group], units: Metrics, counts: Counts) -> Verdict:
    """The verdict on one claim about these conditions."""
    pairs = pairs_of(claim, groups)
    tested = sum(len(paired_seeds(*pair)) > 1 for pair in pairs)
    sign = units.of(claim.metric).sign
    contrasts = tuple(_contrast(pair, sign, claim.margin, tested) for pair in pairs)
    verdict = _verdict([contrast.outcome for contrast in contrasts])
    needed = _seeds_needed(contrasts, sign, claim.margin) if verdict == "inconclusive" else None
    words = _Words.of(claim, contrasts, units)
    others = None
    if verdict in ("supported", "refuted") and any(_keeps_items(side) for pair in pairs for side in pair):
        others = _on_others(pairs, contrasts, verdict, words, counts)
    return Verdict(
        claim=claim,
        verdict=verdict,
        sentence=words.sentence(verdict, contrasts, needed, others),
        comparisons=contrasts,
        seeds_needed=needed,
        missing=_missing(pairs),
        in_percent=units.of(claim.metric).is_fraction,
        more_is_better=sign > 0,
        others=others,
    )


# The comparisons that a claim stands for.


@dataclass(frozen=True)
class Side:
    """One side of a comparison; ``group`` is None when the study has no such condition."""

    name: str
    group: Group | None
    metric: str

    def scores(self) -> Mapping[int, float]:
        return {} if self.group is None else self.group.scores(self.metric)

    def run_ids(self, seeds: Sequence[int]) -> tuple[str, ...]:
        ids = {} if self.group is None else self.group.run_ids()
        return tuple(ids[seed] for seed in seeds)

    def planned(self) -> set[int]:
        return set() if self.group is None else {run.seed for run in self.group.runs}


Pair = tuple[Side, Side]


def pairs_of(claim: Claim, groups: Sequence[Group]) -> list[Pair]:
    """Both sides of each comparison, the better one first."""
    betters = [side for name in claim.better for side in _sides(name, claim.metric, groups)]
    if claim.than:
        return [(side, Side(side.name, side.group, metric)) for side in betters for metric in claim.than]
    return [(side, _opponent(side, name, groups)) for side in betters for name in claim.worse]


def _sides(name: str, metric: str, groups: Sequence[Group]) -> list[Side]:
    return [Side(group.name, group, metric) for group in named(groups, name)] or [Side(name, None, metric)]


def _opponent(side: Side, name: str, groups: Sequence[Group]) -> Side:
    candidates = named(groups, name)
    nearest = None if side.group is None else nearest_group(side.group, candidates)
    return Side(name if nearest is None else nearest.name, nearest, side.metric)


def paired_seeds(better: Side, worse: Side) -> list[int]:
    """The seeds that both sides have a score of, rising."""
    return sorted(better.scores().keys() & worse.scores().keys())


def _contrast(pair: Pair, sign: int, margin: float, tested: int) -> Contrast:
    better, worse = pair
    seeds = paired_seeds(better, worse)
    difference = paired_difference(better.scores(), worse.scores())
    p, p_against = _p_values(difference, sign, margin)
    return Contrast(
        better=better.name,
        worse=worse.name,
        metric=better.metric,
        than=worse.metric,
        difference=difference,
        p=p,
        p_against=p_against,
        outcome=_outcome(difference, p, p_against, tested),
        seeds=tuple(seeds),
        missing=tuple(sorted((better.planned() | worse.planned()) - set(seeds))),
        better_runs=better.run_ids(seeds),
        worse_runs=worse.run_ids(seeds),
    )


def _missing(pairs: Sequence[Pair]) -> tuple[tuple[str, tuple[Missing, ...]], ...]:
    """Each condition once that lacks a planned seed, or that the study does not have at all."""
    sides = {side.name: side for pair in pairs for side in pair}
    lacking = {name: side.group.missing() for name, side in sides.items() if side.group is not None}
    return tuple((name, missing) for name, missing in lacking.items() if missing)


# From differences to a verdict.


def _p_values(difference: Difference | None, sign: int, margin: float) -> tuple[float | None, float | None]:
    if difference is None or difference.sd is None:
        return None, None
    above = sign * difference.mean - margin
    return upper_p(above, difference.sd, difference.n), upper_p(-above, difference.sd, difference.n)


def _outcome(difference: Difference | None, p: float | None, p_against: float | None, tested: int) -> Outcome:
    if difference is None:
        return "no data"
    if p is not None and p < LEVEL:
        return "for"
    if p_against is not None and p_against < LEVEL / tested:
        return "against"
    return "open"


def _verdict(outcomes: Sequence[Outcome]) -> VerdictName:
    if "against" in outcomes:
        return "refuted"
    if set(outcomes) <= {"no data"}:
        return "no data"
    return "supported" if set(outcomes) == {"for"} else "inconclusive"


def _seeds_needed(contrasts: Sequence[Contrast], sign: int, margin: float) -> int | None:
    """How many seeds would support the claim or, where a difference points the other way, refute it."""
    effects = [_effect(contrast.difference, sign, margin) for contrast in contrasts]
    known = [effect for effect in effects if effect is not None]
    if len(known) < len(effects):
        return None
    if min(known) < 0:
        return seeds_needed([-min(known)], LEVEL / len(known))
    return seeds_needed(known, LEVEL)


def _effect(difference: Difference | None, sign: int, margin: float) -> float | None:
    """The distance from the margin in standard deviations; None without any spread to measure by."""
    if difference is None or difference.sd is None:
        return None
    above = sign * difference.mean - margin
    if math.isclose(above, 0, abs_tol=1e-12):
        return 0.0
    return above / difference.sd if difference.sd else math.copysign(math.inf, above)


# The same over seeds and items.


def _keeps_items(side: Side) -> bool:
    """Whether any finished run keeps counts by item, damaged or not."""
    try:
        return side.group is not None and any(kept(run) is not None for run in side.group.finished())
    except NotByItem:
        return True


def _on_others(
    pairs: Sequence[Pair],
    contrasts: Sequence[Contrast],
    verdict: VerdictName,
    words: "_Words",
    counts: Counts,
) -> OnOthers:
    """The comparisons with their intervals and p-values over both, judged by the same rules."""
    sign = words.scale.metric.sign
    try:
        crossed = [
            _crossed(pair, contrast, sign, counts) for pair, contrast in zip(pairs, contrasts, strict=True)
        ]
    except NotByItem as reason:
        return OnOthers("item", None, (), f"nothing can be said of other items: {reason}")
    there = tuple(
        _over_both(contrast, found, sign, words.claim.margin, contrasts)
        for contrast, found in zip(contrasts, crossed, strict=True)
    )
    kind = next(found.kind for found in crossed if found is not None)
    name = _verdict([contrast.outcome for contrast in there])
    clause = words.on_others(verdict, name, there, f"other {kind}s")
    return OnOthers(kind, name, tuple(contrast.difference for contrast in there), clause)


def _crossed(pair: Pair, contrast: Contrast, sign: int, counts: Counts) -> Crossed | None:
    """A comparison by seed and item; None without a seed in common. Raises NotByItem."""
    better, worse = pair
    if contrast.difference is None or better.group is None or worse.group is None:
        return None
    return crossing(better.group, worse.group, (better.metric, worse.metric), sign, counts)


def _over_both(
    contrast: Contrast, crossed: Crossed | None, sign: int, margin: float, contrasts: Sequence[Contrast]
) -> Contrast:
    """The comparison over seeds and items."""
    found = contrast.difference
    if found is None or crossed is None:
        return contrast
    above = sign * found.mean - margin
    p, p_against = (upper_p_over(found, crossed, "both", distance) for distance in (above, -above))
    tested = sum(each.p is not None for each in contrasts)
    return replace(
        contrast,
        difference=over_items(found, crossed, "both"),
        p=p,
        p_against=p_against,
        outcome=_outcome(found, p, p_against, tested),
    )


# The sentence.


@dataclass(frozen=True)
class _Words:
    """How a claim's metric is spoken of: its numbers, and on which side of which bound they are to lie."""

    claim: Claim
    units: Metrics
    scale: Scale

    @classmethod
    def of(cls, claim: Claim, contrasts: Sequence[Contrast], units: Metrics) -> "_Words":
        means = [contrast.difference.mean for contrast in contrasts if contrast.difference]
        return cls(claim, units, Scale.of(units.of(claim.metric), [*means, claim.margin]))

    @property
    def bound(self) -> str:
        """``0`` or ``2`` points of a fraction; where less is better, the number below 0."""
        factor = 100 if self.scale.metric.is_fraction else 1
        return f"{self.scale.metric.sign * factor * self.claim.margin + 0.0:g}"

    @property
    def above(self) -> str:
        return "above" if self.scale.metric.sign > 0 else "below"

    @property
    def below(self) -> str:
        return "below" if self.scale.metric.sign > 0 else "above"

    def sentence(
        self,
        verdict: VerdictName,
        contrasts: Sequence[Contrast],
        needed: int | None,
        others: OnOthers | None,
    ) -> str:
        if verdict == "no data":
            return self._no_data(contrasts)
        more = f"; {others.clause}" if others else ""
        sentence = f"{self._evidence(contrasts)}: {self._decision(verdict, contrasts, needed)}{more}."
        return sentence[0].upper() + sentence[1:]

    def _evidence(self, contrasts: Sequence[Contrast]) -> str:
        """``event micro F of mtl minus that of grl_s1 +4.55 [+3.20, +5.90], grl_s2 ... points (n = 10)``."""
        known = [contrast for contrast in contrasts if contrast.difference is not None]
        counts = {_n(contrast) for contrast in known}
        shared = counts.pop() if len(counts) == 1 else None
        parts = []
        for (better, metric), group in groupby(
            known, key=lambda contrast: (contrast.better, contrast.metric)
        ):
            terms = [self._term(contrast, shared is None) for contrast in group]
            parts.append(f"{self.units.label(metric)} of {better} minus that of {', '.join(terms)}")
        unit = "points" if self.scale.metric.is_fraction else self.scale.metric.unit
        return f"{'; '.join(parts)} {unit}".rstrip() + (f" ({shared})" if shared else "")

    def _term(self, contrast: Contrast, with_n: bool) -> str:
        numbers = f"{self._subtrahend(contrast)} {self._difference(contrast.difference)}"
        return numbers + f" ({_n(contrast)})" * with_n

    def _subtrahend(self, contrast: Contrast) -> str:
        """What tells a comparison from the others of its claim."""
        return contrast.worse if contrast.than == contrast.metric else self._rest(contrast)

    def _rest(self, contrast: Contrast) -> str:
        """The other metric's label without what both labels begin with: ``city center with home``."""
        own, other = contrast.metric.split("/", 1), contrast.than.split("/", 1)
        label = self.units.label(contrast.than)
        return label.removeprefix(self.units.label(own[0])).strip() if own[0] == other[0] else label

    def _difference(self, difference: Difference | None) -> str:
        """A difference with its interval."""
        if difference is None:
            return ""
        return f"{self.scale.difference(difference.mean)} {self._interval(difference)}".rstrip()

    def _decision(self, verdict: VerdictName, contrasts: Sequence[Contrast], needed: int | None) -> str:
        if verdict == "supported":
            return self._support(contrasts)
        if verdict == "refuted":
            against = [contrast for contrast in contrasts if contrast.outcome == "against"]
            return self._refutation(against, sum(contrast.p is not None for contrast in contrasts))
        return self._doubt(contrasts, needed)

    def _support(self, contrasts: Sequence[Contrast]) -> str:
        which = "the 95 % CI lies" if len(contrasts) == 1 else f"all {len(contrasts)} 95 % CIs lie"
        constant = any(contrast.difference and not contrast.difference.sd for contrast in contrasts)
        note = " (where all seeds agree exactly, by a sign-flip test)" * constant
        return f"{which} {self.above} {self.bound}{note}"

    def _refutation(self, against: Sequence[Contrast], tested: int) -> str:
        worst = max(contrast.p_against or 0.0 for contrast in against)
        adjusted = f", adjusted for {tested} comparisons" if tested > 1 else ""
        p = min(1.0, worst * tested)
        value = "< 0.001" if p < 0.001 else f"= {p:.3f}"
        verb = "lies" if len(against) == 1 else "lie"
        return f"{self._names(against)} {verb} {self.below} {self.bound} (one-sided p {value}{adjusted})"

    def _doubt(self, contrasts: Sequence[Contrast], needed: int | None) -> str:
        absent = [contrast for contrast in contrasts if contrast.outcome == "no data"]
        if absent:
            return f"no data yet for {self._names(absent)}"
        if any(contrast.p is None for contrast in contrasts):
            return "one seed shows no spread, so nothing is decided; plan five or more"
        unsure = [contrast for contrast in contrasts if contrast.outcome == "open"]
        if len(unsure) == len(contrasts):
            which = "it is not" if len(unsure) == 1 else "none of them is"
        else:
            which = f"{self._names(unsure)} {'is' if len(unsure) == 1 else 'are'} not"
        return f"{which} clear of {self.bound}; {self._outlook(contrasts, needed)}"

    def _outlook(self, contrasts: Sequence[Contrast], needed: int | None) -> str:
        if needed is None:
            return f"at differences so near {self.bound}, not even {MAX_SEEDS:,} seeds would tell"
        against = any(contrast.p is not None and contrast.p > 0.5 for contrast in contrasts)
        return f"at these differences, about {needed} seeds would {'refute' if against else 'support'} it"

    def on_others(
        self, verdict: VerdictName, there: VerdictName, contrasts: Sequence[Contrast], others: str
    ) -> str:
        """Whether a verdict over seeds is the same over ``others`` too; ``contrasts`` are over both."""
        if verdict == there:
            return f"{'this holds' if verdict == 'supported' else 'it is refuted'} on {others} too"
        unsure = [contrast for contrast in contrasts if contrast.outcome != "for"]
        terms = [f"{self._subtrahend(each)} {self._interval(each.difference)}".rstrip() for each in unsure]
        return f"not {'shown' if verdict == 'supported' else 'refuted'} for {others}: {joined(terms)}"

    def _interval(self, difference: Difference | None) -> str:
        return self.scale.interval(difference.ci_low, difference.ci_high) if difference else ""

    def _names(self, contrasts: Sequence[Contrast]) -> str:
        """``grl_s1, grl_s2 and fake_scene``, as they stand in the evidence."""
        names = list(dict.fromkeys(map(self._subtrahend, contrasts)))
        return joined(names)

    def _no_data(self, contrasts: Sequence[Contrast]) -> str:
        if not contrasts:
            return "The claim compares nothing."
        betters = " and ".join(dict.fromkeys(contrast.better for contrast in contrasts))
        metric = self.units.label(contrasts[0].metric)
        return f"No seed has {metric} of both {betters} and {self._names(contrasts)}."


def _n(contrast: Contrast) -> str:
    n = len(contrast.seeds)
    return f"n = {n}" + (f" of {n + len(contrast.missing)}" if contrast.missing else "")
