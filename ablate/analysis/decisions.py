"""A decision as text: its plan, each look, and the verdicts that came of it."""

from collections.abc import Iterator
from typing import Any

from ablate.analysis.deciding import Findings, seeds_spent
from ablate.analysis.layout import Column, filled, text_table
from ablate.analysis.tables import seed_list
from ablate.analysis.units import NOTHING, Scale
from ablate.ground.wording import count, joined
from ablate.record.decision import Comparison, Decision, Finding, Plan, PlannedClaim, day
from ablate.subject.metrics import Metrics

TITLES = ("claim", "verdict", "n", "difference", "Δ", "repeated interval", "p", "level")
TEXTS = {"claim", "verdict", "difference"}  # the others are numbers


def describe(decision: Decision) -> list[str]:
    """The plan in a few sentences."""
    plan = decision.plan
    n = len(plan.claims)
    share = f"{100 * plan.error:g} %"
    first, last = _level(plan.levels[str(n)]), _level(plan.levels["1"])
    levels = f"p < {first}" if n == 1 else f"p < {first} while all {n} are open, p < {last} for the last one"
    return [
        f"at most {plan.max_seeds} seeds of {count(len(plan.conditions), 'condition')}: "
        f"{count(plan.most_runs, 'run')}",
        f"looks {_looks(plan)}; a claim is decided at {levels}",
        f"at most {share} of studies decide any claim wrongly, over all looks and claims",
        f"plan {plan.digest}",
    ]


def _looks(plan: Plan) -> str:
    if plan.method == "anytime-valid":
        return f"at any number of seeds from {plan.looks[0]} on (anytime-valid t tests)"
    return f"at {joined(plan.looks)} seeds (group sequential t tests)"


def table(plan: Plan, findings: Findings, units: Metrics, width: int | None = None) -> str:
    """A line a claim: its seeds, weakest difference with the repeated interval, p, level and verdict."""
    rows = rows_of(plan, findings, units)
    columns = [
        Column((title,), tuple(row[place] for row in rows), text=title in TEXTS)
        for place, title in enumerate(TITLES)
    ]
    return text_table(columns[0], [], [[column] for column in columns[1:]], width)


def rows_of(plan: Plan, findings: Findings, units: Metrics) -> list[tuple[str, ...]]:
    """The table's cells, a row for each claim that was looked at."""
    return [_row(plan, claim, findings[claim.id], units) for claim in plan.claims if claim.id in findings]


def _row(plan: Plan, claim: PlannedClaim, finding: Finding, units: Metrics) -> tuple[str, ...]:
    place = weakest(claim, finding, units)
    difference, mean, interval = _difference(plan, claim, finding, place, units)
    p = NOTHING if finding.p is None else _p(finding.p)
    level = NOTHING if finding.level is None else _level(finding.level)
    verdict = "waits" if finding.waits_for else finding.verdict
    return claim.id, verdict, str(finding.n), difference, mean, interval, p, level


def weakest(claim: PlannedClaim, finding: Finding, units: Metrics) -> int:
    """The place of the comparison that speaks least for the claim."""
    sign = units.of(claim.comparisons[0].metric).sign
    return min(
        range(len(finding.intervals)), key=lambda place: sign * finding.intervals[place].mean, default=0
    )


def _difference(
    plan: Plan, claim: PlannedClaim, finding: Finding, place: int, units: Metrics
) -> tuple[str, str, str]:
    """What is compared, the mean difference, and its interval."""
    comparison = claim.comparisons[place]
    if not finding.intervals:
        return _compared(plan, comparison, units), NOTHING, NOTHING
    found = finding.intervals[place]
    metric = units.of(comparison.metric)
    scale = Scale.of(metric, [found.mean])
    unit = "" if metric.is_fraction or not metric.unit else f" {metric.unit}"
    interval = scale.interval(found.low, found.high) or NOTHING
    return _compared(plan, comparison, units), scale.difference(found.mean) + unit, interval


def _compared(plan: Plan, comparison: Comparison, units: Metrics) -> str:
    better, worse = plan.conditions[comparison.better], plan.conditions[comparison.worse]
    if comparison.than == comparison.metric:
        return f"{better} - {worse}"
    return f"{units.label(comparison.metric)} - {units.label(comparison.than)}"


def _p(p: float) -> str:
    return f"{p:.4f}" if p >= 0.0001 else "< 0.0001"


def _level(level: float) -> str:
    return f"{level:.4f}" if level >= 0.001 else f"{level:.2g}"


