"""Study files: one study as one page of TOML, read whole and checked whole.

name = "example"                     # what `ablate compare` calls the study
question = "..."                     # the paragraph that its report begins with
profile = "quick"                    # size of the training; default "quick"
seeds = 5                            # how many (0, 1, ...), or a list of them; default 2
folds = 4                            # train each seed without each fold of the training data, and score it
                                     # on that fold; default: on the evaluation data
baseline = "mtl"                     # the condition that the others are compared with
plugins = ["factors.py"]             # modules with more factors, relative to this file

[subject]                            # what is trained, if it is not the built-in subject: a script, or
script = "python train.py --lr={lr}" # module = "my_subject.py"; see `studysubject`
metrics = ["accuracy:max"]

[set]                                # settings of every run, by factor or dotted name
optim.epochs = 20

[conditions]                         # either: what is trained, by name, and how it differs from the base
mtl = {}
grl_s1 = { grl_pos = "S1" }

[factors]                            # or: factors with their levels, combined by design = "full" | "ofat" |
grl_pos = ["none", "S1"]             # "leave-one-out" | "both" | "ladder" (``designs``) at the top, where
                                     # zip = [["a", "b"]] names factors that vary together

[full]                               # the level that the full system has, where a factor has several others
grl_pos = "S1"                       # than the baseline's and the design is one of the last three

[[also]]                             # one more grid in the same study, all else as in the base
factors = { lambda = [0, 1] }
design = "ofat"

[[exclude]]                          # combinations that are left out, and why: the factors' levels, or
levels = { grl_pos = "S1" }          # where = "grl_pos = S1 and lambda < 1"
reason = "..."

[claims.C1]                          # a hypothesis: every one of `better` scores higher than every one of
text = "..."                         # `worse`, or on `metric` higher than on every metric of `than`,
metric = "event_micro_f"             # by more than `margin` (a fraction; default 0)
better = "mtl"
worse = ["grl_s1"]
interest = 0.01                      # what is certainly less than this, is too small to matter to `decide`

[published]                          # scores in per cent, one table each, its columns in `metrics`
source = "..."
[published.table3]
metrics = ["scene_micro_f", "event_micro_f"]
mtl     = [88.57, 44.63]             # "-" where there is no score
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablate.design.claims import Claim, StudyDetails
from ablate.design.conditions import Condition, check_size, named_condition
from ablate.design.designs import DESIGNS, Design
from ablate.design.folds import check_folds, in_folds, n_folds
from ablate.design.layout import (
    BadLayout,
    Exclusion,
    Grid,
    Layout,
    exclusion_of_filter,
    exclusion_of_levels,
    split,
)
from ablate.design.study import DEFAULT_SEEDS, Study, check_study_name, expected_of_base, study_of
from ablate.design.studypage import Document, Page, flat, read_document
from ablate.design.studysubject import SUBJECT_KEYS, subject_of
from ablate.design.tomllines import Keys
from ablate.ground.errors import ConfigError, brief, shown
from ablate.ground.wording import suggest
from ablate.subject.factors import Factor, Factors, Inert
from ablate.subject.interface import Subject
from ablate.subject.metrics import Metric, Metrics
from ablate.subject.settings import Config

MOST_SEEDS = 2**32
NO_SCORE = "-"
LONGEST_LABEL = 200  # characters of the name of a condition or claim

TOP_KEYS = (
    "name",
    "question",
    "profile",
    "seeds",
    "folds",
    "baseline",
    "design",
    "zip",
    "plugins",
    "subject",
    "set",
    "factors",
    "full",
    "also",
    "conditions",
    "exclude",
    "claims",
    "published",
)
CLAIM_KEYS = ("text", "metric", "better", "worse", "than", "margin", "interest")
EXCLUDE_KEYS = ("levels", "where", "reason")
ALSO_KEYS = ("factors", "design")
OF_FACTORS = ("design", "zip", "full", "also", "exclude")  # keys that say how factors are combined

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class StudyFile:
    """A valid study file. ``plan`` makes the study of it, with what the user overrides at the prompt.

    ``settings`` and the levels of ``conditions`` are by dotted name; ``layout`` is empty where the conditions
    are named, and ``conditions`` where they follow from it. ``factors`` are those of either. ``expected`` is
    what the data must have.
    """

    document: Document = field(repr=False, compare=False)
    subject: Subject
    name: str
    profile: str | None
    settings: Settings
    seeds: Sequence[int]
    factors: tuple[Factor, ...]
    layout: Layout
    conditions: Mapping[str, Settings]
    known: Factors
    details: StudyDetails
    folds: int | None = None
    expected: tuple[Any, ...] = ()

    @property
    def gpus(self) -> int:
        """Devices that a run needs."""
        return int(self.subject.spec.get("gpus_per_run", 1))

    def of(self, subject: Subject) -> "StudyFile":
        """The same of a subject whose version counts as another one."""
        return replace(self, subject=subject)

    def plan(
        self,
        *,
        profile: str | None = None,
        settings: Settings | None = None,
        seeds: Sequence[int] | None = None,
        folds: int | None = None,
    ) -> Study:
        """The study; ``settings`` (by dotted name) and ``folds`` win over the file's. Raises ConfigError."""
        changes = settings or {}
        base = self.subject.profile(profile or self.profile).override({**self.settings, **changes})
        base = in_folds(base, self.subject, self.folds if folds is None else folds)
        typed = expected_of_base(self.subject, base) if changes or n_folds(self.subject, base) else []
        return replace(self._study(base, seeds), expected=(*self.expected, *typed))

    def on_data(self, settled: Mapping[str, Inert]) -> "StudyFile":
        """The same on data that settle the level of some settings."""
        return replace(self, known=self.known.on_data(settled))

    def _study(self, base: Config, seeds: Sequence[int] | None) -> Study:
        self.known.check_settled(base)
        chosen = self.seeds if seeds is None else seeds
        try:
            size = len(self.conditions) or self.layout.size(base)
            check_size(size, len(chosen), n_folds(self.subject, base))
        except BadLayout as error:
            places = [(flaw.key, flaw.value.partition("=")[0]) for flaw in error.flaws]
            sentences = [
                self.document.located(at, str(flaw)) for at, flaw in zip(places, error.flaws, strict=True)
            ]
            raise ConfigError(sentences) from None
        except ConfigError as error:
            raise ConfigError(self.document.located(("seeds",), str(error))) from None
        if self.conditions:
            return Study(
                self.name,
                self.subject,
                list(self.factors),
                self._named(base),
                [],
                list(chosen),
                base,
                named=True,
                remarks=tuple(self.known.settled_remarks),
            )
        return self._crossed(base, list(chosen))

    def _named(self, base: Config) -> list[Condition]:
        """The named conditions. Two names for one training are an error."""
        first: dict[Config, tuple[str, list[str]]] = {}
        made: list[Condition] = []
        problems: list[str] = []
        for name, levels in self.conditions.items():
            condition, reasons = named_condition(name, base, levels, self.factors, self.known)
            made.append(condition)
            twin, reasons_of_twin = first.setdefault(condition.config, (name, reasons))
            if twin != name:
                why = "; ".join(dict.fromkeys(reasons_of_twin + reasons)) or "they set the same"
                sentence = f"conditions '{twin}' and '{name}' are the same training, since {why}; remove one"
                problems.append(self.document.located(("conditions", name), sentence))
        if problems:
            raise ConfigError(problems)
        check_folds(self.subject, base, made)
        return made

    def idle_exclusions(self) -> list[int]:
        """The places of the exclusions that exclude nothing."""
        base = self.subject.profile(self.profile).override(self.settings)
        return split(self.layout.cells(base), self.layout.exclusions).idle if self.layout.exclusions else []

    def _crossed(self, base: Config, seeds: list[int]) -> Study:
        """The conditions that follow from the factors and the designs, without what is excluded."""
        parts = split(self.layout.cells(base), self.layout.exclusions)
        if not parts.kept:
            raise ConfigError(self.document.located(("exclude", 0), "every combination is excluded"))
        return study_of(self.name, self.subject, base, self.layout, parts, self.known, seeds)


