from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.analysis.query import RunRecord, load_runs
from ablate.analysis.where import KINDS, select
from ablate.ground.errors import AblateError, ConfigError
from ablate.ground.filters import parse
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.fabricate import add_runs, fabricate_run, make_run

VALUES = {
    "grl_pos": "S1",
    "lambda": 1.0,
    "seed": 2,
    "name": "grl_pos=S1 shuffle=it's",
    "flag": True,
    "cause": None,
}
# What ``VALUES`` answers to each filter.
ANSWERS = {
    "grl_pos = S1": True,
    "grl_pos == 'S1'": True,
    'grl_pos="S1"': True,
    "grl_pos = s1": False,
    "grl_pos != S1": False,
    "grl_pos != S2": True,
    "lambda = 1": True,
    "lambda = '1.0'": True,
    "lambda=1e0": True,
    "lambda = one": False,
    "lambda < 1": False,
    "lambda <= 1": True,
    "lambda > 0.5": True,
    "lambda >= 1.5": False,
    "seed in (0, 1)": False,
    "seed in (2)": True,
    "seed not in (0, 1)": True,
    "grl_pos in (S1, S2)": True,
    "name like 'grl%'": True,
    "name like 'grl'": False,
    "name like '%shuffle=it_s'": True,
    "name not like '%S2%'": True,
    "grl_pos LIKE S_": True,
    "flag = true": True,
    # precedence: not before and before or
    "seed = 0 and seed = 1 or seed = 2": True,
    "seed = 0 and (seed = 1 or seed = 2)": False,
    "not seed = 0 and seed = 2": True,
    "not (seed = 0 or seed = 2)": False,
    "not not seed = 2": True,
    "NOT seed = 2 OR seed = 2": True,
    # text never compares as a number, and what is missing only ever differs
    "grl_pos > 0": False,
    "cause = x": False,
    "cause != x": True,
    "cause like '%'": False,
    "cause < 1": False,
    "cause not in (x)": True,
}


@pytest.mark.parametrize(("where", "answer"), ANSWERS.items())
def test_a_filter(where: str, answer: bool) -> None:
    assert parse(where, list(VALUES))(VALUES) is answer


MISTAKES = {
    "": ("expected a factor, setting, metric or field", 0),
    "grl_pos": ("expected an operator", 7),
    "grl_pos =": ("expected a value after '='", 9),
    "grl_pos = and": ("quote it: 'and'", 10),
    "grl_pos = S1 S2": ("expected 'and', 'or' or the end", 13),
    "grl_pos = S1 and": ("expected a factor", 16),
    "(seed = 1": (r"expected '\)'", 9),
    "seed = 1)": ("expected 'and', 'or' or the end", 8),
    "seed in 1": (r"expected '\('", 8),
    "seed in (1, )": ("expected a value after ','", 12),
    "seed not = 1": ("expected 'in' or 'like'", 9),
    "lambda < many": ("'<' compares numbers, and 'many' is none", 9),
    "grl_pos = 'S1": ("a quote that is not closed", 10),
    "seed ! 1": ("'!' means nothing", 5),
    "seed = 1 and grl_poss = S1": ("unknown name 'grl_poss'; did you mean 'grl_pos'", 13),
    "zzz = 1": ("unknown name 'zzz'; known: grl_pos, lambda", 0),
}


@pytest.mark.parametrize(("where", "complaint", "position"), [(w, *rest) for w, rest in MISTAKES.items()])
def test_a_mistake_is_pointed_at(where: str, complaint: str, position: int) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        parse(where, list(VALUES), kinds=KINDS)
    *_, shown, caret = str(caught.value).split("\n")
    assert shown == f"  {where}"
    assert caret == "  " + " " * position + "^"


def test_deep_nesting_is_an_error_and_not_a_crash() -> None:
    assert parse("(" * 40 + "seed = 2" + ")" * 40)(VALUES)
    assert parse("not " * 5000 + "seed = 2")(VALUES)
    with pytest.raises(ConfigError, match="more than 50 parentheses"):
        parse("(" * 5000 + "seed = 2" + ")" * 5000)


PIECES = [
    "seed",
    "lambda",
    "=",
    "!=",
    "<",
    "not",
    "and",
    "or",
    "in",
    "like",
    "(",
    ")",
    ",",
    "1",
    "'a b'",
    "%",
    "'",
]


@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join))
def test_any_text_is_a_filter_or_a_clear_error(where: str) -> None:
    complaint = None
    try:
        matches = parse(where, list(VALUES))
    except AblateError as error:
        complaint = str(error)
    if complaint is None:
        assert matches(VALUES) in (True, False)
    else:
        assert complaint.endswith("^")


@given(st.text(alphabet=st.characters(exclude_characters="'"), max_size=30))
def test_any_text_can_be_quoted(text: str) -> None:
    assert parse(f"name = '{text}'")({"name": text})


@pytest.fixture
def records(tmp_path: Path) -> list[RunRecord]:
    store = Store(tmp_path)
    runs = [make_run("grl_pos=S1", seed, {"grl.position": "S1"}, {"grl_pos": "S1"}) for seed in range(3)]
    fabricate_run(store, runs[0], metrics={"event_f/car": 0.2})
    fabricate_run(store, runs[1], metrics={"event_f/car": 0.4})
    fabricate_run(store, runs[2], state=State.FAILED, cause="out of memory")
    add_runs(store, "s", runs)
    return load_runs(store, "s")


@pytest.mark.parametrize(
    ("where", "seeds"),
    [
        ("event_f/car > 0.3", [1]),
        ("optim.lr = 0.001 and grl_pos = S1", [0, 1, 2]),
        ("state = failed or seed = 0", [0, 2]),
        ("cause like '%memory'", [2]),
    ],
)
def test_factors_settings_metrics_and_fields_can_be_asked_for(
    records: list[RunRecord], where: str, seeds: list[int]
) -> None:
    assert [record.seed for record in select(records, where)] == seeds


def test_without_runs_nothing_matches_whatever_the_names() -> None:
    assert select([], "whatever = 1") == []


def test_what_a_terminal_would_obey_is_not_shown_in_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("seed = (\x1b[2J")
    assert all(character.isprintable() or character == "\n" for character in str(caught.value))
