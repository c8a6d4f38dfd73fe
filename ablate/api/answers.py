"""Questions to a study that is there, and their answers: ``ablate.compare``, ``claims``, ``report``, ...

Each is what the command of the same name shows. ``study`` is a study's name, the file of a bundle, or None
for the study last planned; ``store`` is the folder of all results, or None for ``ABLATE_STORE``, else
``./mlruns``. Runs that are damaged count as missing; an answer's ``damages`` say which and why.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ablate.api.answer import Answer, html_of_markdown
from ablate.api.page import Page
from ablate.ground import documents
from ablate.ground.errors import ConfigError
from ablate.ground.wording import count
from ablate.record.opening import StorePath, StudyName, open_study
from ablate.record.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from ablate.analysis.claims import Verdict
    from ablate.analysis.compare import Comparison, Remark
    from ablate.analysis.effects import Effects
    from ablate.analysis.pictures import Album
    from ablate.analysis.published import PublishedTable
    from ablate.analysis.query import Damage, RunRecord

Over = Literal["seeds", "items", "both"]
Interval = Literal["t", "percentile", "bca"]


@dataclass(frozen=True, repr=False)
class OfStudy(Answer):
    """An answer about a study, whose runs ``runs`` are all it has, the damaged ones among them."""

    store: Store
    study: str
    runs: "Sequence[RunRecord]"

    @cached_property
    def damages(self) -> "Sequence[Damage]":
        """The study's damaged runs, each with the reason."""
        from ablate.analysis.query import damages

        return damages(self.store, self.study, self.runs)


def study_of(study: StudyName, store: "StorePath | Store") -> "tuple[Store, str, list[RunRecord]]":
    """Raises StudyError when there is no such study, StoreError when it cannot be read."""
    from ablate.analysis.query import load_runs

    chosen, name = open_study(study, store)
    return chosen, name, load_runs(chosen, name)


# ------------------------------------------------------------------------------------------------ status


@dataclass(frozen=True, repr=False)
class Status(OfStudy):
    """How far a study is, per condition and seed, and where it is under way."""

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many runs are in each state."""
        from ablate.record.rundir import State

        counts = Counter(run.state for run in self.runs)
        return {str(state): counts[state] for state in State if counts[state]}

    @cached_property
    def hosts(self) -> dict[str, int]:
        """How many runs are under way on which host."""
        from ablate.record.rundir import State

        running = [
            self.store.folder(run.run_id).status().host for run in self.runs if run.state is State.RUNNING
        ]
        return dict(Counter(host or "an unknown host" for host in running))

    @cached_property
    def jobs(self) -> Sequence[documents.Jobs]:
        """The study's jobs of Slurm: those that are there, and what waits for them."""
        return _jobs(self.store, self.study)

    @property
    def document(self) -> documents.Status:
        from ablate.api.plans import describe_run

        return documents.Status(
            schema="ablate.status/1",
            study=self.study,
            store=str(self.store.title),
            counts=self.counts,
            hosts=self.hosts,
            jobs=self.jobs,
            runs=[describe_run(run) for run in self.runs],
        )

    def text(self, width: int | None = None) -> str:
        return self._page().text(width)

    def html(self) -> str:
        return self._page().html()

    def _page(self) -> Page:
        from ablate.analysis.compare import distinct_names
        from ablate.api.plans import add_states
        from ablate.schedule.grid import tally

        page = Page()
        counts = Counter(run.state for run in self.runs)
        page.say(f"Study {self.study} in {self.store.title}: {tally(counts)}")
        if self.hosts:
            page.say("  running on " + ", ".join(f"{host} ({n})" for host, n in self.hosts.items()))
        for each in self.jobs:
            page.say(f"  {_in_words(each)}")
        add_states(page, self.runs, distinct_names(self.runs))
        return page


def status(study: StudyName = None, *, store: "StorePath | Store" = None) -> Status:
    """How far a study is. Raises StudyError when there is no such study."""
    return Status(*study_of(study, store))


def _jobs(store: Store, study: str) -> list[documents.Jobs]:
    from ablate.launch.slurm import queues
    from ablate.launch.slurmcommands import SlurmError, jobs_of

    found: list[documents.Jobs] = []
    for name, queue in queues(store.study_folder(study), study).items():
        content: documents.Jobs = {
            "name": name,
            "queued_runs": queue.n_waiting(),
            "logs": str(queue.logs),
        }
        try:
            jobs = jobs_of(name)
        except SlurmError as error:  # on a host of another kind
            content["problem"] = "; ".join(error.problems)
        else:
            waiting = [job for job in jobs if job.waits]
            content["running"] = sum(job.runs for job in jobs)
            content["waiting"] = len(waiting)
            content["reasons"] = sorted({job.reason for job in waiting})
            if not jobs and not content["queued_runs"]:
                continue
        found.append(content)
    return found


