"""How a study's claims are decided, look by look: from a frozen plan and scores to findings.

A look at n seeds is a function of the plan, of the scores of seeds 0 to n - 1, and of what the looks before
it have ended. So it can be taken again, after whatever was killed, with the same outcome.

A claim that lacks a seed at a look is not tested at it, nor at later ones, for which it would lack it too; so
nothing more is trained for it before that seed has a result.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from ablate.analysis.compare import Group, group_runs
from ablate.analysis.query import RunRecord, units_of
from ablate.analysis.sequential import (
    Answer,
    Question,
    Rule,
    Sample,
    is_strongly_skewed,
    look,
    make_rule,
)
from ablate.design.claims import Claim
from ablate.record.decision import Comparison, Finding, Interval, Method, Plan, PlannedClaim

FIRST_ANYTIME_LOOK = 3  # seeds
ENDED = ("supported", "refuted", "too small to matter")
REJECTED = ("supported", "refuted")

# What is known of each condition, by its id, and metric: the score of each seed.
Scores = Mapping[tuple[str, str], Mapping[int, float]]
Findings = Mapping[str, Finding]


# --------------------------------------------------------------------------------------------- the plan


def make_plan(
    study: str,
    data: str,
    claims: Sequence[Claim],
    conditions: Mapping[str, str],
    method: Method,
    looks: Sequence[int],
    error: float,
) -> Plan:
    """A plan without its levels. ``conditions`` maps the names that the claims use to ids, and maybe more."""
    planned = [_planned(claim, conditions) for claim in claims]
    used = {identifier for claim in planned for identifier in claim.conditions}
    return Plan(
        study=study,
        data=data,
        method=method,
        error=error,
        looks=list(looks),
        claims=planned,
        conditions={identifier: name for name, identifier in conditions.items() if identifier in used},
        levels={},
    )


def _planned(claim: Claim, conditions: Mapping[str, str]) -> PlannedClaim:
    sides = [
        *((better, worse, claim.metric) for better in claim.better for worse in claim.worse),
        *((better, better, metric) for better in claim.better for metric in claim.than),
    ]
    comparisons = [
        Comparison(better=conditions[better], worse=conditions[worse], metric=claim.metric, than=than)
        for better, worse, than in sides
    ]
    return PlannedClaim(id=claim.id, margin=claim.margin, interest=claim.interest, comparisons=comparisons)


def with_levels(plan: Plan) -> Plan:
    """The plan with the level of each look, which takes about a second to simulate."""
    counts = [len(claim.comparisons) for claim in plan.claims]
    levels = make_rule(plan.method, plan.looks, plan.error, counts).levels
    return plan.model_copy(update={"levels": {str(k): level for k, level in levels.items()}})


def rule_of(plan: Plan) -> Rule:
    """The rule as it was frozen."""
    levels = {int(k): level for k, level in plan.levels.items()}
    return Rule(plan.method, plan.error, len(plan.claims), levels)


# ------------------------------------------------------------------------------------- where it stands


def open_claims(plan: Plan, findings: Findings) -> list[PlannedClaim]:
    """The claims that the next look is about: those that are neither ended nor lack a seed."""
    return [
        claim
        for claim in plan.claims
        if (found := findings.get(claim.id)) is None or (found.verdict == "undecided" and not found.waits_for)
    ]


def open_conditions(plan: Plan, findings: Findings) -> list[str]:
    """The ids of the conditions that an open claim names, in the order of the plan."""
    named = {identifier for claim in open_claims(plan, findings) for identifier in claim.conditions}
    return [identifier for identifier in plan.conditions if identifier in named]


def next_look(plan: Plan, last: int, at_once: int = 1, taken: Iterable[int] = ()) -> int | None:
    """At how many seeds to look next; None after the last look.

    Where one may look at any time, after ``at_once`` seeds more, unless there is one ``taken`` already.
    """
    later = [n for n in plan.looks if n > last]
    if not later or plan.method == "group sequential":
        return later[0] if later else None
    known = [n for n in taken if n > last]
    if known:
        return min(known)
    return later[0] if last == 0 else later[min(max(1, at_once), len(later)) - 1]


def seeds_spent(plan: Plan, findings: Findings) -> dict[str, int]:
    """Condition id -> how many seeds the looks needed of it."""
    spent = dict.fromkeys(plan.conditions, 0)
    for claim in plan.claims:
        n = findings[claim.id].n if claim.id in findings else 0
        for identifier in claim.conditions:
            spent[identifier] = max(spent[identifier], n)
    return spent


# --------------------------------------------------------------------------------------------- one look


def scores_of(plan: Plan, records: Sequence[RunRecord]) -> Scores:
    """The scores of the plan's conditions; where a metric is undefined there is none."""
    groups: dict[str, Group] = {group.first.condition_id: group for group in group_runs(records)}
    wanted = {
        side
        for claim in plan.claims
        for each in claim.comparisons
        for side in ((each.better, each.metric), (each.worse, each.than))
    }
    return {
        (identifier, metric): groups[identifier].scores(metric) if identifier in groups else {}
        for identifier, metric in wanted
    }


