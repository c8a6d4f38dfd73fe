"""What a study asks, as its record in a store keeps it."""

import json

from ablate.design.claims import Claim, StudyDetails

ASKED = StudyDetails(
    "does it matter?",
    "mtl",
    (
        Claim("C1", "a is better", "f", ("a",), ("b", "c"), margin=0.02, interest=0.03),
        Claim("C2", "x is mistaken for y", "confusion/x+y", ("a", "b"), than=("confusion/x+z",)),
    ),
    {"mtl": {"f": 0.44}},
    "a paper",
)


def test_a_grid_typed_at_the_prompt_asks_and_claims_nothing() -> None:
    assert StudyDetails().to_json() == {
        "question": "",
        "baseline": None,
        "claims": (),
        "published": {},
        "source": "",
    }


def test_a_claim_of_conditions_has_no_margin_and_no_other_metric_unless_it_says_so() -> None:
    assert Claim("C", "t", "f", ("a",), ("b",)) == Claim("C", "t", "f", ("a",), ("b",), (), 0.0, None)
    assert Claim("C", "t", "f", ("a",), than=("g",)).worse == ()


def test_what_was_written_is_read() -> None:
    assert StudyDetails.from_json(json.loads(json.dumps(ASKED.to_json()))) == ASKED