def read_study_file(path: Path, plugins: Sequence[Path] = ()) -> StudyFile:
    """The study file at ``path``; ``plugins`` are modules with factors beside those that the file names.

    Raises ConfigError with every problem at once, each with the file and the line.
    """
    document = read_document(path)
    page = Page(document, TOP_KEYS)
    page.check_keys((), TOP_KEYS)
    page.check_keys(("subject",), SUBJECT_KEYS)
    _check_what_varies(page)
    subject = subject_of(page)
    known = _known_factors(page, subject, plugins)
    layout, named = _layout(page, known, subject), _conditions(page, known, subject)
    in_use = layout.factors or [factor for each in named.values() for factor, _ in each]
    study = StudyFile(
        document=document,
        subject=subject,
        name=_name(page),
        profile=_profile(page, subject),
        settings=_settings(page, known, subject),
        seeds=_seeds(page),
        factors=_unique(in_use),
        layout=layout,
        conditions={name: {factor.field: level for factor, level in each} for name, each in named.items()},
        known=known,
        details=StudyDetails(question=page.text(("question",)).strip()),
        folds=_folds(page, subject),
    )
    names = _condition_names(page, study)
    details = StudyDetails(
        question=study.details.question,
        baseline=_baseline(page, names),
        claims=_claims(page, names, subject),
        published=_published(page, names, subject),
        source=page.text(("published", "source")),
    )
    page.raise_problems()
    return replace(study, details=details, expected=page.expected)


