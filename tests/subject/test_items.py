"""Scores by item: what follows from counts, and what is kept in a file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.subject.items import Items, ItemsError, Overall, Ratios, union
from ablate.subject.scores import Scores

# Three recordings, two classes. Class b sounds in the last recording only, and is falsely heard in the first.
F = Ratios(
    parts=("a", "b"),
    above=np.array([[4, 0], [2, 0], [0, 2]]),  # 2 TP
    below=np.array([[6, 1], [4, 0], [2, 4]]),  # 2 TP + FP + FN
    occurs=np.array([[2, 0], [2, 0], [1, 3]]),  # TP + FN
)
OVERALL = {
    "f_micro": Overall("f", "micro"),
    "f_macro": Overall("f", "macro"),
    "f_micro_without_b": Overall("f", "micro", without=("b",)),
}
ITEMS = Items(("x.wav", "y.wav", "z.wav"), {"f": F}, OVERALL, kind="recording")


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("f/a", 6 / 12),
        ("f/b", 2 / 5),
        ("f_micro", 8 / 17),
        ("f_macro", (6 / 12 + 2 / 5) / 2),
        ("f_micro_without_b", 6 / 12),
    ],
)
def test_scores_are_ratios_of_sums(metric: str, value: float) -> None:
    assert ITEMS.score(metric) == pytest.approx(value)


def test_each_draw_of_items_has_its_score() -> None:
    terms = ITEMS.terms("f_macro")
    assert terms is not None
    drawn = terms.score(np.array([[1.0, 1, 1], [3, 0, 0], [0, 0, 2]]))
    # In the second draw b never occurs, so that its false alarms count for nothing; in the third both do.
    assert drawn == pytest.approx([0.45, 4 / 6, (0 / 2 + 2 / 4) / 2])


def test_each_item_has_a_score_of_its_own_and_a_score_without_it() -> None:
    terms = ITEMS.terms("f_macro")
    assert terms is not None
    assert terms.alone() == pytest.approx([4 / 6, 2 / 4, (0 / 2 + 2 / 4) / 2])
    # Without the last recording b does not occur any more.
    assert terms.without_each() == pytest.approx([(2 / 6 + 2 / 4) / 2, (4 / 8 + 2 / 5) / 2, 6 / 10])


def test_an_item_counts_by_its_share_of_what_is_divided_by() -> None:
    terms = ITEMS.terms("f_macro")
    assert terms is not None
    assert terms.exposure() == pytest.approx([(6 / 12 + 1 / 5) / 2, (4 / 12) / 2, (2 / 12 + 4 / 5) / 2])
    nothing = Items((), {"f": Ratios(("a",), np.zeros((0, 1)), np.zeros((0, 1)))}, {}).terms("f/a")
    assert nothing is not None
    assert nothing.exposure().shape == (0,)


def test_a_score_with_nothing_to_count_is_undefined() -> None:
    terms = ITEMS.terms("f/b")
    assert terms is not None
    assert np.isnan(terms.score(np.array([[1.0, 1, 0]]))).all()
    assert Items((), {"f": Ratios(("a",), np.zeros((0, 1)), np.zeros((0, 1)))}, {}).score("f/a") is None


@pytest.mark.parametrize("metric", ["accuracy", "f", "f/c", "g/a"])
def test_what_the_items_do_not_say_is_none(metric: str) -> None:
    assert ITEMS.terms(metric) is None
    assert ITEMS.score(metric) is None


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=6))
def test_a_file_gives_back_what_was_kept(counts: list[tuple[int, int]]) -> None:
    above = np.array([[a] for a, _ in counts])
    items = Items(
        [f"clip {n} ü" for n in range(len(counts))],
        {"right": Ratios(("all",), above, above + np.array([[b] for _, b in counts]))},
        {"accuracy": Overall("right", "micro")},
        kind="clip",
    )
    again = Items.from_bytes(items.to_bytes())
    assert (again.names, again.kind, again.overall) == (items.names, "clip", items.overall)
    assert again.score("accuracy") == items.score("accuracy")
    assert again.to_bytes() == items.to_bytes()


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", ITEMS.to_bytes()[:200]])
def test_a_damaged_file_is_no_items(damage: bytes) -> None:
    with pytest.raises(ItemsError):
        Items.from_bytes(damage)


def test_counts_must_fit_the_names() -> None:
    with pytest.raises(ItemsError, match=r"shape \(3, 2\), not \(2, 2\)"):
        Items(("x.wav", "y.wav"), {"f": F}, {})
    with pytest.raises(ItemsError, match="no 'g' among the ratios"):
        Items(ITEMS.names, {"f": F}, {"g_micro": Overall("g", "micro")})
    with pytest.raises(ItemsError, match="one name"):
        Items(("x.wav", "x.wav", "z.wav"), {"f": F}, {})


def test_scores_keep_their_items_in_a_file_of_the_run() -> None:
    scores = Scores(f=0.5, items=ITEMS)
    kept = scores.kept["items.npz"]
    assert isinstance(kept, bytes)
    assert Items.from_bytes(kept).names == list(ITEMS.names)


# --------------------------------------------------------------------------------- of runs on different items

ROWS = st.lists(st.tuples(*[st.integers(0, 9)] * 4), min_size=2, max_size=8)


def of_rows(rows: list[tuple[int, ...]], begin: int, end: int) -> Items:
    """Two classes: what is right of each, at most what there is."""
    counts = np.array(rows)[begin:end]
    above, below = counts[:, :2], counts[:, :2] + counts[:, 2:]
    names = [f"{place}.wav" for place in range(begin, end)]
    return Items(names, {"f": Ratios(("a", "b"), above, below)}, OVERALL)


@given(rows=ROWS, data=st.data())
def test_the_union_of_parts_scores_as_the_whole_does(
    rows: list[tuple[int, ...]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(rows) - 1))
    whole = of_rows(rows, 0, len(rows))
    found = union([of_rows(rows, 0, cut), of_rows(rows, cut, len(rows))])
    assert list(found.names) == list(whole.names)
    assert {name: found.score(name) for name in whole.metrics} == {
        name: whole.score(name) for name in whole.metrics
    }


def test_an_item_of_two_runs_cannot_be_counted() -> None:
    with pytest.raises(ItemsError, match="two items have one name"):
        union([ITEMS, ITEMS])


def test_the_union_has_the_counts_that_all_have() -> None:
    """Those of scores that only one of the runs was asked for later are no counts of all items."""
    more = Items(
        ("u.wav",), {"f": Ratios(("a", "b"), [[1, 1]], [[1, 1]]), "g": Ratios(("c",), [[1]], [[1]])}, {}
    )
    found = union([more, ITEMS])
    assert list(found.ratios) == ["f"]
    assert found.metrics == ("f/a", "f/b")
    assert found.score("f/b") == pytest.approx(3 / 6)