def _in_words(jobs: documents.Jobs) -> str:
    queued = f"{count(jobs['queued_runs'], 'run')} queued"
    if "problem" in jobs:
        return f"jobs {jobs['name']}: {queued}; {jobs['problem']}"
    waiting = f", {jobs['waiting']} waiting ({', '.join(jobs['reasons'])})" if jobs["waiting"] else ""
    return f"jobs {jobs['name']}: {jobs['running']} running{waiting}, {queued}"


# ---------------------------------------------------------------------------------------------- comparing


@dataclass(frozen=True, repr=False)
class Compared(OfStudy):
    """The conditions of a study, their spread over seeds, and what each changed: ``comparison``."""

    comparison: "Comparison"

    @property
    def document(self) -> dict[str, Any]:
        from ablate.analysis.tables import content

        return content(self.comparison)

    def text(self, width: int | None = None) -> str:
        from ablate.analysis.tables import terminal

        return terminal(self.comparison, width)

    def html(self) -> str:
        return html_of_markdown(self.to("markdown"))

    def to(self, form: str) -> str:
        """As text of the form ``table``, ``markdown``, ``latex``, ``csv`` or ``json``."""
        from ablate.analysis.tables import FORMATS

        return FORMATS[_form(form, FORMATS)](self.comparison)

    def frame(self) -> "pd.DataFrame":
        """A row for each condition and metric, with what ``ablate compare --format csv`` writes."""
        import io

        import pandas as pd

        return pd.read_csv(io.StringIO(self.to("csv")))


@dataclass(frozen=True, repr=False)
class Layout(OfStudy):
    """A table as it was published: their scores, ours, and the difference."""

    table: "PublishedTable"

    @property
    def document(self) -> dict[str, Any]:
        from ablate.analysis.published import content

        return content(self.table)

    def text(self, width: int | None = None) -> str:
        from ablate.analysis.published import terminal

        return terminal(self.table, width)

    def html(self) -> str:
        return html_of_markdown(self.to("markdown"))

    def to(self, form: str) -> str:
        """As text of the form ``table``, ``markdown``, ``latex``, ``csv`` or ``json``."""
        from ablate.analysis.published import FORMATS

        return FORMATS[_form(form, FORMATS)](self.table)


def compare(
    study: StudyName = None,
    *,
    store: "StorePath | Store" = None,
    baseline: str | None = None,
    metrics: Sequence[str] | None = None,
    where: str | None = None,
    over: Over = "seeds",
    ci: Interval = "t",
    ci_seed: int = 0,
) -> Compared:
    """Compare a study's conditions over their seeds: means, 95 % CI, and differences paired by seed.

    ``baseline`` is the condition to compare with, else the study's; ``metrics`` are those that its subject
    compares unless given; ``where`` leaves out runs, as in ``"seed < 5"``. ``over`` says of what else the
    intervals speak beside other seeds: other ``items``, or ``both``. ``ci`` is how intervals are made; with
    ``percentile`` and ``bca``, ``ci_seed`` is what a bootstrap draws.

    A comparison of the whole study counts as a look at it. Raises StudyError when there is no such study,
    ConfigError for an unknown baseline, metric or a filter that is none.
    """
    from ablate.analysis.compare import compare as compare_runs
    from ablate.analysis.folds import pooled
    from ablate.analysis.looked import remark, seeds_of_comparison
    from ablate.analysis.others import over_others
    from ablate.analysis.searches import marked

    _check(over, Over, "over")
    _check(ci, Interval, "ci")
    chosen, name, everything = study_of(study, store)
    details = chosen.study_details(name)
    seeds = pooled(everything)
    records = _selected(seeds, where)
    comparison = compare_runs(records, name, baseline or details.baseline, _names(metrics), ci, ci_seed)
    if over != "seeds":
        comparison = over_others(comparison, records, over, ci_seed)
    comparison = marked(comparison, chosen)
    if where is None:  # a part of the runs is no look at the study
        shown = seeds_of_comparison(comparison)
        comparison = replace(comparison, looked=remark(chosen, name, records, details, shown))
    return Compared(chosen, name, everything, comparison)


