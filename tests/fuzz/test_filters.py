"""Filters, metrics, baselines, layouts, names of runs: what is asked of a study."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ablate.analysis import published, tables
from ablate.analysis.compare import compare
from ablate.analysis.inspect import find_run
from ablate.analysis.query import RunRecord, load_runs, sort_runs
from ablate.analysis.where import select
from ablate.ground.filters import parse
from ablate.mtl.definition import subject
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.analysis.studies import DETAILS, paper_study
from tests.fuzz.cases import case, fuzzed
from tests.fuzz.inputs import texts

NAMES = (
    "grl_pos",
    "lambda",
    "seed",
    "name",
    "optim.lr",
    "event_micro_f",
    "event_f/car",
    "cause",
    "nothing",
    "mtl",
)
NAMES += (
    "scene_confusion/home+office",
    "scene_confusion/home",
    "scene_micro_f",
    "event_f/",
    "/",
    "log",
    "baseline",
)
VALUES = (
    "S1",
    "1",
    "-1",
    "1e309",
    "nan",
    "inf",
    "1_0",
    "٣",
    "''",
    "'a b'",
    '"',
    "'",
    "%",
    "_",
    "%_%",
    "'%a%a%a%a%b'",
)
MARKS = (
    "=",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "(",
    ")",
    ",",
    "and",
    "or",
    "not",
    "in",
    "like",
    "NOT",
    "=<",
    "<>",
    ";",
)

words = st.one_of(st.sampled_from(NAMES), st.sampled_from(VALUES), st.sampled_from(MARKS), texts)
comparisons = st.builds(
    "{} {} {}".format, st.sampled_from(NAMES), st.sampled_from(MARKS), st.sampled_from(VALUES)
)
filters = st.one_of(
    st.lists(words, max_size=12).map(" ".join),
    st.lists(comparisons | words, min_size=1, max_size=5).map(" and ".join),
    st.recursive(comparisons, lambda inner: st.builds("not ({} or {})".format, inner, inner), max_leaves=8),
    st.text(max_size=40),
)
asked = st.lists(st.sampled_from(NAMES) | texts, max_size=4)
run_names = st.one_of(
    texts,
    st.builds("{} seed={}".format, st.sampled_from(NAMES) | texts, st.sampled_from(VALUES) | texts),
    st.text("0123456789abcdef", max_size=17),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    unfinished = {("mtl", 1): State.FAILED, ("grl_s1", 1): State.PENDING}
    paper_study(store, 2, systems=("mtl", "grl_s1", "single_asc"), unfinished=unfinished, epochs=2)
    return store


@pytest.fixture(scope="module")
def records(store: Store) -> list[RunRecord]:
    return load_runs(store, "paper")


@fuzzed(quick=300)
@given(where=filters)
@example(where="name like '" + "%a" * 30 + "b'")
@example(where="(" * 5000)
@example(where="not " * 5000 + "seed = 1")
@example(where="seed = " + "9" * 5000)
@example(where="seed = 1 and " * 3000)
@example(where="x" * 5000 + " = 1")
def test_filters(where: str, records: list[RunRecord]) -> None:
    with case("--where"):
        parse(where)
    with case("--where"):
        assert set(map(id, select(records, where))) <= set(map(id, records))


def test_a_pattern_of_many_wildcards_takes_no_long() -> None:
    started = time.monotonic()
    assert not parse("name like '" + "%a" * 100 + "%b'")({"name": "a" * 5000})
    assert parse("name like '" + "%a" * 100 + "%'")({"name": "a" * 5000})
    assert time.monotonic() - started < 5


@fuzzed(quick=60)
@given(
    metrics=st.none() | asked,
    baseline=st.none() | st.sampled_from(NAMES) | texts,
    seed=st.integers(0, 2**70),
    kind=st.sampled_from(sorted(tables.FORMATS)),
    interval=st.sampled_from(("t", "percentile", "bca")),
)
@example(metrics=[], baseline=None, seed=0, kind="latex", interval="t")
def test_comparisons(
    metrics: list[str] | None,
    baseline: str | None,
    seed: int,
    kind: str,
    interval: str,
    records: list[RunRecord],
) -> None:
    with case("compare options"):
        assert tables.FORMATS[kind](compare(records, "paper", baseline, metrics, interval, seed))


@fuzzed(quick=60)
@given(
    metrics=st.none() | asked,
    layout=st.sampled_from(sorted(subject.layouts)),
    seed=st.integers(0, 2**70),
    kind=st.sampled_from(sorted(published.FORMATS)),
    interval=st.sampled_from(("t", "percentile", "bca")),
    width=st.none() | st.integers(0, 200),
)
@example(metrics=[], layout="table3", seed=0, kind="latex", interval="t", width=None)
def test_published_tables(
    metrics: list[str] | None,
    layout: str,
    seed: int,
    kind: str,
    interval: str,
    width: int | None,
    records: list[RunRecord],
) -> None:
    with case("published tables"):
        table = published.published_table(
            records, "paper", DETAILS, subject.layouts[layout], metrics, interval, seed
        )
        assert published.FORMATS[kind](table)
        assert published.terminal(table, width)


@fuzzed(quick=60)
@given(name=st.sampled_from(NAMES) | texts)
def test_sorting(name: str, records: list[RunRecord]) -> None:
    with case("--sort"):
        assert len(sort_runs(records, name)) == len(records)


@fuzzed(quick=60)
@given(name=run_names)
@example(name="mtl seed=" + "9" * 5000)
@example(name="mtl seed=٣")
def test_names_of_runs(name: str, store: Store) -> None:
    with case("run names"):
        find_run(store, name)


def test_nothing_was_written(store: Store) -> None:
    assert {item.name for item in store.root.iterdir()} == {"runs", "studies"}
