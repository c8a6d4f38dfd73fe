"""Tables of runs from elsewhere, with changed bytes and awkward cells, and what is told of their columns."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.analysis.imported import choose_roles, example_command, look_at, read_rows
from ablate.analysis.sheets import LARGEST_CELL, read_sheet
from ablate.ground.errors import DataError
from tests.analysis.test_imported import GOOD
from tests.fuzz.cases import case, fuzzed
from tests.fuzz.inputs import TEXTS, mutated, numbers, texts

FROM_WANDB = (
    "Name,State,Runtime,seed,config,summary\n"
    "a,finished,12,0,\"{'lr': 0.1, 'net': {'depth': 2}}\",\"{'accuracy': 0.8, 'loss': nan}\"\n"
    "b,crashed,3,1,\"{'lr': 0.1}\",\"{'accuracy': 0.1}\"\n"
)
ORIGINALS = [GOOD.encode(), FROM_WANDB.encode(), GOOD.replace(",", ";").replace(".", ",").encode("utf-16")]
cells = texts | numbers.map(str) | st.sampled_from(("0.1", "0,1", "1e3", "True", "{'a': [1]}", "finished"))


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Of any cells below any names, as Python's csv writes them."""
    names = draw(st.lists(texts | st.sampled_from(("lr", "seed", "State", "config")), max_size=5))
    rows = draw(st.lists(st.lists(cells, min_size=len(names), max_size=len(names)), max_size=5))
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=draw(st.sampled_from(",;\t")), quoting=csv.QUOTE_ALL)
    writer.writerows([names, *rows])
    return buffer.getvalue().encode("utf-8", errors="surrogatepass")


words = st.sampled_from(
    (
        "lr",
        "lr,dropout",
        "rate=lr",
        "config.lr",
        "accuracy",
        "accuracy:max",
        "f:min=loss",
        "summary.*:max",
        "*",
    )
) | st.sampled_from([text for text in TEXTS if "\x00" not in text])


@fuzzed(quick=60)
@given(
    content=mutated(ORIGINALS) | tables() | st.sampled_from(ORIGINALS),
    factors=st.just(["lr"]) | st.lists(words, max_size=3),
    metrics=st.just(["accuracy:max"]) | st.lists(words, max_size=3),
    units=st.just([]) | st.lists(words | st.just("accuracy=%"), max_size=2),
    no_seed=st.booleans(),
    decimal=st.sampled_from(".,"),
)
def test_tables(
    content: bytes,
    factors: list[str],
    metrics: list[str],
    units: list[str],
    no_seed: bool,
    decimal: str,
    tmp_path: Path,
) -> None:
    file = tmp_path / "runs.csv"
    file.write_bytes(content)
    with case("tables of runs"):
        sheet = read_sheet(str(file), decimal)
        example_command(sheet, look_at(sheet)).encode("utf-8")
        rows = read_rows(sheet, choose_roles(sheet, factors, metrics, units=units, no_seed=no_seed))
        assert all(row.seed >= 0 and row.name for row in rows.rows)


def test_lines_may_end_as_on_old_macs(tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    file.write_bytes(b"lr,seed,accuracy\r0.1,0,0.8\r")
    assert read_sheet(str(file)).lines[0].cells == {"lr": "0.1", "seed": "0", "accuracy": "0.8"}


def test_a_cell_of_megabytes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    file.write_bytes(b"lr,seed\n1," + b"9" * (LARGEST_CELL + 1))
    with pytest.raises(DataError, match=r"row 2: not a row of a CSV file \(field larger than"):
        read_sheet(str(file))