def notes(decision: Decision, findings: Findings, units: Metrics) -> list[str]:
    """How to read the verdicts, a sentence or two each, and what to doubt."""
    plan = decision.plan
    metrics = [each.metric for claim in plan.claims for each in claim.comparisons]
    points = "in points and " if all(units.of(metric).is_fraction for metric in metrics) else ""
    several = any(len(claim.comparisons) > 1 for claim in plan.claims)
    share = f"{100 * (1 - plan.error):g} %"
    return [
        f"Δ is {points}paired by seed{', of the comparison that speaks least for the claim' * several}; "
        f"repeated intervals hold at all looks and for all claims together, in {share} of studies. p and "
        "level are two-sided.",
        *_waiting(plan, findings),
        *_skewed(findings),
        *_constant(findings),
        *_known_before(decision),
    ]


def _waiting(plan: Plan, findings: Findings) -> Iterator[str]:
    for name, finding in findings.items():
        if finding.waits_for:
            lacking = "; ".join(
                f"{seed_list(seeds)} of {plan.conditions[identifier]}"
                for identifier, seeds in finding.waits_for.items()
            )
            yield (
                f"{name} is not tested at {finding.n} seeds and trains nothing more: it waits for a score "
                f"of {lacking}. Failed runs are trained again only with --retry."
            )


def _skewed(findings: Findings) -> Iterator[str]:
    names = [name for name, finding in findings.items() if finding.is_skewed]
    if names:
        yield (
            f"The differences of {joined(names)} are strongly skewed. Every t test then errs more often than "
            "its level says: a plain one at 5 % on five exponential differences in 12 % of studies."
        )


def _constant(findings: Findings) -> Iterator[str]:
    names = [name for name, finding in findings.items() if finding.is_constant]
    if names:
        yield (
            f"Differences of {joined(names)} are the same in every seed, so that a sign-flip test stands in, "
            "without an interval. Does the training use its seed?"
        )


def _known_before(decision: Decision) -> Iterator[str]:
    most = max(decision.trained.values(), default=0)
    if not most:
        return
    looked = f", and looked at with {joined(decision.looked)}" if decision.looked else ""
    yield (
        f"When the plan was frozen, up to {count(most, 'seed')} of its conditions had been trained{looked}. "
        "The error rate holds for a plan that does not follow from what they showed."
    )


def spent(plan: Plan, findings: Findings) -> str:
    """``54 of 90 runs``, all that every condition with every seed would have been."""
    n = sum(seeds_spent(plan, findings).values())
    return (
        f"{n} of {plan.most_runs} runs were needed: all {count(plan.max_seeds, 'seed')} of all "
        f"{count(len(plan.conditions), 'condition')} would be {plan.most_runs}."
    )


def tally(findings: Findings, n_claims: int) -> str:
    """``C1 and C3 supported, C2 undecided``."""
    by_verdict: dict[str, list[str]] = {}
    for name, finding in findings.items():
        by_verdict.setdefault(finding.verdict, []).append(name)
    order = ("supported", "refuted", "too small to matter", "undecided")
    parts = [f"{joined(by_verdict[verdict])} {verdict}" for verdict in order if verdict in by_verdict]
    rest = n_claims - len(findings)
    return "; ".join([*parts, *([f"{rest} not looked at yet"] if rest else [])])


def terminal(decision: Decision, units: Metrics, width: int | None = None) -> str:
    """The verdicts and how to read them."""
    findings = decision.latest()
    remarks = "\n".join([spent(decision.plan, findings), *notes(decision, findings, units)])
    return f"{table(decision.plan, findings, units, width)}\n\n{filled(remarks, width)}"


def content(decision: Decision) -> dict[str, Any]:
    """For JSON: the plan as frozen, every look, and where each claim stands."""
    plan, findings = decision.plan, decision.latest()
    return {
        "schema": "ablate.decision/1",
        "study": plan.study,
        "digest": plan.digest,
        "frozen_on": day(decision.frozen_at),
        "plan": plan.model_dump(),
        "trained_before": dict(decision.trained),
        "looked_before": list(decision.looked),
        "looks": [look.model_dump() for look in decision.looks],
        "verdicts": {name: finding.verdict for name, finding in findings.items()},
        "runs": {"needed": sum(seeds_spent(plan, findings).values()), "most": plan.most_runs},
    }


def verdicts(decision: Decision) -> dict[str, str]:
    """By claim: ``supported (n = 10)``."""
    return {name: f"{found.verdict} (n = {found.n})" for name, found in decision.latest().items()}