def signs_of(plan: Plan, records: Sequence[RunRecord]) -> dict[str, int]:
    """Metric -> 1 where more is better, -1 where less is."""
    units = units_of(records)
    metrics = {each.metric for claim in plan.claims for each in claim.comparisons}
    return {metric: units.of(metric).sign for metric in metrics}


def take_look(
    plan: Plan, rule: Rule, n: int, scores: Scores, signs: Mapping[str, int], findings: Findings
) -> dict[str, Finding]:
    """What a look at n seeds says of each open claim. ``findings`` are those of the looks before it."""
    open_ = {claim.id: claim for claim in open_claims(plan, findings)}
    lacking = {name: _lacking(claim, n, scores) for name, claim in open_.items()}
    whole = {name: claim for name, claim in open_.items() if not lacking[name]}
    questions = {name: _question(claim, n, scores, signs) for name, claim in whole.items()}
    n_rejected = sum(found.verdict in REJECTED for found in findings.values())
    answers = look(rule, questions, len(plan.claims) - n_rejected)
    return {
        name: _finding(n, questions[name], answers[name], signs[claim.comparisons[0].metric])
        if name in whole
        else Finding(verdict="undecided", n=n, waits_for=lacking[name])
        for name, claim in open_.items()
    }


def _lacking(claim: PlannedClaim, n: int, scores: Scores) -> dict[str, list[int]]:
    """The seeds below n without a score, by condition."""
    lacking: dict[str, set[int]] = {}
    for each in claim.comparisons:
        for side in ((each.better, each.metric), (each.worse, each.than)):
            known = scores[side]
            if missing := {seed for seed in range(n) if seed not in known}:
                lacking.setdefault(side[0], set()).update(missing)
    return {identifier: sorted(seeds) for identifier, seeds in lacking.items()}


def _question(claim: PlannedClaim, n: int, scores: Scores, signs: Mapping[str, int]) -> Question:
    samples = []
    for each in claim.comparisons:
        better, worse = scores[each.better, each.metric], scores[each.worse, each.than]
        sign = signs[each.metric]
        samples.append(Sample.of([sign * (better[seed] - worse[seed]) for seed in range(n)]))
    return Question(tuple(samples), claim.margin, claim.interest)


def _finding(n: int, question: Question, answer: Answer, sign: int) -> Finding:
    intervals = [
        _interval(sample.mean, interval, sign)
        for sample, interval in zip(question.samples, answer.intervals, strict=True)
    ]
    is_skewed = any(is_strongly_skewed(sample) for sample in question.samples)
    return Finding(
        verdict=answer.ruling,
        n=n,
        p=answer.p,
        level=answer.level,
        intervals=intervals,
        is_skewed=is_skewed,
        is_constant=not all(sample.sd for sample in question.samples),
    )


def _interval(mean: float, interval: tuple[float, float] | None, sign: int) -> Interval:
    """Of the better side minus the worse one, also where less is better."""
    low, high = interval or (-math.inf, math.inf)
    ends = (low, high) if sign > 0 else (-high, -low)
    low_, high_ = (end if math.isfinite(end) else None for end in ends)
    return Interval(mean=sign * mean, low=low_, high=high_)
