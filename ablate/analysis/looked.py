"""What a reader should know who has looked at a study several times while its seeds grew.

The t tests of ``compare`` and ``claims`` err in 5 % of studies when they are looked at once. Who looks, adds
seeds and looks again errs more often. How often follows from the numbers of seeds; and so do levels that
would have kept the 5 %.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ablate.analysis.compare import Comparison, group_runs
from ablate.analysis.intervals import CONFIDENCE
from ablate.analysis.query import RunRecord, units_of
from ablate.design.claims import Claim, StudyDetails
from ablate.ground.errors import StoreError
from ablate.ground.wording import joined
from ablate.record.decision import Decision, Ruling, day, read_decision
from ablate.record.looks import note_look
from ablate.record.store import Store

if TYPE_CHECKING:  # numpy and scipy, which the first look at a study does not need
    from ablate.analysis.claims import Pair, Verdict
    from ablate.analysis.sequential import Question

ERROR = 1 - CONFIDENCE
DRAWS = 300_000  # of all looks together: a fifth of a second
LEAST_SEEDS = 2  # one seed has neither interval nor test
MOST_LOOKS = 30  # simulated; whoever has looked more often gets the number for the last of them


@dataclass(frozen=True)
class Looked:
    """``seeds``: with how many a study was looked at. ``error``: how often that errs without any effect.

    ``rulings`` are what levels for exactly these looks make of the claims.
    """

    seeds: tuple[int, ...]
    error: float
    rulings: Mapping[str, Ruling]

    @property
    def note(self) -> str:
        times = f"{', then '.join(map(str, self.seeds))} seeds"
        verdicts = ""
        if self.rulings:
            verdicts = (
                f" With levels for these looks and all claims together, as `ablate decide` has them: "
                f"{_tally(self.rulings)}."
            )
        return (
            f"Looked at with {times}: a difference without any effect has had p < {ERROR:.2g} at one of "
            f"these looks in {100 * self.error:.1f} % of studies.{verdicts}"
        )

    def to_json(self) -> dict[str, Any]:
        return {"seeds": list(self.seeds), "error": self.error, "rulings": dict(self.rulings)}


def _tally(rulings: Mapping[str, Ruling]) -> str:
    by_ruling: dict[str, list[str]] = {}
    for name, ruling in rulings.items():
        by_ruling.setdefault(ruling, []).append(name)
    return "; ".join(f"{joined(names)} {ruling}" for ruling, names in by_ruling.items())


def seeds_of_comparison(comparison: Comparison) -> dict[str, int]:
    """Condition's name -> over how many seeds its differences are, which a table shows."""
    shown: dict[str, int] = {}
    for row in comparison.conditions:
        n = max((cell.difference.n for cell in row.metrics.values() if cell and cell.difference), default=0)
        for name in (row.name, row.baseline or row.name):
            shown[name] = max(n, shown.get(name, 0))
    return shown


def seeds_of_verdicts(verdicts: "Sequence[Verdict]") -> dict[str, int]:
    """As ``seeds_of_comparison``, of the conditions that claims compare."""
    shown: dict[str, int] = {}
    for contrast in (contrast for verdict in verdicts for contrast in verdict.comparisons):
        n = contrast.difference.n if contrast.difference else 0
        for name in (contrast.better, contrast.worse):
            shown[name] = max(n, shown.get(name, 0))
    return shown


def count_look(
    store: Store, study: str, records: Sequence[RunRecord], shown: Mapping[str, int]
) -> tuple[int, ...]:
    """Note that differences are shown over ``shown`` seeds, by conditions as ``group_runs`` names them.

    Returns with how many seeds they have been, rising: those of the condition that was looked at most often.
    """
    ids = {group.name: group.first.condition_id for group in group_runs(records)}
    seeds = {ids[name]: n for name, n in shown.items() if n >= LEAST_SEEDS and name in ids}
    looks = note_look(store, study, seeds) if seeds else {}
    histories = [tuple(looks[condition]) for condition in seeds]
    return max(histories, key=len, default=())


def remark(
    store: Store,
    study: str,
    records: Sequence[RunRecord],
    details: StudyDetails,
    shown: Mapping[str, int],
) -> "Looked | Planned | None":
    """Count a look at all of a study's ``records``. What is to be said of it; None when it is the first.

    A study whose claims are being decided by a frozen plan has its verdicts from there.
    """
    looks = count_look(store, study, records, shown)[-MOST_LOOKS:]
    decision = None
    with suppress(StoreError):  # `ablate decide` tells of a damaged one
        decision = read_decision(store, study)
    if decision is not None and decision.looks:
        return Planned(decision)
    if len(looks) < 2:
        return None
    from ablate.analysis.sequential import chance_of_any

    error = chance_of_any(looks, ERROR, DRAWS // len(looks))
    return Looked(looks, error, dict(_rulings(details.claims, records, looks)))


def _rulings(
    claims: Sequence[Claim], records: Sequence[RunRecord], looks: Sequence[int]
) -> Iterator[tuple[str, Ruling]]:
    """What the looks would have decided, each over the first seeds that both sides of a comparison have."""
    from ablate.analysis.claims import pairs_of
    from ablate.analysis.sequential import look, make_rule

    groups, units = group_runs(records), units_of(records)
    pairs = {claim.id: pairs_of(claim, groups) for claim in claims}
    counts = [len(each) for each in pairs.values() if each]
    if not counts:
        return
    rule = make_rule("group sequential", looks, ERROR, counts, DRAWS // len(looks))
    ended: dict[str, Ruling] = {}
    for n in looks:
        questions = {
            claim.id: _question(claim, pairs[claim.id], n, units.of(claim.metric).sign)
            for claim in claims
            if claim.id not in ended and _has_seeds(pairs[claim.id], n)
        }
        answers = look(rule, questions, len(counts) - len(ended))
        ended |= {
            name: answer.ruling
            for name, answer in answers.items()
            if answer.ruling in ("supported", "refuted")
        }
    yield from ((claim.id, ended.get(claim.id, "undecided")) for claim in claims)


def _has_seeds(pairs: "Sequence[Pair]", n: int) -> bool:
    from ablate.analysis.claims import paired_seeds

    return bool(pairs) and all(len(paired_seeds(*pair)) >= n for pair in pairs)


def _question(claim: Claim, pairs: "Sequence[Pair]", n: int, sign: int) -> "Question":
    from ablate.analysis.claims import paired_seeds
    from ablate.analysis.sequential import Question, Sample

    samples = []
    for better, worse in pairs:
        ours, theirs = better.scores(), worse.scores()
        samples.append(
            Sample.of([sign * (ours[seed] - theirs[seed]) for seed in paired_seeds(better, worse)[:n]])
        )
    return Question(tuple(samples), claim.margin)


@dataclass(frozen=True)
class Planned:
    """A study whose claims are decided by a plan that was frozen before."""

    decision: Decision

    @property
    def note(self) -> str:
        from ablate.analysis.decisions import tally

        plan, findings = self.decision.plan, self.decision.latest()
        return (
            f"By the plan that was frozen on {day(self.decision.frozen_at)}, which errs in at most "
            f"{100 * plan.error:g} % of studies however often it looks: {tally(findings, len(plan.claims))} "
            f"(`ablate decide`). What is said above counts no looks."
        )

    def to_json(self) -> dict[str, Any]:
        plan, findings = self.decision.plan, self.decision.latest()
        rulings = {name: finding.verdict for name, finding in findings.items()}
        return {"plan": plan.digest, "error": plan.error, "rulings": rulings}