# ------------------------------------------------------------------------------------------------ the top


def _name(page: Page) -> str:
    name = page.text(("name",))
    if page.value(("name",)) is None:
        page.problem((), 'the study needs a name, such as name = "my_study"')
    elif name:
        with page.blaming(("name",)):
            check_study_name(name)
    return name


def _profile(page: Page, subject: Subject) -> str | None:
    name = page.text(("profile",)) or None
    with page.blaming(("profile",)):
        subject.profile(name)
        return name
    return None


def _seeds(page: Page) -> Sequence[int]:
    at = ("seeds",)
    found = page.value(at, DEFAULT_SEEDS)
    if isinstance(found, int) and not isinstance(found, bool) and 1 <= found <= MOST_SEEDS:
        return range(found)
    if isinstance(found, list) and found and all(_is_seed(seed) for seed in found):
        if len(set(found)) == len(found):
            return tuple(found)
        page.problem(at, f"seeds = {shown(found)}: each seed once")
    else:
        page.problem(
            at, f"seeds = {shown(found)}: should be how many (1 or more), or a list such as [0, 1, 2]"
        )
    return range(DEFAULT_SEEDS)


def _folds(page: Page, subject: Subject) -> int | None:
    at = ("folds",)
    found = page.value(at)
    if found is None:
        return None
    if isinstance(found, int) and not isinstance(found, bool):
        with page.blaming(at):
            in_folds(subject.default, subject, found, "folds =")
            return found
    else:
        page.problem(at, f"folds = {shown(found)}: should be how many, such as folds = 4")
    return None


def _is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_SEEDS


def _known_factors(page: Page, subject: Subject, plugins: Sequence[Path]) -> Factors:
    """The subject's factors, those of the file's plugins, and those of ``plugins``."""
    known = subject.known_factors
    here = page.document.path.parent
    with page.blaming(("plugins",)):
        for name in page.texts(("plugins",)):
            known = known.with_plugin(here / name)
    for path in plugins:
        known = known.with_plugin(path)
    return known


def _settings(page: Page, known: Factors, subject: Subject) -> Settings:
    found: dict[str, Any] = {}
    for name, at, value in flat(page.table(("set",)), ("set",)):
        factor = page.factor(at, name, known)
        if factor is not None:
            found[factor.field] = page.level(at, factor, value, subject)
    return found


# ----------------------------------------------------------------------------------------- what is varied


def _check_what_varies(page: Page) -> None:
    """A study has either factors or named conditions."""
    content = page.document.content
    if "factors" in content and "conditions" in content:
        page.problem(("conditions",), "a study has [factors] or named [conditions], not both; remove one")
    elif not page.value(("factors",)) and not page.value(("conditions",)):
        page.problem((), "nothing is varied: list factors in [factors], or named conditions in [conditions]")
    if "conditions" in content:
        for key in OF_FACTORS:
            if key in content:
                page.problem((key, 0), f"{key} is for [factors]; conditions by name are listed as they are")


def _layout(page: Page, known: Factors, subject: Subject) -> Layout:
    """The grids of the file, the factors above all first; empty where the conditions are named."""
    if not page.value(("factors",)):
        return Layout()
    grids = [_grid(page, ("factors",), _design(page, ("design",)), known, subject)]
    also = page.typed(("also",), list, "written as [[also]], with factors and perhaps a design", [])
    grids += [_also(page, place, known, subject) for place in range(len(also))]
    varied = _unique(factor for grid in grids for factor in grid.factors)
    return Layout(
        tuple(grids),
        _zips(page, varied),
        _full(page, known, subject),
        _exclusions(page, known, varied, subject),
    )


