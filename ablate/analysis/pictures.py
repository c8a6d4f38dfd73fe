"""The pictures of a study, each with a title and a caption that says what it is drawn from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure

from ablate.analysis import evidence, figures
from ablate.analysis.compare import Comparison, ConditionRow, Group
from ablate.analysis.intervals import Summary, summarise
from ablate.analysis.tables import metric_label
from ablate.design.runs import Dataset
from ablate.ground.errors import DataError
from ablate.ground.files import read_json
from ablate.mtl.data.annotations import annotation_file
from ablate.mtl.data.prepared import MANIFEST
from ablate.mtl.data.stats import Stats, read_stats
from ablate.record.rundir import RunFolder
from ablate.record.store import Store

MAX_CONDITIONS = 12  # of pictures with a panel for each condition
MAX_ROWS = 40  # of the forest plot


@dataclass(frozen=True)
class Picture:
    """``id`` is a file's name without its suffix."""

    id: str
    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Album:
    """``left_out`` has a sentence on each thing that is not drawn, for want of room or of data."""

    pictures: tuple[Picture, ...]
    left_out: tuple[str, ...]


def draw_album(
    comparison: Comparison, groups: Sequence[Group], folders: Mapping[str, RunFolder], store: Store
) -> Album:
    """Every picture that the study has the data for. ``folders`` are those of its runs, by run id."""
    finished = {group.name: group for group in groups if group.finished()}
    rows = [row for row in comparison.conditions if row.name in finished]
    block = _block(rows)
    shown = block[:MAX_CONDITIONS]
    drawn = [finished[row.name] for row in shown]
    baseline = shown[0].name if shown[0].is_baseline else None
    pictures = [
        *_forest(comparison, block),
        *_curves(comparison, list(finished.values()), baseline),
        *_confusions(drawn, baseline),
        *_classes(drawn, baseline),
        *_learning(drawn, folders, baseline),
        *_instances(folders[drawn[0].first.run_id].run().dataset, store),
    ]
    return Album(tuple(pictures), tuple(_left_out(rows, block, shown)))


def _block(rows: Sequence[ConditionRow]) -> list[ConditionRow]:
    """The conditions that are compared with the first baseline, itself first; all when there is none."""
    return [row for row in rows if row.baseline == rows[0].baseline]


def _left_out(
    rows: Sequence[ConditionRow], block: Sequence[ConditionRow], shown: Sequence[ConditionRow]
) -> Iterator[str]:
    if len(block) < len(rows):
        others = len(rows) - len(block)
        yield f"Not in the pictures: {others} conditions that have another baseline than {block[0].baseline}."
    if len(shown) < len(block):
        yield (
            f"Of {len(block)} conditions, the pictures with a panel for each show the first {len(shown)}, "
            f"and the one of the differences the first {MAX_ROWS}; the tables have all."
        )


def _forest(comparison: Comparison, block: Sequence[ConditionRow]) -> Iterator[Picture]:
    others = [row for row in block if not row.is_baseline][:MAX_ROWS]
    effects = {
        row.name: {name: cell.difference if cell else None for name, cell in row.metrics.items()}
        for row in others
    }
    if not any(difference for cells in effects.values() for difference in cells.values()):
        return
    yield Picture(
        "differences",
        f"Differences from {block[0].baseline}",
        f"Mean difference from {block[0].baseline} within each seed, with its 95 % CI (paired t). A filled "
        "mark: the CI excludes zero. A mark without a line: too few seeds for an interval.",
        figures.forest(effects, [metric_label(metric) for metric in comparison.metrics]),
    )


def _curves(comparison: Comparison, groups: Sequence[Group], baseline: str | None) -> Iterator[Picture]:
    for found in evidence.factor_curves(groups, comparison.metrics):
        on_lines = {score for lines in found.metrics.values() for line in lines for score in line.scores}
        panels = {metric_label(metric): lines for metric, lines in found.metrics.items()}
        reference = next((group for group in groups if group.name == baseline), None)
        references = _references(reference, comparison.metrics, on_lines)
        broken = any(0 in line.levels for lines in panels.values() for line in lines)
        zero = " Zero stands left of the break in the logarithmic axis." if broken else ""
        dotted = f" Dotted: {baseline}, which is on no line." if references else ""
        yield Picture(
            f"over_{found.factor.replace('.', '_')}",
            f"Scores over {found.factor}",
            f"Mean over seeds and 95 % CI (t), cut off at 0 and 100 %, of each condition along "
            f"{found.factor}.{dotted}{zero}",
            figures.factor_curves(panels, found.factor, references),
        )


