"""How well published effects are found again, with numbers to check by hand."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ablate.analysis.compare import group_runs
from ablate.analysis.query import load_runs, units_of
from ablate.analysis.replication import Replication, _kendall, _spearman, replications, sentences
from ablate.design.claims import StudyDetails
from ablate.record.store import Store
from tests.analysis.byitem import study_by_item
from tests.analysis.studies import paper_study, system_run
from tests.fabricate import BASE, CARD, fabricate_run

METRIC = "event_micro_f"
# Ours and the published ones: two of three differences from mtl have the published sign, grl_s2's is too
# small to count, and fake_event, which we score exactly as mtl, has no sign.
OURS = {"mtl": 0.40, "grl_s1": 0.30, "fake_scene": 0.35, "grl_s2": 0.50, "fake_event": 0.40}
PUBLISHED = {"mtl": 0.45, "grl_s1": 0.35, "fake_scene": 0.30, "grl_s2": 0.449, "fake_event": 0.0}


def replicated(store: Store, seeds: int = 3) -> list[Replication]:
    store.require_writable()
    runs = [system_run(name, seed) for name in OURS for seed in range(seeds)]
    for run in runs:
        fabricate_run(store, run, metrics={METRIC: OURS[run.name]})
    details = StudyDetails(baseline="mtl", published={name: {METRIC: PUBLISHED[name]} for name in PUBLISHED})
    store.add_to_study("s", runs, "ablate study s.toml", card=CARD, base=BASE, details=details)
    records = load_runs(store, "s")
    return replications(group_runs(records), details, [METRIC], units_of(records))


def test_signs_are_counted_by_hand(tmp_path: Path) -> None:
    (found,) = replicated(Store(tmp_path / "store"))
    assert (found.n_effects, found.n_tiny, found.n_open) == (3, 1, 0)
    assert found.same_sign is not None
    assert found.same_sign.value == pytest.approx(2 / 3)
    assert found.same_sign.over_seeds == pytest.approx((2 / 3, 2 / 3))  # all seeds are the same
    assert found.same_sign.over_both is None


def test_the_rank_correlations_are_scipys(tmp_path: Path) -> None:
    (found,) = replicated(Store(tmp_path / "store"), seeds=1)
    ours, theirs = list(OURS.values()), list(PUBLISHED.values())
    assert found.kendall is not None
    assert found.spearman is not None
    assert found.kendall.value == pytest.approx(stats.kendalltau(ours, theirs).statistic)
    assert found.spearman.value == pytest.approx(stats.spearmanr(ours, theirs).statistic)
    assert found.kendall.over_seeds is None  # one seed


def test_correlations_of_draws_are_scipys_with_ties() -> None:
    rng = np.random.default_rng(0)
    published, means = rng.integers(0, 4, 6) / 10, rng.integers(0, 4, (20, 6)) / 10
    kendall, spearman = (each(published, list(range(6)), means) for each in (_kendall, _spearman))
    assert kendall == pytest.approx([stats.kendalltau(row, published).statistic for row in means])
    assert spearman == pytest.approx([stats.spearmanr(row, published).statistic for row in means])


def test_a_study_like_the_paper_replicates_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    paper_study(store, seeds=3)
    records, details = load_runs(store, "paper"), store.study_details("paper")
    found = replications(group_runs(records), details, ["scene_micro_f", METRIC], units_of(records))
    assert [each.metric for each in found] == ["scene_micro_f", METRIC, None]
    assert found[0].same_sign is not None
    assert found[0].same_sign.value == 1
    assert found[2].n_effects == found[0].n_effects + found[1].n_effects
    assert sentences(found, units_of(records))[0].startswith(
        "Replication, scene micro F: 7 of 7 effects have the published sign, 100 ["
    )


def test_counts_by_item_give_an_interval_over_both(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    details = StudyDetails(
        baseline="mtl",
        published={
            name: {METRIC: value} for name, value in (("mtl", 0.45), ("grl_s1", 0.4), ("fake_scene", 0.41))
        },
    )
    study_by_item(store, details=details)
    records = load_runs(store, "s")
    (found,) = replications(group_runs(records), details, [METRIC], units_of(records))
    assert found.kendall is not None
    assert found.kendall.over_both is not None
    assert "over seeds, then over seeds and items" in sentences([found], units_of(records))[-1]