def layout(
    table: str,
    study: StudyName = None,
    *,
    store: "StorePath | Store" = None,
    metrics: Sequence[str] | None = None,
    where: str | None = None,
    ci: Interval = "t",
    ci_seed: int = 0,
) -> Layout:
    """A published table such as ``table3`` with the study's scores beside it, as ``compare --layout``.

    Raises ConfigError for a table that the study's subject has not, else as ``compare``.
    """
    from ablate.analysis.folds import pooled
    from ablate.analysis.published import published_table

    _check(ci, Interval, "ci")
    chosen, name, everything = study_of(study, store)
    columns = _columns_of(chosen, name, table)
    records = _selected(pooled(everything), where)
    details = chosen.study_details(name)
    found = published_table(records, name, details, columns, _names(metrics), ci, ci_seed)
    return Layout(chosen, name, everything, found)


def _columns_of(store: Store, study: str, name: str) -> Sequence[str]:
    """The metrics of a table as it was published. Raises ConfigError for one that the subject has not."""
    from ablate.ground.wording import suggest
    from ablate.subject.registry import open_subject

    known = open_subject(store.study_card(study).spec).layouts
    if name not in known:
        what = suggest(name, known) if known else f"; the subject of study '{study}' has none"
        raise ConfigError(f"--layout '{name}': no such table{what}")
    return known[name]


# ------------------------------------------------------------------------------------------------- claims


@dataclass(frozen=True, repr=False)
class Claims(OfStudy):
    """What a study claims, and what its runs say to that: ``verdicts``, one for each claim."""

    verdicts: "Sequence[Verdict]"
    looked: "Remark | None"

    @property
    def document(self) -> dict[str, Any]:
        from ablate.analysis.verdicts import content

        return content(self.study, self.verdicts, self.looked)

    def text(self, width: int | None = None) -> str:
        from ablate.analysis.verdicts import terminal

        return terminal(self.study, self.verdicts, width, self.looked)

    def html(self) -> str:
        return html_of_markdown(self.to("markdown"))

    def to(self, form: str) -> str:
        """As text of the form ``table``, ``markdown`` or ``json``."""
        from ablate.analysis.verdicts import FORMATS

        return FORMATS[_form(form, FORMATS)](self.study, self.verdicts, None, self.looked)


def claims(study: StudyName = None, *, store: "StorePath | Store" = None, where: str | None = None) -> Claims:
    """Judge a study's claims: supported, refuted or inconclusive, with the evidence.

    ``where`` leaves out runs. Without it this counts as a look at the study. Raises StudyError when there is
    no such study, ConfigError for a filter that is none.
    """
    from ablate.analysis.claims import judge
    from ablate.analysis.folds import pooled
    from ablate.analysis.looked import remark, seeds_of_verdicts

    chosen, name, everything = study_of(study, store)
    records = pooled(everything)
    details = chosen.study_details(name)
    verdicts = judge(_selected(records, where), details)
    looked = None
    if where is None:  # a part of the runs is no look at the study
        looked = remark(chosen, name, records, details, seeds_of_verdicts(verdicts))
    return Claims(chosen, name, everything, verdicts, looked)


# ------------------------------------------------------------------------------------------------ effects


@dataclass(frozen=True, repr=False)
class EffectsOf(OfStudy):
    """What each factor of a study does, and how that depends on the others: ``parts``, one a design."""

    parts: "Sequence[Effects]"

    @property
    def document(self) -> dict[str, Any]:
        from ablate.analysis.effecttables import content

        return content(self.parts)

    def text(self, width: int | None = None) -> str:
        return self.to("table", width)

    def html(self) -> str:
        return html_of_markdown(self.to("markdown"))

    def to(self, form: str, width: int | None = None) -> str:
        """As text of the form ``table``, ``markdown`` or ``json``."""
        from ablate.analysis.effecttables import FORMATS

        return FORMATS[_form(form, FORMATS)](self.parts, width)

    @property
    def picture(self) -> "Picture | None":
        """The interactions that are certain, at most four; None where none is."""
        from ablate.analysis.pictures import interaction_picture

        found = interaction_picture(self.parts[0])
        return None if found is None else Picture(found.title, found.caption, found.figure)


