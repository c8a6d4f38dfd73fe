"""What a reader is shown of the energy of runs and of their multiply-accumulates."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from ablate.design.runs import Run
from ablate.ground.errors import ConfigError
from ablate.ground.wording import readable_count, readable_energy
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.command import ablate_here as ablate
from tests.fabricate import add_runs, make_result, make_run

S1 = {"grl.position": "S1"}
BY = "codecarbon 3.3.2: CPU estimated by load, memory estimated"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two conditions of two seeds; of the last run the energy was not measured."""
    store = Store(tmp_path_factory.mktemp("energy") / "store")
    runs = [make_run("baseline", seed) for seed in (0, 1)] + [make_run("s1", seed, S1, S1) for seed in (0, 1)]
    for run, kwh in zip(runs, (0.001, 0.003, 0.002, None), strict=True):
        finish(store, run, kwh)
    add_runs(store, "s", runs)
    return store


def finish(store: Store, run: Run, kwh: float | None) -> None:
    folder = store.folder(run.run_id)
    folder.create(run)
    folder.begin()
    result = make_result(run)
    energy = {} if kwh is None else {"energy_kwh": kwh, "energy_by": BY}
    facts = {"macs_10s": 1_269_185_280, **energy}
    folder.write_result({**result, "facts": facts, "files": [], "kept": []})
    folder.end(State.FINISHED)


def test_show_has_both_in_readable_units(store: Store) -> None:
    lines = [line.split(maxsplit=1) for line in ablate("show", "baseline seed=1", store=store).splitlines()]
    found = {words[0]: words[1] for words in lines if len(words) == 2}
    assert found["macs_10s"] == "1.27 G (1,269,185,280)"
    assert found["energy"] == "3 Wh"
    assert found["energy_by"] == BY


def test_it_is_compared_where_it_is_asked_for_and_less_is_better(store: Store) -> None:
    assert "energy" not in ablate("compare", store=store)
    content = json.loads(ablate("compare", "--metrics", "energy_kwh", "--format", "json", store=store))
    baseline, s1 = content["conditions"]
    assert baseline["metrics"]["energy_kwh"]["mean"] == pytest.approx(0.002)
    assert s1["metrics"]["energy_kwh"]["n"] == 1
    assert "energy (kWh)" in ablate("compare", "--metrics", "energy_kwh", store=store)


def test_runs_are_filtered_by_it(store: Store) -> None:
    text = ablate("runs", "--where", "energy_kwh > 0.0015", "--columns", "name,seed,energy_kwh", store=store)
    assert [line.split() for line in text.splitlines()[4:6]] == [
        ["baseline", "1", "0.003000"],
        ["s1", "0", "0.002000"],
    ]


def test_the_report_adds_it_up(store: Store, tmp_path: Path) -> None:
    ablate("report", "-o", tmp_path / "report.html", store=store)
    text = re.sub(r"<[^>]+>", " ", (tmp_path / "report.html").read_text(encoding="utf-8"))
    text = " ".join(text.split())
    assert f"energy 6 Wh, 3 of 4 runs together {BY}" in text
    assert "energy 4 Wh, 2 runs" in text
    assert "energy 2 Wh, 1 run" in text


def test_without_codecarbon_nothing_is_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *at: None if name == "codecarbon" else find_spec(name, *at)
    )
    with pytest.raises(ConfigError, match=re.escape("not installed; pip install 'ablate[energy]'")):
        ablate("grid", "--factors", "grl_pos", "--energy", store=Store(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("kwh", "text"), [(0.0, "0 mWh"), (6.57e-6, "6.57 mWh"), (0.0034, "3.4 Wh"), (1234.5, "1,234 kWh")]
)
def test_energies_are_readable(kwh: float, text: str) -> None:
    assert readable_energy(kwh) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1_249_533, "1,249,533"),
        (23_148_320, "23.1 M (23,148,320)"),
        (999_950_000, "1 G (999,950,000)"),
        (2_100_000_000_000, "2.1 T (2,100,000,000,000)"),
    ],
)
def test_large_counts_are_readable(number: int, text: str) -> None:
    assert readable_count(number) == text
