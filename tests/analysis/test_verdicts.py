"""Verdicts as they are printed: the whole text, at the widths at which it changes its form."""

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ablate.analysis import verdicts
from ablate.analysis.claims import Verdict
from ablate.record.rundir import State
from tests.analysis.test_claims import CLAIM, judged

# Differences of +0.12 and -0.12, half-width 0.0497.
SUPPORTED = judged({"a": [0.60, 0.72, 0.84], "b": [0.5, 0.6, 0.7]}, replace(CLAIM, id="C1"))
REFUTED = judged(
    {"a": [0.5, 0.6, 0.7], "b": [0.60, 0.72, 0.84], "c": [State.FAILED]},
    replace(CLAIM, id="C20", text="a | b", worse=("b", "c")),
)
NO_DATA = judged({})
RULE = (
    "Differences are in percentage points, paired by seed, with their 95 % CI (paired t). Supported: every "
    "one lies above the claim's margin. Refuted: one lies below it. Where nothing has an effect, a claim is "
    "wrongly decided in at most 5 % of studies."
)


@dataclass(frozen=True)
class Looked:
    note: str = "Looked at twice."

    def to_json(self) -> dict[str, Any]:
        return {"seeds": [2, 3]}


def test_a_claim_has_its_evidence_below_it() -> None:
    assert verdicts.terminal("s", [SUPPORTED]) == (
        "study s: 1 claim: 1 supported\n"
        "\n"
        "C1  supported  a is better\n"
        "    M of a minus that of b +12.00 [+7.03, +16.97] points (n = 3): the 95 % CI lies above 0.\n"
        "\n"
        f"{RULE}\n"
    )


def test_a_terminal_breaks_lines_but_no_interval() -> None:
    assert (
        verdicts.terminal("s", [SUPPORTED, REFUTED], 50, Looked())
        == """\
study s: 2 claims: 1 supported, 1 refuted

C1   supported  a is better
     M of a minus that of b +12.00 [+7.03, +16.97]
     points (n = 3): the 95 % CI lies above 0.

C20  refuted    a | b
     M of a minus that of b -12.00 [-16.97, -7.03]
     points (n = 3): b lies below 0 (one-sided
     p = 0.005).

Differences are in percentage points, paired by
  seed, with their 95 % CI (paired t). Supported:
  every one lies above the claim's margin.
  Refuted: one lies below it. Where nothing has an
  effect, a claim is wrongly decided in at most
  5 % of studies.
Missing: seed 0 failed in c.
Looked at twice.
"""
    )


def test_a_long_text_goes_on_below_itself() -> None:
    long = replace(SUPPORTED, claim=replace(SUPPORTED.claim, text="a is better than b by far"))
    assert verdicts.terminal("s", [long], 35).splitlines()[2:4] == [
        "C1  supported  a is better than b",
        "               by far",
    ]


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (30, ["C1  supported  a is better", "    M of a minus that of b"]),
        (
            29,
            [
                "C1  supported",
                "    a is better",
                "    M of a minus that of b",
                "    +12.00 [+7.03, +16.97]",
                "    points (n = 3): the 95 %",
            ],
        ),
    ],
)
def test_where_little_room_is_left_the_claim_is_below_its_verdict(width: int, lines: list[str]) -> None:
    assert verdicts.terminal("s", [SUPPORTED], width).splitlines()[2 : 2 + len(lines)] == lines


def test_verdicts_are_counted_in_one_order() -> None:
    given = [NO_DATA, REFUTED, SUPPORTED, REFUTED]
    assert verdicts.tally(given) == "4 claims: 1 supported, 2 refuted, 1 no data"


def test_markdown() -> None:
    assert verdicts.markdown("s", [REFUTED], None, Looked()) == (
        "| claim |  | verdict | evidence |\n"
        "| --- | --- | --- | --- |\n"
        "| C20 | a \\| b | **refuted** | M of a minus that of b -12.00 [-16.97, -7.03] points (n = 3): b "
        "lies below 0 (one-sided p = 0.005). |\n"
        "\n"
        f"- {RULE}\n"
        "- Missing: seed 0 failed in c.\n"
        "- Looked at twice.\n"
    )


def test_without_claims_a_sentence_says_how_to_make_some() -> None:
    said = "study s: it makes no claims; a study file states them"
    assert verdicts.terminal("s", []) == f"{said}\n"
    assert verdicts.terminal("s", [], 30).splitlines()[0] == "study s: it makes no claims; a"
    assert verdicts.markdown("s", []) == "Study s: it makes no claims; a study file states them.\n"


def test_units_and_the_side_are_said_as_all_claims_have_them() -> None:
    def rule(*given: Verdict) -> str:
        return verdicts.notes(given)[0]

    other_way, in_units = replace(SUPPORTED, more_is_better=False), replace(SUPPORTED, in_percent=False)
    assert "Supported: every one is better by more than the claim's margin. Refuted: one is not." in rule(
        SUPPORTED, other_way
    )
    assert rule(SUPPORTED, in_units).startswith("Differences are paired by seed")


def test_json_has_the_scores_as_they_are_stored() -> None:
    content = json.loads(verdicts.json_text("s", [REFUTED], None, Looked()))
    assert {key: content[key] for key in ("schema", "study", "confidence", "looked")} == {
        "schema": "ablate.claims/1",
        "study": "s",
        "confidence": 0.95,
        "looked": {"seeds": [2, 3]},
    }
    (claim,) = content["claims"]
    assert (claim["id"], claim["text"], claim["worse"]) == ("C20", "a | b", ["b", "c"])
    assert (claim["verdict"], claim["sentence"]) == ("refuted", REFUTED.sentence)
    assert (claim["seeds_needed"], claim["missing"]) == (None, {"c": [{"seed": 0, "state": "failed"}]})
    assert [each["outcome"] for each in claim["comparisons"]] == ["against", "no data"]
    assert claim["comparisons"][0]["difference"]["mean"] == pytest.approx(-0.12)
    assert "on_other_items" not in claim
    assert "looked" not in verdicts.content("s", [REFUTED])
    assert set(verdicts.FORMATS) == {"table", "markdown", "json"}
