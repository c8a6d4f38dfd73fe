"""A study's runs scored again: which of them, in which way, and what is written into their folders."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.ground.errors import AblateError, DataError
from ablate.ground.files import replacing
from ablate.mtl import keeping
from ablate.mtl.config import RunConfig
from ablate.mtl.detection.detector import Detector
from ablate.mtl.keeping import Kept
from ablate.mtl.metrics.named import GROUPS
from ablate.mtl.rescoring import Way, rescore, tuned
from ablate.record.rundir import RunBusy, RunFolder, State
from ablate.record.store import Store
from ablate.subject.items import Items

if TYPE_CHECKING:
    import torch

    from ablate.mtl.data.prepared import Prepared
    from ablate.mtl.model.mtl import Mtl

DEVELOPMENT = "development.npz"  # in a run's folder: as ``keeping.FILE``, of the data that it was trained on


@dataclass(frozen=True)
class Options:
    """How to detect events, where that is not the run's own way: None.

    ``tune``: with the threshold of each class that is best on development data.
    """

    threshold: float | None = None
    tune: bool = False
    median_s: float | None = None
    boxes: bool | None = None

    def detector(self, config: RunConfig) -> Detector:
        own = Detector.of(config.scoring)
        return Detector(
            own.median_s if self.median_s is None else self.median_s,
            own.boxes if self.boxes is None else self.boxes,
        )

    @property
    def of_threshold(self) -> str:
        """What the names of scores end with: ``.tuned``, ``.threshold_0.3``, or nothing."""
        if self.tune:
            return ".tuned"
        return "" if self.threshold is None else f".threshold_{self.threshold:g}"

    @property
    def of_detector(self) -> str:
        """The same of the detector: ``.median_0.5s.boxes``."""
        smooth = "" if self.median_s is None else f".median_{self.median_s:g}s"
        return smooth + {None: "", True: ".boxes", False: ".frames"}[self.boxes]

    def name(self, group: str) -> str:
        """The leading score of a group, computed in this way."""
        threshold = "" if GROUPS[group].over_all_thresholds else self.of_threshold
        return f"{GROUPS[group].leading}{threshold}{self.of_detector}"


@dataclass(frozen=True)
class Task:
    """A run to score, for a process of its own. ``siblings`` are the folders of its seed's other folds."""

    folder: Path
    title: str
    config: RunConfig
    digest: str
    data: Path
    groups: tuple[str, ...]
    options: Options
    siblings: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Selected:
    """Of a study's runs those to score, and how many are left out, and why."""

    tasks: list[Task] = field(default_factory=list)
    n_scored: int = 0  # have all that is asked for
    n_unfinished: int = 0
    n_without_events: int = 0


def select(store: Store, study: str, groups: Sequence[str], options: Options, *, again: bool) -> Selected:
    """Which runs lack which scores; with ``again`` all do. Raises StoreError for damaged runs."""
    from ablate.mtl.definition import subject

    folders = store.study_runs(study)
    finished = [folder for folder in folders if folder.status().state is State.FINISHED]
    runs = {folder.run_id: folder.run() for folder in finished}
    tasks, n_scored, n_without_events = [], 0, 0
    for folder in finished:
        run = runs[folder.run_id]
        config = subject.configure(run.config)
        assert isinstance(config, RunConfig)
        if not config.has_event:
            n_without_events += 1
            continue
        there = {} if again else folder.rescored()
        lacking = tuple(group for group in groups if options.name(group) not in there)
        if not lacking:
            n_scored += 1
            continue
        siblings = tuple(
            other.path
            for other in finished
            if run.fold is not None
            and other.run_id != folder.run_id
            and (runs[other.run_id].condition_id, runs[other.run_id].seed) == (run.condition_id, run.seed)
        )
        if options.tune and run.fold is not None and len(siblings) < run.n_folds - 1:
            raise DataError(
                f"{run.title}: thresholds are tuned on the other folds, and of {run.n_folds} folds only "
                f"{len(siblings) + 1} have finished; train the others first"
            )
        data = store.locate(run.dataset)
        tasks.append(
            Task(folder.path, run.title, config, run.dataset.digest, data, lacking, options, siblings)
        )
    return Selected(tasks, n_scored, len(folders) - len(finished), n_without_events)


