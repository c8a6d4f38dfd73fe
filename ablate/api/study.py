"""``ablate.Study``: a study from Python, planned, trained and asked as the commands do it."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ablate.api import answers
from ablate.api.answers import Compared, EffectsOf, Report
from ablate.api.asked import File, Grid, Recorded, Wanted
from ablate.api.means import Means
from ablate.api.planned import Planned
from ablate.api.progress import display_of
from ablate.api.training import Display, Scope, Training, devices_of, no_display, tell_nobody
from ablate.api.words import (
    FilePath,
    chosen_of,
    code_of,
    means_of,
    several,
    texts_of,
    values_of,
    words_of_file,
    words_of_grid,
)
from ablate.design.typed import design_of, parse_also, parse_zips
from ablate.record.opening import StorePath, open_store
from ablate.record.store import Store, default_root

if TYPE_CHECKING:
    import pandas as pd

    from ablate.subject.interface import Subject

Launcher = Literal["local", "inline", "slurm", "ray"]
Progress = bool | Callable[[Scope], Display]


class Asked(Protocol):
    """What a study is made from: a grid, a study file, or what the store has."""

    def wanted(self, store: Store) -> Wanted: ...


class Study:
    """A study: what is varied, on what, in which store. Making one reads and writes nothing.

    Every argument means what the option of ``ablate grid`` of that name does, and bad ones raise the
    ``ConfigError`` whose sentences the command would print, once ``plan`` or ``run`` is called::

        study = ablate.Study("sweep", script="train.py", levels={"lr": [0.1, 0.01]}, metrics=["loss:min"])
        study.plan()                            # what ``--dry-run`` shows
        study.run(workers=2, progress=True)     # trains what is not trained yet
        study.compare()                         # as do claims, effects, report, status and runs

    ``levels`` maps a factor or setting to its levels, ``set`` a setting to its value for every run. ``full``
    maps a factor to the level of the full system. ``zip`` are tuples of factors that vary together,
    ``exclude`` filters and ``also`` further grids as text. What is trained is a ``script`` (a file or a
    command), a module's file as ``subject`` (or a ``Subject`` of one), else the built-in subject. ``store``
    is the folder of all results: ``ABLATE_STORE`` or ``./mlruns`` unless given.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        factors: Sequence[str] = (),
        levels: Mapping[str, Sequence[Any]] | None = None,
        design: str = "full",
        full: Mapping[str, Any] | None = None,
        zip: Sequence[Sequence[str]] = (),
        exclude: Sequence[str] = (),
        also: Sequence[str] = (),
        seeds: int | None = None,
        folds: int | None = None,
        script: str | None = None,
        subject: "FilePath | ModuleType | Subject | None" = None,
        metrics: Sequence[str] = (),
        uses: Sequence[FilePath] = (),
        shell: bool = False,
        gpus_per_run: int = 1,
        data: FilePath | None = None,
        profile: str | None = None,
        set: Mapping[str, Any] | None = None,
        code: Literal["new", "same"] | None = None,
        plugins: Sequence[FilePath] = (),
        store: StorePath = None,
    ) -> None:
        chosen = chosen_of(script, subject, metrics, uses, shell=shell, gpus_per_run=gpus_per_run)
        asked = Grid(
            name,
            several(factors, "factors"),
            {factor: texts_of(factor, each) for factor, each in (levels or {}).items()},
            design_of(design, "design"),
            values_of(full),
            parse_zips([",".join(names) for names in zip]),
            several(exclude, "exclude"),
            [parse_also(each) for each in several(also, "also")],
            seeds,
            folds,
            chosen,
            code_of(code),
            None if data is None else Path(data),
            profile,
            values_of(set),
            list(map(Path, plugins)),
        )
        words = [*words_of_grid(asked), *(word for each in also for word in ("--also", each))]
        self._begin(asked, open_store(store), asked.data, words)

    def _begin(self, asked: Asked, store: Store, data: Path | None, words: Sequence[str]) -> None:
        self._asked = asked
        self.store = store
        self._data = data
        self._words = list(words)

    @classmethod
    def _of(cls, asked: Asked, store: StorePath, data: Path | None, words: Sequence[str]) -> "Study":
        study = cls.__new__(cls)
        study._begin(asked, open_store(store), data, words)
        return study

    @classmethod
    def from_file(
        cls,
        file: FilePath,
        *,
        seeds: int | None = None,
        folds: int | None = None,
        data: FilePath | None = None,
        profile: str | None = None,
        set: Mapping[str, Any] | None = None,
        code: Literal["new", "same"] | None = None,
        plugins: Sequence[FilePath] = (),
        store: StorePath = None,
    ) -> "Study":
        """What a study file describes, by its path or name; arguments are options of ``ablate study``."""
        place = None if data is None else Path(data)
        asked = File(
            str(file), seeds, folds, code_of(code), place, profile, values_of(set), list(map(Path, plugins))
        )
        return cls._of(asked, store, place, words_of_file(asked))

    @classmethod
    def open(
        cls,
        name: str | None = None,
        *,
        seeds: int | None = None,
        code: Literal["new", "same"] | None = None,
        store: StorePath = None,
    ) -> "Study":
        """A study that the store has, or the one last planned: to ask it, or to train what it lacks.

        With ``seeds`` it wants seeds 0, 1, ... of each of its conditions. Raises StudyError when there is no
        such study.
        """
        chosen = open_store(store)
        found = chosen.choose_study(name)
        command = next(iter(chosen.study_commands(found)), "")
        study = cls._of(Recorded(found, seeds, code_of(code)), store, None, [])
        study._words = shlex.split(command)[1:]
        return study

    # -- planning and training

    @property
    def name(self) -> str:
        """The study's name, which for a grid without one follows from what is trained."""
        given = getattr(self._asked, "name", None)
        return str(given) if given is not None else self._asked.wanted(self.store).study.name

    @property
    def command(self) -> str:
        """The command that plans the same, which the store keeps with the study."""
        return shlex.join(["ablate", *self._words])

    def plan(self, *, workers: int | None = None, device: str = "auto", retry: bool = False) -> Planned:
        """What the study wants and what of that is left to do; writes nothing.

        Raises ConfigError for whatever cannot be planned, StudyError, StoreError.
        """
        means = Means(retry=retry, workers=workers, device=device)
        return self._planned(means, no_display, tell_nobody, dry_run=True)

    def run(
        self,
        *,
        workers: int | None = None,
        device: str = "auto",
        launcher: Launcher = "local",
        retry: bool = False,
        progress: Progress = False,
        **means: Any,
    ) -> Planned:
        """Train what is not trained yet, and return how that has ended; nothing left means nothing trained.

        ``progress=True`` shows a bar in a notebook or terminal; a function is given a ``Scope`` and returns a
        ``Display`` of yours. Runs that fail raise nothing: ``is_complete`` and ``counts`` of what is returned
        tell. Further ``means`` are options of ``ablate grid``: ``max_retries``, ``fail_fast``,
        ``runs_per_gpu``, ``no_scores``, ``energy``, ``slurm``, ``jobs``, ``address``.

        Raises ConfigError, StudyError and StoreError as the command would end; ``Cancelled`` when somebody
        types ``ablate cancel``; KeyboardInterrupt when it is interrupted, with all runs saved.
        """
        by = means_of(launcher, means, retry=retry, workers=workers, device=device)
        display, tell = display_of(progress)
        planned = self._planned(by, display, tell, dry_run=False)
        planned.train()
        return planned.again()

    def _planned(
        self, means: Means, display: Callable[[Scope], Display], tell: Callable[[str], None], *, dry_run: bool
    ) -> Planned:
        wanted = self._asked.wanted(self.store)
        training = Training(
            self.store,
            self._data,
            devices_of(means, wanted.gpus_per_run),
            means,
            self.command,
            display,
            tell,
            dry_run=dry_run,
            gpus_per_run=wanted.gpus_per_run,
        )
        return Planned.of(wanted.study, training, wanted.profile, wanted.details, wanted.dataset)

    # -- asking

    def status(self) -> answers.Status:
        """How far the study is. Raises StudyError before it was first run."""
        return answers.status(self.name, store=self.store)

    def runs(self) -> "pd.DataFrame":
        """A row a run, as ``ablate.load``."""
        from ablate.analysis.load import load

        return load(self.name, self.store)

    def compare(self, **options: Any) -> Compared:
        """As ``ablate.compare``, with its options."""
        return answers.compare(self.name, store=self.store, **options)

    def claims(self, where: str | None = None) -> answers.Claims:
        """As ``ablate.claims``."""
        return answers.claims(self.name, store=self.store, where=where)

    def effects(self, **options: Any) -> EffectsOf:
        """As ``ablate.effects``, with its options."""
        return answers.effects(self.name, store=self.store, **options)

    def report(self) -> Report:
        """As ``ablate.report``."""
        return answers.report(self.name, store=self.store)

    def __repr__(self) -> str:
        where = "" if self.store.root == default_root() else f", store {self.store.root}"
        return f"<ablate.Study: {self.command}{where}>"
