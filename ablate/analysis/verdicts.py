"""Verdicts on claims as text: for a terminal, Markdown and JSON. The same verdicts give the same bytes."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from ablate.analysis.claims import Contrast, Verdict, VerdictName
from ablate.analysis.compare import Missing, Remark
from ablate.analysis.intervals import CONFIDENCE
from ablate.analysis.layout import filled
from ablate.analysis.tables import missing_notes, pipes
from ablate.ground.jsontext import as_json

NO_CLAIMS = "it makes no claims; a study file states them"
NARROW_INDENT = 4
ORDER: tuple[VerdictName, ...] = ("supported", "refuted", "inconclusive", "no data")


def terminal(
    study: str, verdicts: Sequence[Verdict], width: int | None = None, looked: Remark | None = None
) -> str:
    """A line a claim with its verdict, the evidence below it, then what is missing."""
    if not verdicts:
        return filled(f"study {study}: {NO_CLAIMS}\n", width)
    lines = [filled(f"study {study}: {tally(verdicts)}", width), ""]
    id_width = max(len(verdict.claim.id) for verdict in verdicts) + 2
    verdict_width = max(len(verdict.verdict) for verdict in verdicts) + 2
    for verdict in verdicts:
        lines += [*_claim_lines(verdict, id_width, verdict_width, width), ""]
    lines += [_filled(line, width, 2) for line in notes(verdicts, looked)]
    return "\n".join(lines) + "\n"


def _claim_lines(verdict: Verdict, id_width: int, verdict_width: int, width: int | None) -> list[str]:
    """The claim beside its verdict, or below it where that leaves little room, and the evidence."""
    text, evidence = verdict.claim.text, verdict.sentence
    head = verdict.claim.id.ljust(id_width) + verdict.verdict.ljust(verdict_width)
    if width is not None and len(head) > width // 2:
        indent = " " * NARROW_INDENT
        below = [_filled(indent + part, width, NARROW_INDENT) for part in (text, evidence)]
        return [head.rstrip(), *below]
    return [_filled(head + text, width, len(head)), _filled(" " * id_width + evidence, width, id_width)]


def _filled(line: str, width: int | None, hang: int) -> str:
    """As ``filled``; not broken within ``[-1.00, +1.00]``, ``95 %``, ``n = 5`` or ``p < 0.001``."""
    whole = re.sub(r"(?<=,) (?=[+-])| (?=\[|%)|(?<=\b[np]) (?=[=<])|(?<=[=<]) ", "\0", line)
    return filled(whole, width, hang).replace("\0", " ")


def tally(verdicts: Sequence[Verdict]) -> str:
    """``7 claims: 5 supported, 1 refuted, 1 inconclusive``."""
    counts = Counter(verdict.verdict for verdict in verdicts)
    parts = ", ".join(f"{counts[name]} {name}" for name in ORDER if name in counts)
    return f"{len(verdicts)} claim{'s' * (len(verdicts) > 1)}: {parts}"


def notes(verdicts: Sequence[Verdict], looked: Remark | None = None) -> list[str]:
    """How to read the verdicts, and the planned seeds that are not in them."""
    folding = verdicts[0].folding
    missing: dict[str, tuple[Missing, ...]] = {}
    for verdict in verdicts:
        missing |= dict(verdict.missing)
    return [
        f"Differences are {_unit(verdicts)}paired by seed, with their 95 % CI (paired t). {_rule(verdicts)} "
        "Where nothing has an effect, a claim is wrongly decided in at most 5 % of studies.",
        *([folding.note] if folding else []),
        *missing_notes(missing.items()),
        *([looked.note] if looked else []),
    ]


def _rule(verdicts: Sequence[Verdict]) -> str:
    if all(verdict.more_is_better for verdict in verdicts):
        return "Supported: every one lies above the claim's margin. Refuted: one lies below it."
    return "Supported: every one is better by more than the claim's margin. Refuted: one is not."


def _unit(verdicts: Sequence[Verdict]) -> str:
    return "in percentage points, " if all(verdict.in_percent for verdict in verdicts) else ""


def markdown(
    study: str, verdicts: Sequence[Verdict], _width: int | None = None, looked: Remark | None = None
) -> str:
    """One table, then the notes as a list."""
    if not verdicts:
        return f"Study {study}: {NO_CLAIMS}.\n"
    lines = [pipes(["claim", "", "verdict", "evidence"]), pipes(["---"] * 4)]
    for verdict in verdicts:
        cells = [verdict.claim.id, verdict.claim.text, f"**{verdict.verdict}**", verdict.sentence]
        lines.append(pipes(cell.replace("|", "\\|") for cell in cells))
    return "\n".join([*lines, "", *(f"- {line}" for line in notes(verdicts, looked))]) + "\n"


def json_text(
    study: str, verdicts: Sequence[Verdict], _width: int | None = None, looked: Remark | None = None
) -> str:
    """``content`` as text."""
    return as_json(content(study, verdicts, looked)) + "\n"


def content(study: str, verdicts: Sequence[Verdict], looked: Remark | None = None) -> dict[str, Any]:
    """``documents.Claims``, differences as they are stored."""
    return {
        "schema": "ablate.claims/1",
        "study": study,
        "confidence": CONFIDENCE,
        "claims": [_content(verdict) for verdict in verdicts],
        **({"looked": looked.to_json()} if looked else {}),
    }


def _content(verdict: Verdict) -> dict[str, Any]:
    return {
        **asdict(verdict.claim),
        "verdict": verdict.verdict,
        "sentence": verdict.sentence,
        "seeds_needed": verdict.seeds_needed,
        **({"on_other_items": asdict(verdict.others)} if verdict.others else {}),
        "comparisons": [_contrast(contrast) for contrast in verdict.comparisons],
        "missing": {
            name: [{"seed": seed.seed, "state": str(seed.state)} for seed in seeds]
            for name, seeds in verdict.missing
        },
    }


def _contrast(contrast: Contrast) -> dict[str, Any]:
    return asdict(contrast)


FORMATS: dict[str, Callable[[str, Sequence[Verdict], int | None, Remark | None], str]] = {
    "table": terminal,
    "markdown": markdown,
    "json": json_text,
}
