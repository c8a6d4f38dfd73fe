"""What the benchmark of searches measures them by."""

import pytest

from ablate.design.runs import Run, SubjectRef
from ablate.subject.interface import Dataset
from ablate.subject.settings import Settings
from benchmarks.search.laboratory import Search
from benchmarks.search.surfaces import CURVES, EPOCHS, SURFACES, Config, Surface
from benchmarks.searching import beside, searches, summary

BEST = {
    "smooth": {"x": 0.1, "y": 0.7, "z": 0.2},
    "rugged": {"x": 0.3, "y": 0.7, "z": 0.2},
    "conditional": {"kind": "sharp", "strength": 3.0, "y": 0.7},
}


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_the_best_of_a_surface_is_known(surface: Surface) -> None:
    best = Config().override(BEST[surface.name])
    assert surface.score(best.get) == pytest.approx(0, abs=1e-9)
    assert surface.is_found(best.get)
    assert surface.score(Config().get) < -0.1
    assert not surface.is_found(Config().get)


def test_a_curve_ends_at_the_score() -> None:
    run = Run(Settings(Config().flat()), Dataset("none", "none", "data"), "baseline", {}, SubjectRef("s"), ())
    for surface in CURVES:
        curve = surface.curve(run)
        assert len(curve) == EPOCHS
        assert curve[0] < curve[-1]
        assert curve[-1] == pytest.approx(surface.noisy(run) - 0.001, abs=0.01)


def test_a_search_spends_all_epochs_or_fewer_when_it_prunes() -> None:
    n = 12
    whole = Search(CURVES[0], "tpe", seed=0).run(n)
    assert (whole.trials, whole.epochs) == (n, n * EPOCHS)
    pruned = Search(CURVES[0], "tpe", seed=0, pruner="hyperband").run(n)
    assert pruned.trials == n
    assert n < pruned.epochs < n * EPOCHS


def test_two_samplers_are_compared_by_the_seeds_of_their_searches() -> None:
    random = searches(SURFACES[0], "random", "none", repeats=2, trials=3)
    assert summary(random)["repeats"] == 2
    same = beside(random, random)
    assert (same["gain"], same["p_sign_flip"]) == (0, 1)
