"""The core, by what it is for: its modules, and the tests that say what they do.

Left out is what sends signals to processes, of which a mutant might pick the wrong one:
``subject/process.py``, ``launch/local.py``, ``tracking/server.py`` and ``worker/__main__.py``.
"""

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Area:
    """Modules and tests (files or folders), relative to ``root``, and the libraries that both import."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    root: Path = REPOSITORY
    libraries: tuple[str, ...] = ()


LIBRARIES = """
    hypothesis jinja2 matplotlib.figure mlflow mlflow.tracking numpy optuna pandas pydantic rich.console
    rich.table scipy.optimize scipy.special scipy.stats sklearn.metrics soundfile sqlalchemy torch
    typer.testing tests.mtl.metrics.peer
"""


def _area(modules: str, tests: str) -> Area:
    files = sorted(
        path for pattern in modules.split() for path in (REPOSITORY / "ablate").glob(f"{pattern}.py")
    )
    return Area(
        tuple(str(file.relative_to(REPOSITORY)) for file in files),
        tuple(f"tests/{path}" for path in tests.split()),
        libraries=tuple(LIBRARIES.split()),
    )


AREAS = {
    "designs": _area(
        "design/designs design/conditions design/folds",
        "design analysis/test_folds.py cli/test_designs.py cli/test_folds.py",
    ),
    "identity": _area(
        "design/runs subject/settings subject/code record/seals",
        "design/test_runs.py design/test_folds.py subject/test_code.py mtl/test_config.py "
        "mtl/test_factors.py record/test_rundir.py record/test_store.py cli/test_damaged_store.py "
        "cli/test_unfolded.py subject/test_settings.py record/test_seals.py",
    ),
    "claims": _area(
        "design/claims analysis/claims analysis/verdicts analysis/looked",
        "analysis/test_claims.py analysis/test_units.py analysis/test_crossed.py analysis/test_folds.py "
        "analysis/test_deciding.py analysis/test_tables.py analysis/test_replication.py "
        "analysis/test_report.py cli/test_claims.py cli/test_compare_over.py cli/test_decide.py "
        "analysis/test_looked.py analysis/test_verdicts.py design/test_claims.py",
    ),
    "intervals": _area(
        "analysis/intervals analysis/crossed analysis/contrasts analysis/sequential analysis/variance",
        "analysis/test_intervals.py analysis/test_crossed.py analysis/test_sequential.py "
        "analysis/test_noise.py analysis/test_claims.py analysis/test_compare.py analysis/test_units.py "
        "analysis/test_effects.py analysis/test_folds.py analysis/test_tables.py cli/test_compare_over.py",
    ),
    "metrics": _area("mtl/metrics/[!_]*", "mtl/metrics mtl/test_scoring.py"),
    "leases": _area(
        "ground/leases ground/files record/rundir",
        "ground record/test_rundir.py record/test_store.py record/test_seals.py upkeep/test_records.py",
    ),
    "labels and reversal": _area(
        "mtl/model/labels mtl/model/reversal",
        "mtl/model/test_labels.py mtl/model/test_reversal.py mtl/model/test_ablations_take_effect.py",
    ),
    "tracking": _area(
        "tracking/projection tracking/reconcile tracking/tracker tracking/moves tracking/owner",
        "tracking/test_tracker.py tracking/test_moves.py tracking/test_unchanged.py "
        "tracking/test_databases.py::TestWhatStays::test_a_database_damaged_while_it_is_open "
        "tracking/test_descriptions.py "
        "tracking/test_experiments.py tracking/test_foreign.py tracking/test_garbage.py "
        "tracking/test_projection.py tracking/test_owner.py",
    ),
    "troubles": _area("tracking/troubles", "tracking/test_troubles.py"),
    "search and decide": _area(
        "design/space design/selection schedule/search record/searches record/decision record/looks "
        "analysis/deciding analysis/searches",
        "design/test_space.py design/test_selection.py schedule/test_search.py record/test_searches.py "
        "record/test_decision.py analysis/test_deciding.py analysis/test_searches.py "
        "campaign/test_refusals.py cli/test_search.py",
    ),
    "bundles": _area("record/bundle", "record/test_bundle.py"),
    "failures": _area("ground/failures record/failures", "ground/test_failures.py record/test_failures.py"),
    "watching": _area("record/watching", "record/test_watching.py"),
    "filters": _area("ground/filters", "analysis/test_where.py"),
}