def score_run(task: Task) -> bool:
    """Scores a run and adds the scores to its folder. Whether its network had to be asked again.

    Raises DataError when that is not possible.
    """
    folder = RunFolder(task.folder)
    try:
        kept, counts = _kept(task)
        way = _way(task)
        found = rescore(kept, task.groups, way)
        with folder.claim():
            folder.add_scores(found.metrics, found.items if counts is None else found.items.joined(counts))
    except RunBusy:
        raise DataError(f"{task.title}: another process is at it; score it again later") from None
    except OSError as error:
        raise DataError(f"{task.title}: cannot be written ({error.strerror})") from error
    except DataError:
        raise
    except AblateError as error:
        raise DataError(error.problems) from error
    return counts is not None


def _way(task: Task) -> Way:
    options, detector = task.options, task.options.detector(task.config)
    threshold = task.config.scoring.threshold if options.threshold is None else options.threshold
    if options.tune:
        return Way(detector, tuned(_development(task), detector), options.of_threshold, options.of_detector)
    return Way(detector, threshold, options.of_threshold, options.of_detector)


def _kept(task: Task) -> tuple[Kept, Items | None]:
    """What the run keeps; and where it has kept nothing, what its network says now, with its counts."""
    from ablate.mtl.scoring import items_of
    from ablate.mtl.training.evaluate import judge_run, outputs_of_run

    kept = keeping.read(task.folder)
    if kept is not None:
        return kept, None
    network, data, device = _network(task)
    split, clips, said = outputs_of_run(network, data, task.config, device)
    kept = _write(task.folder / keeping.FILE, keeping.keep(said, split, clips, data))
    evaluation = judge_run(said, split, clips, task.config)
    return kept, items_of(evaluation, data.scenes, data.events)


def _write(file: Path, content: bytes) -> Kept:
    """Keeps what a network has said when it was asked again."""
    with replacing(file, durable=True) as temporary:
        temporary.write_bytes(content)
    return keeping.from_bytes(content)


def _development(task: Task) -> Kept:
    """What thresholds are tuned on: the other folds, each as the run said that held it out.

    Without folds these are the data that the run was trained on, which flatter; yet they are not those that
    it is scored on.
    """
    if task.siblings:
        parts = [_require(keeping.read(folder), folder) for folder in task.siblings]
        recordings = tuple(recording for part in parts for recording in part.recordings)
        return Kept(parts[0].scenes, parts[0].events, parts[0].hop_s, recordings)
    found = keeping.read(task.folder, DEVELOPMENT)
    if found is not None:
        return found
    from ablate.mtl.training.evaluate import outputs
    from ablate.mtl.training.held_out import trained_on

    network, data, device = _network(task)
    clips = trained_on(data, task.config.validation)
    said = outputs(network, data.development, clips, device=device)
    return _write(task.folder / DEVELOPMENT, keeping.keep(said, data.development, clips, data))


def _require(kept: Kept | None, folder: Path) -> Kept:
    if kept is None:
        raise DataError(
            f"run {folder.name} has kept no scores, and thresholds of another fold are tuned on them; "
            "score the study without --threshold tuned first"
        )
    return kept


def _network(task: Task) -> "tuple[Mtl, Prepared, torch.device]":
    """The run's network with its weights, and the data, without the classes that it leaves out."""
    import torch

    from ablate.mtl.data.prepared import open_prepared
    from ablate.mtl.scoring import WEIGHTS, load_weights
    from ablate.mtl.training.classes import without_classes

    asked = f"{task.title}: what its network said is not kept, and it cannot be asked again"
    try:
        data = open_prepared(task.data)
        if data.digest != task.digest:
            raise DataError(f"{task.data} holds other data than those that it was trained on")
        network = load_weights(task.config, data, task.folder / WEIGHTS)
    except (AblateError, OSError, RuntimeError) as error:
        raise DataError(f"{asked} ({error})") from error
    torch.set_num_threads(1)
    return network, without_classes(data, task.config), torch.device("cpu")