def _design(page: Page, at: Keys) -> Design:
    found = page.value(at, "full")
    for design in DESIGNS:
        if design == found:
            return design
    page.problem(at, f"unknown design {shown(found)}{suggest(str(found), DESIGNS)}")
    return "full"


def _also(page: Page, place: int, known: Factors, subject: Subject) -> Grid:
    at: Keys = ("also", place)
    if not isinstance(page.value(at), dict):
        page.problem(at, f"{shown(page.value(at))}: should be written as [[also]], with factors")
        return Grid("full", (), {})
    page.check_keys(at, ALSO_KEYS)
    if not page.table((*at, "factors")):
        page.problem(at, "a grid needs factors, such as factors = { lambda = [0, 1] }")
    return _grid(page, (*at, "factors"), _design(page, (*at, "design")), known, subject)


def _grid(page: Page, table: Keys, design: Design, known: Factors, subject: Subject) -> Grid:
    found: dict[str, tuple[Factor, list[Any]]] = {}
    for name, at, values in flat(page.table(table), table):
        factor = page.factor(at, name, known)
        if factor is None:
            continue
        if factor.name in found:
            page.problem(at, f"factor '{factor.name}' is given twice")
            continue
        if not isinstance(values, list) or not values:
            page.problem(
                at, f"factor '{name}': {shown(values)} should be a list of levels, such as [0.1, 1, 10]"
            )
            values = []
        levels = [page.level((*at, place), factor, value, subject) for place, value in enumerate(values)]
        found[factor.name] = factor, levels
    factors = tuple(factor for factor, _ in found.values())
    return Grid(design, factors, {name: levels for name, (_, levels) in found.items()})


def _zips(page: Page, varied: Sequence[Factor]) -> tuple[tuple[str, ...], ...]:
    """Factors that vary together, by their own names."""
    form = 'a list of lists, such as [["width", "depth"]]'
    found: list[tuple[str, ...]] = []
    for place, names in enumerate(page.typed(("zip",), list, form, [])):
        at: Keys = ("zip", place)
        if not isinstance(names, list) or len(set(map(str, names))) < 2:
            page.problem(at, f"zip = {shown(names)}: should name two factors or more, in {form}")
            continue
        factors = [_varied_factor(page, at, name, varied) for name in dict.fromkeys(map(str, names))]
        found.append(tuple(factor.name for factor in factors if factor is not None))
    return tuple(names for names in found if len(names) > 1)


def _varied_factor(page: Page, at: Keys, name: str, varied: Sequence[Factor]) -> Factor | None:
    """The varied factor of a name, or of its dotted one; None, with a problem, for another."""
    for factor in varied:
        if name in (factor.name, factor.field):
            return factor
    page.problem(at, f"factor '{brief(name)}' is not varied{suggest(name, [each.name for each in varied])}")
    return None


def _full(page: Page, known: Factors, subject: Subject) -> dict[str, Any]:
    """The levels of the full system, by the factor's name."""
    found: dict[str, Any] = {}
    for name, at, value in flat(page.table(("full",)), ("full",)):
        factor = page.factor(at, name, known)
        if factor is not None:
            found[factor.name] = page.level(at, factor, value, subject)
    return found


def _conditions(page: Page, known: Factors, subject: Subject) -> dict[str, list[tuple[Factor, Any]]]:
    """The named conditions, each with the factors that it sets, and their levels."""
    found: dict[str, list[tuple[Factor, Any]]] = {}
    for name in page.table(("conditions",)):
        at = ("conditions", name)
        found[name] = [
            (factor, page.level(keys, factor, value, subject))
            for text, keys, value in flat(page.table(at), at)
            if (factor := page.factor(keys, text, known)) is not None
        ]
        _check_label(page, at, "condition", name)
    return found


def _check_label(page: Page, at: Keys, what: str, name: str) -> None:
    """Names stand in tables, pictures and error messages."""
    if not name.strip() or not name.isprintable() or len(name) > LONGEST_LABEL:
        page.problem(
            at, f"a {what} needs a name of printable characters, {LONGEST_LABEL} at most, not {shown(name)}"
        )


