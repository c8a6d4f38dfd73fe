"""``ablate.load``, and the example of the documentation as it is printed there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ablate
from ablate.ground.errors import StudyError
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.analysis.studies import SYSTEMS, lambda_study, paper_study

PAGE = Path(__file__).parents[2] / "docs" / "querying.md"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("load") / "store")
    paper_study(store, seeds=2, unfinished={("grl_e1", 1): State.FAILED})
    return store


def test_a_run_is_a_row(store: Store) -> None:
    runs = ablate.load("paper", store=store.root)
    assert len(runs) == 18
    assert runs["run_id"].is_unique
    assert list(runs["name"][:9]) == list(SYSTEMS)
    assert list(runs.columns[:4]) == ["run_id", "name", "seed", "state"]


def test_scores_are_fractions_and_missing_ones_are_nan(store: Store) -> None:
    runs = ablate.load("paper", store=str(store.root)).set_index(["name", "seed"])
    assert 0.7 < runs.loc[("mtl", 0), "scene_micro_f"] < 1
    assert runs["event_f/car"].isna().sum() == 3  # single_asc twice, and the failed run
    assert runs.loc[("grl_e1", 1), "cause"] == "CUDA out of memory"
    assert runs.loc[("grl_s1", 0), "grl_pos"] == "S1"


def test_without_a_name_the_study_last_planned_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    lambda_study(store, seeds=1)
    monkeypatch.setenv("ABLATE_STORE", str(store.root))
    assert len(ablate.load()) == 11


def test_an_unknown_study_is_an_error_with_the_nearest_name(store: Store) -> None:
    with pytest.raises(StudyError, match="did you mean 'paper'"):
        ablate.load("papre", store=store.root)


def test_importing_ablate_loads_no_heavy_library() -> None:
    code = (
        "import sys, ablate; print([name for name in ('pandas', 'numpy', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_of_the_documentation_runs(store: Store) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    code = "\n".join(["import ablate", *blocks[1:]])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "ABLATE_STORE": str(store.root)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "fake_event" in done.stdout
    assert "CUDA out of memory" in done.stdout


def test_the_documentation_names_every_column_that_is_no_factor_setting_or_metric(store: Store) -> None:
    text = PAGE.read_text(encoding="utf-8")
    columns = ablate.load("paper", store=store.root).columns
    own = [*columns[: list(columns).index("tasks")], "log", "mlflow_run_id"]
    assert [name for name in own if f"`{name}`" not in text] == []
