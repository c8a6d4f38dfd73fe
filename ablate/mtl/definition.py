"""The paper's network as a subject: what the harness asks of it, answered."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ablate.mtl import factors
from ablate.mtl.config import PROFILES, RunConfig
from ablate.mtl.metrics.declared import DECLARED
from ablate.subject.code import package_digest
from ablate.subject.factors import Factor
from ablate.subject.interface import Data, Dataset, Row, Size, Subject, TinyStudy, Trainer
from ablate.subject.settings import Settings

NAME = "mtl"

# What decides the time of a training step. Reversals, fake labels and seeds cost next to nothing.
COST_SETTINGS = ("tasks", "model.width", "optim.batch_size", "kernels", "precision")

FOLDS = "validation.folds"

READING_AID = (
    "Scores are of the evaluation data; with --folds, of the development data. Scene micro F is the share of "
    "clips whose scene is right; event micro F is of the events detected in frames of 20 ms."
)

TABLE3 = ("scene_micro_f", "scene_macro_f", "event_micro_f", "event_macro_f")
TABLE4 = (
    "event_f/bird_singing",
    "event_f/car",
    "event_f/dishes",
    "event_f/keyboard_typing",
    "event_f/large_vehicle",
)


class MtlSubject(Subject):
    """Imoto et al. (2022): acoustic scenes and sound events, learnt by one network."""

    @property
    def rules(self) -> Sequence[Factor]:
        return factors.RULES

    def unknown_metric(self, name: str) -> str | None:
        from ablate.mtl.named_classes import unknown_metric

        return unknown_metric(name)

    def expects(self, where: str, *, metric: str = "", field: str = "", level: Any = None) -> Sequence[Any]:
        """The classes that a metric or a level of ``labels.without`` names; recordings for every fold."""
        from ablate.mtl.named_classes import LEFT_OUT, classes_of, left_out

        if metric:
            return (classes_of(where, metric),)
        if field == FOLDS and level:
            from ablate.mtl.data.folds import WantedFolds

            return (WantedFolds(int(level)),)
        return (left_out(where, str(level)),) if field == LEFT_OUT else ()

    @property
    def code_digest(self) -> str:
        return package_digest(Path(__file__).parent)

    @cached_property
    def data(self) -> Data:
        from ablate.mtl.installation import require_packages

        require_packages()
        from ablate.mtl.data.datasets import Soundscapes

        return Soundscapes()

    @property
    def trains_together(self) -> bool:
        return True

    def set_up_worker(self, device: str) -> None:
        from ablate.mtl.trainer import set_up

        set_up(device)

    def trainer(self, device: str) -> Trainer:
        from ablate.mtl.trainer import PackTrainer

        return PackTrainer(self, device)

    @property
    def requires(self) -> Sequence[str]:
        from ablate.mtl.installation import PACKAGES

        return tuple(PACKAGES)

    def check_installation(self) -> Iterator[tuple[str, str, Sequence[str]]]:
        from ablate.mtl.installation import check_kernels, check_packages

        missing = list(check_packages())
        yield from missing or check_kernels()

    def cost(self, settings: Settings) -> str:
        return " ".join(f"{name}={settings.get(name)}" for name in COST_SETTINGS)

    def epochs(self, settings: Settings) -> int:
        return int(settings.get("optim.epochs"))

    def steps(self, settings: Settings, size: Size) -> float:
        n_clips = size.train_items * (1 - _share_held_out(settings))
        return self.epochs(settings) * n_clips / float(settings.get("optim.batch_size"))

    def scored_items(self, settings: Settings, size: Size) -> float:
        share = _share_held_out(settings)
        return size.train_items * share if share else size.test_items

    def kept_bytes(self, settings: Settings, size: Size) -> float:
        from ablate.mtl.keeping import bytes_kept

        return 0.0 if settings.get("tasks") == "scene" else bytes_kept(self.scored_items(settings, size))

    @property
    def speed_command(self) -> Sequence[str]:
        return ("-m", "ablate.mtl.training.speed")

    def tiny_study(self, folder: Path) -> TinyStudy:
        from ablate.mtl.calibration import tiny_study

        return tiny_study(folder)

    @property
    def reading_aid(self) -> str:
        return READING_AID

    @property
    def layouts(self) -> Mapping[str, Sequence[str]]:
        return {"table3": TABLE3, "table4": TABLE4}

    @property
    def curves(self) -> Mapping[str, str]:
        return {"scene loss": "loss_scene", "event loss": "loss_event"}

    @property
    def captions(self) -> Mapping[str, str]:
        return {
            "scene_confusion": "The paper's Figure 3; the items are clips.",
            "learning": "Losses are unweighted: alpha and beta are not in them. A loss on fake labels is one "
            "of fitting the fake labels.",
        }

    def remarks(self, settings: Settings, history: Sequence[Row]) -> Mapping[str, Mapping[str, Any]]:
        from ablate.mtl.remarks import reversal

        return reversal(settings, history)

    def pictures(self, dataset: Dataset) -> Sequence[tuple[str, str, str, Any]]:
        from ablate.mtl.figures import instances

        return instances(dataset)

    @property
    def studies(self) -> Path:
        return Path(__file__).parent / "experiments"

    def starter(self, name: str) -> str:
        from ablate.mtl.starter import starter

        return starter(name)


def _share_held_out(settings: Settings) -> float:
    """The share of the development clips that a run is scored on and not trained on, about."""
    n_folds = int(settings.get(FOLDS))
    return 1 / n_folds if n_folds else float(settings.get("validation.share"))


subject = MtlSubject(
    NAME,
    RunConfig,
    metrics=DECLARED,
    factors=factors.FACTORS,
    profiles=PROFILES,
    scoring=("scoring.threshold", "scoring.median", "scoring.boxes"),
    packages=("torch", "numpy", "numba"),
    validation="validation.share",
    folds=(FOLDS, "validation.fold"),
    spec={"kind": "built-in"},
)