def effects(
    study: StudyName = None,
    *,
    store: "StorePath | Store" = None,
    metrics: Sequence[str] | None = None,
    where: str | None = None,
    plugins: Sequence[str | PathLike[str]] = (),
) -> EffectsOf:
    """What each factor of a study does: main effects, interactions, shares of variance, steps of a ladder.

    ``plugins`` are modules with factors beside the subject's. Raises StudyError when there is no such study
    or its conditions are of no design, ConfigError for an unknown metric or a filter that is none.
    """
    from ablate.analysis.effects import effects as effects_of
    from ablate.analysis.effects import refuse_search
    from ablate.analysis.folds import pooled
    from ablate.api.subjects import all_factors
    from ablate.subject.registry import open_if_there

    chosen, name = open_study(study, store)
    refuse_search(chosen, name)
    subject = open_if_there(chosen.study_card(name).spec)
    chosen, name, everything = study_of(name, chosen)
    parts = effects_of(
        _selected(pooled(everything), where),
        name,
        subject,
        baseline=chosen.study_details(name).baseline,
        metrics=_names(metrics),
        known=None if subject is None else all_factors(subject, list(map(Path, plugins))),
        command=next(iter(chosen.study_commands(name)), ""),
    )
    return EffectsOf(chosen, name, everything, parts)


# ------------------------------------------------------------------------------------------------- report


@dataclass(frozen=True, repr=False)
class Report(OfStudy):
    """A study as one page: ``page`` is the whole of its HTML, with ``comparison`` and ``album`` on it."""

    page: str
    comparison: "Comparison"
    album: "Album"

    @cached_property
    def pictures(self) -> "Sequence[Picture]":
        """What is drawn on the page, each to be shown by itself."""
        return [Picture(each.title, each.caption, each.figure) for each in self.album.pictures]

    @property
    def document(self) -> documents.Report:
        return documents.Report(
            schema="ablate.report/1",
            study=self.study,
            bytes=len(self.page.encode()),
            pictures=[picture.title for picture in self.pictures],
        )

    def text(self, width: int | None = None) -> str:  # noqa: ARG002
        titles = "".join(f"  {picture.title}\n" for picture in self.pictures)
        return f"Report of study {self.study}, {count(len(self.pictures), 'picture')}:\n{titles}"

    def html(self) -> str:
        from html import escape

        return (
            f'<iframe srcdoc="{escape(self.page)}" title="Report of study {escape(self.study)}" '
            'style="width: 100%; height: 40em; border: 1px solid #8888"></iframe>'
        )

    def save(self, file: str | PathLike[str]) -> Path:
        """Write the page. Raises ConfigError when it cannot be written."""
        from ablate.ground.files import write_text

        try:
            write_text(Path(file), self.page)
        except OSError as error:
            raise ConfigError(f"--output {file}: cannot be written ({error.strerror or error})") from error
        return Path(file)


@dataclass(frozen=True, repr=False)
class Picture:
    """A picture of a report. ``figure`` is matplotlib's."""

    title: str
    caption: str
    figure: Any

    def __repr__(self) -> str:
        return f"<picture: {self.title}. {self.caption}>"

    def _repr_png_(self) -> bytes:
        import io

        file = io.BytesIO()
        self.figure.savefig(file, format="png", dpi=120, facecolor="white")
        return file.getvalue()


def report(study: StudyName = None, *, store: "StorePath | Store" = None) -> Report:
    """A study's report: question, verdicts, published and own scores, comparison, pictures, provenance.

    Nothing is written; ``save`` writes the page. Raises StudyError when there is no such study.
    """
    from ablate.analysis import report as reports
    from ablate.analysis.material import gather

    chosen, name = open_study(study, store)
    material = gather(chosen, name)
    album = reports.album(material)
    return Report(chosen, name, material.records, reports.html(material, album), material.comparison, album)


# ----------------------------------------------------------------------------------------- what they share


def _selected(records: "Sequence[RunRecord]", where: str | None) -> "list[RunRecord]":
    from ablate.analysis.where import select

    return list(records) if where is None else select(records, where)


def _names(metrics: Sequence[str] | None) -> list[str] | None:
    if isinstance(metrics, str):
        raise ConfigError(f"metrics='{metrics}': give a list of names, such as ['{metrics}']")
    return None if metrics is None else list(metrics)


def _form(form: str, known: Mapping[str, Any]) -> str:
    from ablate.ground.wording import suggest

    if form not in known:
        raise ConfigError(f"'{form}': no such form{suggest(form, list(known))}")
    return form


def _check(value: str, kind: Any, name: str) -> None:
    """Raises ConfigError for a word that is none of a Literal's."""
    from typing import get_args

    from ablate.ground.wording import suggest

    known = get_args(kind)
    if value not in known:
        raise ConfigError(f"{name}='{value}': unknown{suggest(str(value), list(known))}")