def _unique(factors: Iterable[Factor]) -> tuple[Factor, ...]:
    """Each factor once, in the order of its first use."""
    return tuple({factor.name: factor for factor in factors}.values())


def _exclusions(
    page: Page, known: Factors, varied: Sequence[Factor], subject: Subject
) -> tuple[Exclusion, ...]:
    entries = page.typed(("exclude",), list, "written as [[exclude]], with levels and a reason", [])
    return tuple(
        _exclusion(page, ("exclude", place), known, varied, subject) for place in range(len(entries))
    )


def _exclusion(page: Page, at: Keys, known: Factors, varied: Sequence[Factor], subject: Subject) -> Exclusion:
    nothing = exclusion_of_levels((), {}, "")
    entry = page.value(at)
    if not isinstance(entry, dict):
        page.problem(at, f"{shown(entry)}: should be written as [[exclude]], with levels and a reason")
        return nothing
    page.check_keys(at, EXCLUDE_KEYS)
    reason = entry.get("reason", "")
    if not isinstance(reason, str) or not reason.strip():
        page.problem((*at, "reason"), 'an exclusion needs a reason, such as reason = "diverges"')
    if "where" not in entry:
        return _exclusion_of_levels(page, at, known, varied, subject, str(reason))
    if "levels" in entry:
        page.problem((*at, "where"), "an exclusion has either levels or where; remove one")
    with page.blaming((*at, "where")):
        return exclusion_of_filter(page.text((*at, "where")), known, str(reason), "where")
    return nothing


def _exclusion_of_levels(
    page: Page, at: Keys, known: Factors, varied: Sequence[Factor], subject: Subject, reason: str
) -> Exclusion:
    found: dict[str, tuple[Any, ...]] = {}
    factors: list[Factor] = []
    levels = page.value((*at, "levels"))
    if not isinstance(levels, dict) or not levels:
        page.problem(
            (*at, "levels"),
            'name what is excluded, such as levels = { grl_pos = "S1" }, or where = "lambda > 1"',
        )
        levels = {}
    for name, keys, values in flat(levels, (*at, "levels")):
        factor = page.factor(keys, name, known)
        if factor is None or _varied_factor(page, keys, name, varied) is None:
            continue
        items = values if isinstance(values, list) else [values]
        found[factor.name] = tuple(page.level(keys, factor, item, subject) for item in items)
        factors.append(factor)
    return exclusion_of_levels(factors, found, reason)


def _condition_names(page: Page, study: StudyFile) -> list[str] | None:
    """The conditions' names; None when they cannot be known for what is wrong with the factors."""
    if page.has_problems:
        return list(study.conditions) or None
    try:
        planned = study.plan()
    except ConfigError as error:
        page.add_located(error)
        return list(study.conditions) or None
    for place in study.idle_exclusions():
        page.problem(("exclude", place), "excludes no combination; remove it, or mend its levels")
    return [condition.name for condition in planned.conditions]


# -------------------------------------------------------------------------------- claims, published scores


def _known_condition(page: Page, at: Keys, name: str, names: list[str] | None) -> None:
    if names is not None and name not in names:
        page.problem(at, f"unknown condition '{brief(name)}'{suggest(name, names)}")


def _baseline(page: Page, names: list[str] | None) -> str | None:
    if page.value(("baseline",)) is None:
        return None
    name = page.text(("baseline",))
    if name:
        _known_condition(page, ("baseline",), name, names)
    return name


def _claims(page: Page, names: list[str] | None, subject: Subject) -> tuple[Claim, ...]:
    return tuple(_claim(page, name, names, subject) for name in page.table(("claims",)))