def _references(
    group: Group | None, metrics: Sequence[str], on_lines: set[Summary]
) -> dict[str, tuple[str, Summary]]:
    """The baseline's score for each panel, unless the baseline is a point of a line itself."""
    if group is None:
        return {}
    scores = {metric: list(group.scores(metric).values()) for metric in metrics}
    means = {metric: summarise(values) for metric, values in scores.items() if values}
    if on_lines & set(means.values()):
        return {}
    return {metric_label(metric): (group.name, mean) for metric, mean in means.items()}


def _confusions(groups: Sequence[Group], baseline: str | None) -> Iterator[Picture]:
    found = evidence.mean_confusions(groups)
    if found is None:
        return
    yield Picture(
        "confusions",
        "Scene confusions",
        "The paper's Figure 3: of the clips of a true scene (row), the share in % that is taken for each "
        "scene (column), averaged over the finished seeds of the condition.",
        figures.confusion_matrices(found.matrices, found.scenes),
    )
    if baseline in found.matrices and len(found.matrices) > 1:
        yield Picture(
            "confusion_differences",
            f"Scene confusions, difference from {baseline}",
            f"The matrices above less that of {baseline}, in percentage points. Red: more often; blue: "
            "less often; white: no difference.",
            figures.confusion_differences(found.matrices, found.scenes, baseline),
        )


def _classes(groups: Sequence[Group], baseline: str | None) -> Iterator[Picture]:
    found = evidence.class_scores(groups)
    if found is None or baseline not in found.scores or len(found.scores) < 2:
        return
    yield Picture(
        "classes",
        f"F of each event, from {baseline} to each condition",
        "Means over seeds. The bar is the baseline; a disc is higher, an open square lower.",
        figures.class_changes(found.scores, found.events, baseline),
    )


def _learning(
    groups: Sequence[Group], folders: Mapping[str, RunFolder], baseline: str | None
) -> Iterator[Picture]:
    found = evidence.learning(groups, folders)
    if not found:
        return
    grey = f" Thin grey: the means of {baseline}." if baseline in found and len(found) > 1 else ""
    yield Picture(
        "learning",
        "Training losses",
        "Mean over seeds, with a band from the least to the greatest. Losses are unweighted: alpha and beta "
        f"are not in them. A loss on fake labels is one of fitting the fake labels.{grey}",
        figures.learning_curves(found, baseline),
    )


def _instances(dataset: Dataset, store: Store) -> Iterator[Picture]:
    """Figure 1, when the data set is where it was, or went along with the store, and is still the same."""
    stats = dataset_stats(replace(dataset, path=store.locate(dataset)))
    if stats is None:
        return
    counts = {split: counted.instances for split, counted in stats.splits.items()}
    yield Picture(
        "instances",
        "Event instances in each scene",
        f"The paper's Figure 1 for the data set {dataset.name}: annotated events, development / evaluation.",
        figures.event_instances(counts, stats.vocabulary.scenes, stats.vocabulary.events),
    )


def dataset_stats(dataset: Dataset) -> Stats | None:
    """Counted from the annotations; None when they are gone, or prepared anew from other files."""
    folders = (dataset.path, dataset.path.parent)
    try:
        if read_json(dataset.path / MANIFEST)["digest"] != dataset.digest:
            return None
        return read_stats(next(path for path in folders if (path / annotation_file("development")).exists()))
    except (OSError, ValueError, KeyError, TypeError, StopIteration, DataError):
        return None


def save_album(album: Album, folder: Path) -> list[Path]:
    """Each picture as SVG and PNG, for a paper or slides. Creates the folder; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{picture.id}{suffix}" for picture in album.pictures for suffix in (".svg", ".png")]
    for file, picture in zip(files, (p for p in album.pictures for _ in range(2)), strict=True):
        figures.save(picture.figure, file)
    return files
