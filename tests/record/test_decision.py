"""The record of a decision: frozen once, read back as it was, and refused when it is not."""

import json
import os
from pathlib import Path

import pytest

from ablate.ground.errors import StoreError
from ablate.record.decision import (
    Comparison,
    Decision,
    Finding,
    Interval,
    Look,
    Plan,
    PlannedClaim,
    changes,
    decision_file,
    freeze,
    read_decision,
    write_decision,
)
from ablate.record.looks import FILE, note_look, read_looks
from ablate.record.store import Store

CLAIM = PlannedClaim(
    id="C1",
    margin=0.0,
    interest=0.01,
    comparisons=[Comparison(better="a1", worse="b1", metric="score", than="score")],
)
PLAN = Plan(
    study="s",
    data="d1",
    method="group sequential",
    error=0.05,
    looks=[5, 10],
    claims=[CLAIM],
    conditions={"a1": "a", "b1": "b"},
    levels={"1": 0.0281},
)
FOUND = Finding(
    verdict="undecided", n=5, p=0.2, level=0.0281, intervals=[Interval(mean=0.1, low=-0.1, high=None)]
)
LOOKED = Decision(PLAN, 1000.0, {"a1": 3, "b1": 0}, [3], (Look(n=5, at=2000.0, claims={"C1": FOUND}),))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_a_decision_reads_back_as_it_was_written(store: Store) -> None:
    assert read_decision(store, "s") is None
    write_decision(store, LOOKED)
    assert read_decision(store, "s") == LOOKED
    assert [file.name for file in store.study_folder("s").iterdir()] == ["decision.json"]


def test_only_the_first_plan_is_frozen(store: Store) -> None:
    first = Decision(PLAN, 1000.0, {}, [])
    assert freeze(store, first) == first
    other = Decision(PLAN.model_copy(update={"error": 0.1}), 1001.0, {}, [])
    assert freeze(store, other) == first


def test_a_plan_that_was_edited_is_no_plan(store: Store) -> None:
    write_decision(store, LOOKED)
    file = decision_file(store, "s")
    content = json.loads(file.read_text())
    content["plan"]["error"] = 0.2
    file.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=r"decision.json: is damaged.*not the one that was frozen"):
        read_decision(store, "s")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"schema": 1, "plan": {}}', "[" * 100_000, '{"a": "\\ud800"}']
)
def test_a_damaged_record_is_a_sentence(store: Store, text: str) -> None:
    write_decision(store, LOOKED)
    decision_file(store, "s").write_text(text)
    with pytest.raises(StoreError, match=r"move it away to freeze a new plan"):
        read_decision(store, "s")


@pytest.mark.parametrize(
    ("update", "sentence"),
    [
        ({"looks": [5, 20]}, "at most 20 seeds instead of 10"),
        ({"looks": [4, 10]}, "looks at 4,10 seeds instead of 5,10"),
        ({"error": 0.1}, "an error of 0.1 instead of 0.05"),
        ({"method": "anytime-valid"}, "anytime-valid tests instead of group sequential ones"),
        ({"data": "d2"}, "other data"),
        (
            {
                "conditions": {"a2": "a", "b1": "b"},
                "claims": [
                    CLAIM.model_copy(
                        update={
                            "comparisons": [Comparison(better="a2", worse="b1", metric="score", than="score")]
                        }
                    )
                ],
            },
            "other settings or code of a",
        ),
        ({"claims": [CLAIM.model_copy(update={"margin": 0.02})]}, "claim C1 has margin 0.02 instead of 0"),
        (
            {"claims": [CLAIM.model_copy(update={"interest": None})]},
            "claim C1 has interest none instead of 0.01",
        ),
        (
            {"claims": [CLAIM, CLAIM.model_copy(update={"id": "C2"})]},
            "claim C2 is new",
        ),
        (
            {
                "claims": [
                    CLAIM.model_copy(
                        update={
                            "comparisons": [Comparison(better="b1", worse="a1", metric="score", than="score")]
                        }
                    )
                ]
            },
            "claim C1 compares something else",
        ),
    ],
)
def test_what_was_changed_is_named(update: dict[str, object], sentence: str) -> None:
    asked = PLAN.model_copy(update=update)
    assert changes(PLAN, asked) == [sentence]
    assert not PLAN.matches(asked)
    assert asked.digest != PLAN.digest


def test_levels_follow_from_the_rest_of_a_plan() -> None:
    assert PLAN.matches(PLAN.model_copy(update={"levels": {}}))
    assert changes(PLAN, PLAN) == []


def test_a_look_that_lacked_a_seed_is_taken_again() -> None:
    waits = Look(n=10, at=1.0, claims={"C1": Finding(verdict="undecided", n=10, waits_for={"a1": [7]})})
    decision = Decision(PLAN, 1.0, {}, [], (*LOOKED.looks, waits))
    assert decision.taken(5) == LOOKED.looks[0]
    assert decision.taken(10) is None
    assert decision.latest()["C1"].n == 10


def test_looks_are_counted_when_seeds_have_grown(store: Store) -> None:
    (store.root / "studies").mkdir()
    assert read_looks(store, "s") == {}
    assert note_look(store, "s", {"a": 5, "b": 5}) == {"a": [5], "b": [5]}
    assert note_look(store, "s", {"a": 5, "b": 3}) == {"a": [5], "b": [5]}
    assert note_look(store, "s", {"a": 10}) == {"a": [5, 10], "b": [5]}
    assert read_looks(store, "s") == {"a": [5, 10], "b": [5]}


def test_looks_that_cannot_be_written_or_read_are_none(store: Store) -> None:
    (store.root / "studies").write_text("a file, where no folder can be made")
    assert note_look(store, "s", {"a": 5}) == {"a": [5]}
    assert read_looks(store, "s") == {}
    (store.root / "studies").unlink()
    store.study_folder("s").mkdir(parents=True)
    (store.study_folder("s") / FILE).write_text('{"seeds": {"a": []}}')
    assert read_looks(store, "s") == {}


@pytest.mark.parametrize("lacking", ["looks", "claims"])
def test_a_plan_has_looks_and_claims(lacking: str) -> None:
    with pytest.raises(ValueError, match=f"(?s){lacking}.*at least 1 item"):
        Plan(**{**dict(PLAN), lacking: []})


def test_a_frozen_plan_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        PLAN.error = 0.5


def test_a_decision_is_on_the_disk_before_it_has_its_name(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = []
    flush = os.fsync

    def watched(descriptor: int) -> None:
        flushed.append(decision_file(store, "s").exists())
        flush(descriptor)

    store.study_folder("s").mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(os, "fsync", watched)
    write_decision(store, LOOKED)
    assert flushed[:1] == [False]


def test_numbers_of_seeds_that_are_words_are_a_damaged_record(store: Store) -> None:
    store.study_folder("s").mkdir(parents=True, exist_ok=True)
    for seeds, found in (("[3]", {"a": [3]}), ('["3"]', {})):
        (store.study_folder("s") / FILE).write_text(f'{{"seeds": {{"a": {seeds}}}}}')
        assert read_looks(store, "s") == found
