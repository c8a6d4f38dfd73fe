"""``ablate effects`` from the outside."""

import json
from itertools import product
from pathlib import Path

import pytest

from ablate.analysis import effecttables
from ablate.analysis.effects import effects
from ablate.analysis.query import load_runs
from ablate.ground.errors import ConfigError, StudyError
from ablate.ground.files import write_json
from ablate.record.store import Store
from tests.analysis.programs import add_condition, losses
from tests.command import ablate_here as ablate


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Loss 1, 2 with lr, 3 with dropout, 6 with both, in four seeds that scatter a little."""
    store = Store(tmp_path_factory.mktemp("store"))
    for (rate, dropout), loss in zip(product((0.1, 0.2), (0.0, 0.5)), (1.0, 3.0, 2.0, 6.0), strict=True):
        name = " ".join([f"lr={rate}"] * (rate > 0.1) + [f"dropout={dropout}"] * (dropout > 0)) or "baseline"
        values = [loss + seed + 0.01 * ((seed * 7 + loss * 3) % 5) for seed in range(4)]
        add_condition(store, name, {"lr": rate, "dropout": dropout}, losses(*values))
    return store


def test_a_table_has_effects_shares_and_how_to_read_them(store: Store) -> None:
    lines = ablate("effects", "s", "--metrics", "loss", store=store).splitlines()
    assert lines[0] == "study s: main effects and interactions, scores"
    labels = [line.split("  ")[0] for line in lines]
    for label in ("lr=0.2", "dropout=0.5", "lr=0.2 x dropout=0.5", "lr x dropout", "seeds"):
        assert label in labels
    effect = next(line for line in lines if line.startswith("dropout=0.5"))
    assert "+3.0" in effect
    assert "n = 4: seeds 0, 1, 2, 3." in " ".join(lines)


def test_json_has_all_numbers_as_stored(store: Store) -> None:
    content = json.loads(ablate("effects", "--metrics", "loss,accuracy", "--format", "json", store=store))
    grid, both = content["parts"]
    assert (grid["design"], both["design"]) == ("grid", "both")
    assert grid["factors"] == {"lr": ["0.1", "0.2"], "dropout": ["0", "0.5"]}
    loss = grid["metrics"]["loss"]
    assert loss["seeds"] == [0, 1, 2, 3]
    assert sum(loss["variance"].values()) == pytest.approx(1)
    interaction = loss["effects"][2]
    assert interaction["factors"] == ["lr", "dropout"]
    assert interaction["effect"]["mean"] == pytest.approx(2, abs=0.05)
    assert interaction["effect"]["p_holm"] >= interaction["effect"]["p"]
    company = both["metrics"]["loss"]["effects"][0]
    assert company["effect_of"] == "lr=0.2"
    assert [company[kind]["mean"] for kind in ("alone", "in company", "interaction")] == pytest.approx(
        [1, 3, 2], abs=0.05
    )


def test_markdown_is_tables_of_equal_rows(store: Store) -> None:
    text = ablate("effects", "--format", "markdown", "--metrics", "loss", store=store)
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert [len({row.count("|") for row in table}) for table in tables] == [1] * 3


@pytest.mark.parametrize("form", ["table", "markdown", "json"])
def test_a_file_holds_what_would_be_printed(store: Store, tmp_path: Path, form: str) -> None:
    file = tmp_path / "effects"
    assert ablate("effects", "--format", form, "-o", file, store=store) == ""
    assert file.read_text(encoding="utf-8") == ablate("effects", "--format", form, store=store)


@pytest.mark.parametrize("width", [60, 80])
def test_it_fits_a_narrow_terminal(store: Store, width: int) -> None:
    text = effecttables.terminal(effects(load_runs(store, "s"), "s", None), width)
    assert max(map(len, text.splitlines())) <= width
    assert not [line for line in text.splitlines() if line.count("[") != line.count("]")]


def test_some_runs_have_effects_of_their_own(store: Store) -> None:
    text = ablate("effects", "--where", "dropout = 0.5", "--format", "json", store=store)
    (part,) = json.loads(text)["parts"]
    assert [row["effect_of"] for row in part["metrics"]["loss"]["effects"]] == ["lr=0.2"]


def test_the_interactions_that_are_certain_are_drawn(store: Store, tmp_path: Path) -> None:
    ablate("effects", "--picture", tmp_path / "p.png", store=store)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    ablate("effects", "--picture", tmp_path / "none.png", "--where", "dropout = 0", store=store)
    assert not (tmp_path / "none.png").exists()
    with pytest.raises(ConfigError, match=r"--picture 'p.txt': name a file that ends in .png"):
        ablate("effects", "--picture", "p.txt", store=store)


def test_a_search_has_no_effects(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add_condition(store, "baseline", {"lr": 0.1, "dropout": 0.0}, losses(1, 2))
    store.study_folder("s").mkdir()
    write_json(store.study_folder("s") / "search.json", {})
    with pytest.raises(StudyError, match="study 's' is a search"):
        ablate("effects", store=store)
