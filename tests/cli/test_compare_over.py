"""``ablate compare --over``, and what claims say of other items."""

import csv
import io
import json
from pathlib import Path

import pytest

from ablate.design.claims import Claim, StudyDetails
from ablate.ground.errors import ConfigError, StudyError
from ablate.record.store import Store
from ablate.subject.items import FILE
from tests.analysis.byitem import keep, study_by_item
from tests.analysis.studies import paper_study, system_run
from tests.command import ablate_here as ablate
from tests.fabricate import BASE, CARD

CLAIMS = StudyDetails(
    baseline="mtl",
    claims=(
        Claim("C1", "", "event_micro_f", ("mtl",), ("fake_scene",)),
        Claim("C2", "", "event_micro_f", ("fake_scene",), ("mtl",)),
        Claim("C3", "", "event_micro_f", ("mtl",), ("fake_scene",), margin=0.21),
        Claim("C4", "", "event_micro_f", ("mtl",), ("grl_s1",)),
    ),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    study_by_item(store, n_items=30, details=CLAIMS)
    return store


def width(content: str) -> float:
    difference = json.loads(content)["conditions"][2]["metrics"]["event_micro_f"]["difference"]
    return float(difference["ci_high"] - difference["ci_low"])


def test_seeds_are_the_default_and_both_is_the_widest(store: Store) -> None:
    plain = ablate("compare", "--format", "json", store=store)
    assert plain == ablate("compare", "--over", "seeds", "--format", "json", store=store)
    widths = {
        over: width(ablate("compare", "--over", over, "--format", "json", store=store))
        for over in ("items", "both")
    }
    assert widths["both"] > max(widths["items"], width(plain))


def test_recordings_are_items(store: Store) -> None:
    assert ablate("compare", "--over", "recordings", store=store) == ablate(
        "compare", "--over", "items", store=store
    )


def test_the_second_table_and_the_legend_call_items_by_their_kind(store: Store) -> None:
    text = ablate("compare", "--over", "both", store=store)
    assert "on another recording with another seed, in %" in text
    assert "the 95 % CI (over seeds and 30 recordings) of Δ excludes zero" in text
    for form in ("markdown", "latex"):
        shown = ablate("compare", "--over", "both", "--format", form, store=store)
        assert "on another recording with another seed" in shown


def test_csv_and_json_have_the_chance_and_the_shares(store: Store) -> None:
    rows = list(
        csv.DictReader(io.StringIO(ablate("compare", "--over", "both", "--format", "csv", store=store)))
    )
    last = next(row for row in rows if (row["name"], row["metric"]) == ("fake_scene", "event_micro_f"))
    content = json.loads(ablate("compare", "--over", "both", "--format", "json", store=store))
    by_item = content["conditions"][2]["metrics"]["event_micro_f"]["by_item"]
    assert float(last["better"]) == by_item["better"]["chance"]
    assert float(last["better_ci_low"]) < float(last["better"]) < float(last["better_ci_high"]) < 0.5
    shares = [float(last[f"share_{name}"]) for name in ("seeds", "items", "rest")]
    assert shares == list(by_item["shares"].values())
    assert sum(shares) == pytest.approx(1)
    assert last["n_items"] == "30"


def test_the_crossed_bootstrap_is_there_for_who_asks_and_bca_is_not(store: Store) -> None:
    text = ablate("compare", "--over", "both", "--ci", "percentile", store=store)
    assert "(over seeds and 30 recordings, crossed bootstrap)" in text
    with pytest.raises(ConfigError, match="--ci bca is over seeds; leave it out with --over both"):
        ablate("compare", "--over", "both", "--ci", "bca", store=store)


def test_claims_say_whether_they_hold_on_other_recordings(store: Store) -> None:
    claims = {
        each["id"]: each for each in json.loads(ablate("claims", "--format", "json", store=store))["claims"]
    }
    assert claims["C1"]["sentence"].endswith("; this holds on other recordings too.")
    assert claims["C2"]["sentence"].endswith("; it is refuted on other recordings too.")
    assert "; not refuted for other recordings: fake_scene [" in claims["C3"]["sentence"]
    assert claims["C3"]["on_other_items"]["verdict"] == "inconclusive"
    assert claims["C4"]["verdict"] == "inconclusive"
    assert "on_other_items" not in claims["C4"]


def test_one_seed_speaks_of_items_only(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    study_by_item(store, seeds=1)
    assert "--over items takes the seeds as they are" in ablate("compare", "--over", "both", store=store)
    assert "the 95 % CI (over 40 recordings)" in ablate("compare", "--over", "items", store=store)


def test_runs_without_counts_by_item_say_what_to_do(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    paper_study(store, seeds=2, systems=("mtl", "fake_scene"))
    for file in store.root.glob(f"runs/*/{FILE}"):
        file.unlink()
    with pytest.raises(StudyError, match=r"runs keep no counts by item; `ablate rescore STUDY` counts them"):
        ablate("compare", "--over", "both", store=store)


def test_a_condition_without_counts_is_named_and_has_no_interval(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    study_by_item(store)
    runs = [system_run("grl_s2", seed) for seed in range(5)]
    for run in runs:
        keep(store, run, None)
    store.add_to_study("s", runs, "ablate grid", card=CARD, base=BASE)
    text = ablate("compare", "--over", "both", store=store)
    assert "No interval of event micro F in grl_s2: runs keep no counts by item;" in text


def test_runs_scored_on_other_items_are_not_compared_by_item(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    study_by_item(store, systems=("mtl",))
    study_by_item(store, systems=("fake_scene",), n_items=30)
    with pytest.raises(StudyError, match="runs were scored on different recordings"):
        ablate("compare", "--over", "both", store=store)
