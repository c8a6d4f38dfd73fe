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


LIBRARIES = (
    "hypothesis", "jinja2", "matplotlib.figure", "mlflow", "mlflow.tracking", "numpy", "optuna", "pandas", "pydantic",
    "rich.console", "rich.table", "scipy.optimize", "scipy.special", "scipy.stats", "sed_eval", "sklearn.metrics",
    "soundfile", "sqlalchemy", "torch", "typer.testing",
)  # fmt: skip


def _area(modules: str, tests: str) -> Area:
    return Area(tuple(modules.split()), tuple(f"tests/{path}" for path in tests.split()), libraries=LIBRARIES)


METRICS = sorted((REPOSITORY / "ablate/mtl/metrics").glob("[!_]*.py"))

AREAS = {
    "designs": _area(
        "ablate/design/designs.py ablate/design/conditions.py ablate/design/selection.py ablate/design/folds.py",
        "design cli/test_designs.py",
    ),
    "identity": _area(
        "ablate/design/runs.py ablate/subject/settings.py ablate/subject/code.py ablate/record/seals.py",
        "design/test_runs.py design/test_folds.py subject/test_code.py mtl/test_config.py record/test_rundir.py"
        " record/test_store.py cli/test_damaged_store.py",
    ),
    "claims": _area(
        "ablate/design/claims.py ablate/analysis/claims.py ablate/analysis/verdicts.py ablate/analysis/looked.py"
        " ablate/analysis/evidence.py",
        "analysis/test_claims.py analysis/test_units.py analysis/test_crossed.py analysis/test_folds.py"
        " analysis/test_deciding.py analysis/test_tables.py analysis/test_replication.py cli/test_claims.py"
        " cli/test_decide.py",
    ),
    "intervals": _area(
        "ablate/analysis/intervals.py ablate/analysis/crossed.py ablate/analysis/contrasts.py"
        " ablate/analysis/sequential.py ablate/analysis/variance.py",
        "analysis/test_intervals.py analysis/test_crossed.py analysis/test_sequential.py analysis/test_noise.py"
        " analysis/test_claims.py analysis/test_compare.py analysis/test_units.py analysis/test_effects.py"
        " analysis/test_folds.py",
    ),
    "metrics": _area(
        " ".join(str(path.relative_to(REPOSITORY)) for path in METRICS), "mtl/metrics mtl/test_scoring.py"
    ),
    "leases": _area(
        "ablate/ground/leases.py ablate/ground/files.py ablate/record/rundir.py",
        "ground record fuzz/test_run_folders.py upkeep/test_records.py worker/test_bench.py cli/test_damaged_store.py",
    ),
    "labels and reversal": _area(
        "ablate/mtl/model/labels.py ablate/mtl/model/reversal.py",
        "mtl/model/test_labels.py mtl/model/test_reversal.py mtl/model/test_ablations_take_effect.py"
        " mtl/training/test_loop.py",
    ),
    "tracking": _area(
        "ablate/tracking/projection.py ablate/tracking/reconcile.py ablate/tracking/tracker.py"
        " ablate/tracking/troubles.py ablate/tracking/moves.py ablate/tracking/owner.py",
        "tracking/test_tracker.py tracking/test_troubles.py tracking/test_moves.py tracking/test_experiments.py"
        " tracking/test_foreign.py",
    ),
    "search and decide": _area(
        "ablate/design/space.py ablate/schedule/search.py ablate/record/searches.py ablate/record/decision.py"
        " ablate/record/looks.py ablate/analysis/deciding.py ablate/analysis/searches.py",
        "design/test_space.py schedule/test_search.py record/test_searches.py record/test_decision.py"
        " analysis/test_deciding.py analysis/test_searches.py cli/test_decide.py",
    ),
}