def _claim(page: Page, name: str, names: list[str] | None, subject: Subject) -> Claim:
    at: Keys = ("claims", name)
    _check_label(page, at, "claim", name)
    page.check_keys(at, CLAIM_KEYS)
    measured = subject.card.metrics.of(page.text((*at, "metric")))
    margin = _margin(page, (*at, "margin"), measured)
    claim = Claim(
        id=name,
        text=page.text((*at, "text")),
        metric=page.text((*at, "metric")),
        better=page.texts((*at, "better")),
        worse=page.texts((*at, "worse")),
        than=page.texts((*at, "than")),
        margin=margin,
        interest=_interest(page, (*at, "interest"), measured, margin),
    )
    for key, why in (("text", "what it claims"), ("metric", "what is measured"), ("better", "who wins")):
        if page.value((*at, key)) is None:
            page.problem(at, f"claim '{name}' needs {key}, {why}")
    if bool(page.value((*at, "worse"))) == bool(page.value((*at, "than"))):
        page.problem(at, f"claim '{name}' needs either worse (conditions) or than (metrics)")
    for key in ("better", "worse"):
        for condition in getattr(claim, key):
            _known_condition(page, (*at, key), condition, names)
    for key, metrics in (("metric", (claim.metric,)), ("than", claim.than)):
        for metric in filter(None, metrics):
            page.metric((*at, key), metric, subject)
    for both in sorted({*claim.better} & {*claim.worse}):
        page.problem((*at, "worse"), f"claim '{name}': '{both}' cannot be better than itself")
    if claim.metric in claim.than:
        page.problem((*at, "than"), f"claim '{name}': '{claim.metric}' cannot be higher than itself")
    return claim


def _margin(page: Page, at: Keys, metric: Metric) -> float:
    """The least difference that counts, in the metric's own unit."""
    margin = float(page.typed(at, int | float, "a number such as 0.01", 0.0))
    if metric.is_fraction and not 0 <= margin < 1:
        page.problem(at, f"margin = {margin:g}: should be a fraction from 0 to below 1; 0.02 is 2 points")
        return 0.0
    if not 0 <= margin < math.inf:
        page.problem(at, f"margin = {margin:g}: should be a number of 0 or more")
        return 0.0
    return margin


def _interest(page: Page, at: Keys, metric: Metric, margin: float) -> float | None:
    """The least difference that matters; None where none is given."""
    found = page.typed(at, int | float, "a number such as 0.01", None)
    if found is None:
        return None
    problem = problem_of_interest(float(found), metric, margin)
    if problem is not None:
        page.problem(at, f"interest = {found:g}: {problem}")
        return None
    return float(found)


def problem_of_interest(interest: float, metric: Metric, margin: float) -> str | None:
    """What is wrong with a margin of interest, in the metric's own unit, beside a claim's margin."""
    if metric.is_fraction and not 0 < interest < 1:
        return "should be a fraction above 0 and below 1; 0.02 is 2 points"
    if not 0 < interest < math.inf:
        return "should be a number above 0"
    if interest < margin:
        return f"should not be less than the margin of {margin:g}, below which the claim is false anyway"
    return None


def _published(page: Page, names: list[str] | None, subject: Subject) -> Mapping[str, Mapping[str, float]]:
    """The published scores as fractions, condition -> metric -> score."""
    scores: dict[str, dict[str, float]] = {}
    for title, rows in page.table(("published",)).items():
        at: Keys = ("published", title)
        if title == "source":
            continue
        if not isinstance(rows, dict):
            page.problem(at, f"'{title}' should be source, or a table of scores such as [published.table3]")
            continue
        metrics = page.texts((*at, "metrics"))
        if not metrics:
            page.problem(at, f"table '{title}' needs its columns, such as metrics = [\"scene_micro_f\"]")
        for metric in metrics:
            page.metric((*at, "metrics"), metric, subject)
        for name in rows:
            if name != "metrics":
                _known_condition(page, (*at, name), name, names)
                _add_scores(page, (*at, name), metrics, scores.setdefault(name, {}), subject.card.metrics)
    return scores


def _add_scores(
    page: Page, at: Keys, metrics: Sequence[str], scores: dict[str, float], units: Metrics
) -> None:
    """One row of a published table into ``scores``; what is in per cent as fractions."""
    row = page.value(at)
    if not isinstance(row, list) or len(row) != len(metrics):
        n = len(row) if isinstance(row, list) else 0
        page.problem(
            at, f"'{at[-1]}' has {n} scores, and metrics names {len(metrics)}; they should be as many"
        )
        return
    for metric, score in zip(metrics, row, strict=True):
        if score == NO_SCORE:
            continue
        in_percent = units.of(metric).is_fraction
        if not _is_number(score) or (in_percent and not 0 <= score <= 100):
            what = "per cent, 0 to 100" if in_percent else "a number"
            page.problem(at, f"'{at[-1]}', {metric} = {shown(score)}: should be {what}, or \"{NO_SCORE}\"")
        elif metric in scores:
            page.problem(at, f"'{at[-1]}' has two published scores of {metric}; keep one")
        else:
            scores[metric] = round(score / 100, 10) if in_percent else float(score)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
