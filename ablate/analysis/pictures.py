"""The pictures of a study, each with a title and a caption that says what it is drawn from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure

from ablate.analysis import evidence, figures
from ablate.analysis.compare import Comparison, ConditionRow, Group
from ablate.analysis.effects import Effects
from ablate.analysis.intervals import Summary, summarise
from ablate.analysis.units import Scale
from ablate.record.rundir import RunFolder
from ablate.record.store import Store
from ablate.subject.interface import Dataset, Subject
from ablate.subject.metrics import Metrics
from ablate.subject.registry import open_if_there

MAX_CONDITIONS = 12  # of pictures with a panel for each condition
MAX_ROWS = 40  # of the forest plot
MAX_INTERACTIONS = 4


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
    comparison: Comparison,
    groups: Sequence[Group],
    folders: Mapping[str, RunFolder],
    store: Store,
    effects: Effects | None = None,
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
        *_interactions(effects),
        *_curves(comparison, list(finished.values()), baseline),
        *_confusions(drawn, baseline),
        *_classes(drawn, baseline),
        *_learning(drawn, folders, baseline),
    ]
    subject = open_if_there(drawn[0].first.subject.spec)
    if subject is not None:
        pictures = [_with_caption(picture, subject.captions) for picture in pictures]
        pictures += _of_subject(subject, folders[drawn[0].first.runs[0].run_id], store)
    return Album(tuple(pictures), tuple(_left_out(rows, block, shown)))


def _with_caption(picture: Picture, captions: Mapping[str, str]) -> Picture:
    return replace(picture, caption=f"{picture.caption} {captions.get(picture.id, '')}".rstrip())


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
        figures.forest(
            effects,
            [comparison.units.label(metric) for metric in comparison.metrics],
            [comparison.units.of(metric).is_fraction for metric in comparison.metrics],
        ),
    )


def _interactions(effects: Effects | None) -> Iterator[Picture]:
    picture = None if effects is None else interaction_picture(effects)
    if picture is not None:
        yield picture


def interaction_picture(effects: Effects) -> Picture | None:
    """The interactions with the smallest adjusted p; None where none is certain."""
    found = effects.interactions
    if not found:
        return None
    shown = found[:MAX_INTERACTIONS]
    panels = [
        figures.Panel(
            effects.units.label(each.metric) + Scale.of(effects.units.of(each.metric), []).suffix,
            each.factor,
            each.ticks,
            {line.label: line.scores for line in each.lines},
            effects.units.of(each.metric).is_fraction,
        )
        for each in shown
    ]
    some = f" The {len(shown)} of {len(found)} with the smallest p." if len(shown) < len(found) else ""
    return Picture(
        "interactions",
        "Factors that depend on each other",
        "Mean over seeds and 95 % CI (t) at each level of a factor, a line for each level of another, "
        "averaged over all further ones. Parallel lines: no interaction. Only interactions with an adjusted "
        f"p below 0.05 are drawn.{some}",
        figures.interactions(panels),
    )


def _curves(comparison: Comparison, groups: Sequence[Group], baseline: str | None) -> Iterator[Picture]:
    for found in evidence.factor_curves(groups, comparison.metrics):
        on_lines = {score for lines in found.metrics.values() for line in lines for score in line.scores}
        panels = {_title(comparison.units, metric): lines for metric, lines in found.metrics.items()}
        as_stored = [
            _title(comparison.units, name)
            for name in found.metrics
            if not comparison.units.of(name).is_fraction
        ]
        cut = ", cut off at 0 and 100 %," if len(as_stored) < len(panels) else ""
        reference = next((group for group in groups if group.name == baseline), None)
        references = _references(reference, comparison, on_lines)
        broken = any(0 in line.levels for lines in panels.values() for line in lines)
        zero = " Zero stands left of the break in the logarithmic axis." if broken else ""
        dotted = f" Dotted: {baseline}, which is on no line." if references else ""
        yield Picture(
            f"over_{found.factor.replace('.', '_')}",
            f"Scores over {found.factor}",
            f"Mean over seeds and 95 % CI (t){cut} of each condition along {found.factor}.{dotted}{zero}",
            figures.factor_curves(panels, found.factor, references, as_stored),
        )


def _references(
    group: Group | None, comparison: Comparison, on_lines: set[Summary]
) -> dict[str, tuple[str, Summary]]:
    """The baseline's score for each panel, unless the baseline is a point of a line itself."""
    if group is None:
        return {}
    scores = {metric: list(group.scores(metric).values()) for metric in comparison.metrics}
    means = {metric: summarise(values) for metric, values in scores.items() if values}
    if on_lines & set(means.values()):
        return {}
    return {_title(comparison.units, metric): (group.name, mean) for metric, mean in means.items()}


def _title(units: Metrics, metric: str) -> str:
    """The metric of a panel, with its unit where the picture does not add it."""
    unit = "" if units.of(metric).is_fraction else units.of(metric).unit
    return units.label(metric) + (f" ({unit})" if unit else "")


def _confusions(groups: Sequence[Group], baseline: str | None) -> Iterator[Picture]:
    for found in evidence.mean_confusions(groups):
        title = found.name.replace("_", " ")
        yield Picture(
            found.name,
            title[0].upper() + title[1:],
            "Of the items of a true class (row), the share in % that is taken for each class (column), "
            "averaged over the finished seeds of the condition.",
            figures.confusion_matrices(found.matrices, found.labels),
        )
        if baseline in found.matrices and len(found.matrices) > 1:
            yield Picture(
                f"{found.name}_differences",
                f"{title[0].upper()}{title[1:]}, difference from {baseline}",
                f"The matrices above less that of {baseline}, in percentage points. Red: more often; blue: "
                "less often; white: no difference.",
                figures.confusion_differences(found.matrices, found.labels, baseline),
            )


def _classes(groups: Sequence[Group], baseline: str | None) -> Iterator[Picture]:
    """A picture of each family of fractions that the subject counts among its headline metrics."""
    units = groups[0].first.subject.metrics
    families = [metric for metric in units if metric.is_family and metric.headline and metric.is_fraction]
    for family in families:
        found = evidence.class_scores(groups, family.name)
        if found is None or baseline not in found.scores or len(found.scores) < 2:
            continue
        what, _, score = units.label(family.name.removesuffix("/*")).rpartition(" ")
        yield Picture(
            family.name.removesuffix("/*"),
            f"{score} of each {what or 'class'}, from {baseline} to each condition",
            "Means over seeds. The bar is the baseline; a disc is higher, an open square lower.",
            figures.class_changes(found.scores, found.classes, baseline, score),
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
        "Curves of training",
        "What trainings report each epoch: mean over seeds, with a band from the least to the greatest."
        f"{grey}",
        figures.learning_curves(found, baseline),
    )


def _of_subject(subject: Subject, folder: RunFolder, store: Store) -> Iterator[Picture]:
    """What the subject draws of the data, where they are where they were or in the store."""
    dataset = folder.run().dataset
    there = Dataset(dataset.name, dataset.digest, store.locate(dataset))
    for name, title, caption, figure in subject.pictures(there):
        yield Picture(name, title, caption, figure)


def save_album(album: Album, folder: Path) -> list[Path]:
    """Each picture as SVG and PNG, for a paper or slides. Creates the folder; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{picture.id}{suffix}" for picture in album.pictures for suffix in (".svg", ".png")]
    for file, picture in zip(files, (p for p in album.pictures for _ in range(2)), strict=True):
        figures.save(picture.figure, file)
    return files
