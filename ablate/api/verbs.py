"""``ablate.search`` and ``ablate.decide``: studies whose runs follow from the scores of others."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ablate.api.answer import Answer, html_of_text
from ablate.api.asked import File
from ablate.api.deciding import Deciding, options_of, with_interest
from ablate.api.means import Means
from ablate.api.progress import display_of
from ablate.api.searching import Found, Wish
from ablate.api.study import Launcher, Progress
from ablate.api.training import Training, devices_of
from ablate.api.words import (
    FilePath,
    chosen_of,
    code_of,
    means_of,
    options_in_words,
    several,
    texts_of,
    values_of,
    words_of_file,
)
from ablate.ground.errors import ConfigError
from ablate.record.opening import StorePath, open_store

if TYPE_CHECKING:
    from types import ModuleType

    from ablate.record.store import Store
    from ablate.subject.interface import Subject


@dataclass(frozen=True, repr=False)
class Decided(Answer):
    """A decision as it stands, as ``ablate decide`` shows it in the end."""

    deciding: Deciding

    @property
    def verdicts(self) -> Mapping[str, str]:
        """By claim: supported, refuted, too small to matter or undecided."""
        return {name: finding.verdict for name, finding in self.deciding.decision.latest().items()}

    @property
    def is_complete(self) -> bool:
        """Whether nothing failed that a look waits for, and nothing but time has stopped it."""
        return self.deciding.is_complete

    @property
    def document(self) -> Mapping[str, Any]:
        return self.deciding.document()

    def text(self, width: int | None = None) -> str:
        from ablate.analysis.decisions import terminal

        deciding = self.deciding
        parts = []
        if deciding.decision.looks:
            verdicts = terminal(deciding.decision, deciding.units, width)
            parts.append(f"Verdicts on study {deciding.study.name}:\n\n{verdicts}\n")
        return "\n".join([*parts, *([f"{deciding.stopped}\n"] if deciding.stopped else [])])

    def html(self) -> str:
        return html_of_text(self.text())


def decide(
    file: FilePath,
    *,
    max_seeds: int | None = None,
    looks: Sequence[int] | None = None,
    error: float = 0.05,
    interest: float | None = None,
    anytime: bool = False,
    budget_s: float | None = None,
    folds: int | None = None,
    data: FilePath | None = None,
    profile: str | None = None,
    set: Mapping[str, Any] | None = None,
    code: Literal["new", "same"] | None = None,
    plugins: Sequence[FilePath] = (),
    store: StorePath = None,
    workers: int | None = None,
    device: str = "auto",
    launcher: Launcher = "local",
    retry: bool = False,
    progress: Progress = False,
    **means: Any,
) -> Decided:
    """Train a study file's claims to verdicts: look at planned numbers of seeds, stop what is decided.

    Each argument means what the option of ``ablate decide`` does; ``budget_s`` is in seconds, ``interest`` in
    the metric's own unit. The same call goes on where it was. Raises ConfigError, StudyError, StoreError, and
    what ``Study.run`` does when it is interrupted.
    """
    chosen, options = open_store(store), options_of(max_seeds, looks, error, anytime=anytime)
    place = None if data is None else Path(data)
    plugged = list(map(Path, plugins))
    asked = File(str(file), None, folds, code_of(code), place, profile, values_of(set), plugged)
    page = asked.page(chosen)
    details = with_interest(page, interest)
    study = asked.study_of(page, range(options.looks[-1]))
    by = means_of(launcher, means, retry=retry, workers=workers, device=device)
    own = {
        "--max-seeds": max_seeds,
        "--looks": None if looks is None else ",".join(map(str, looks)),
        "--error": None if error == 0.05 else error,
        "--interest": interest,
        "--anytime": anytime,
    }
    words = ["decide", *words_of_file(asked)[1:], *options_in_words(own)]
    training = _training(chosen, place, by, words, page.gpus, progress)
    deciding = Deciding.begin(study, details, training, options, budget_s)
    deciding.freeze()
    deciding.train(on_look=lambda _: None)
    return Decided(deciding)


def search(
    name: str | None = None,
    *,
    factors: Sequence[str] = (),
    levels: Mapping[str, Sequence[Any]] | None = None,
    ranges: Mapping[str, str] | None = None,
    trials: int = 50,
    maximize: str | None = None,
    minimize: str | None = None,
    second: str | None = None,
    sampler: str = "tpe",
    prune: str = "none",
    prune_after: int | None = None,
    seeds: int = 1,
    search_seed: int = 0,
    budget_s: float | None = None,
    validation: float | None = None,
    on_evaluation: bool = False,
    confirm: int = 3,
    confirm_seeds: int = 5,
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
    workers: int | None = None,
    device: str = "auto",
    launcher: Launcher = "local",
    retry: bool = False,
    progress: Progress = False,
    **means: Any,
) -> Found:
    """Search for the best condition with Optuna, then train the best anew with fresh seeds.

    Each argument means what the option of ``ablate search`` does; ``ranges`` maps a factor to its range as
    text, such as ``{"lambda": "0.01:10:log"}``, ``second`` is ``--and``, and ``budget_s`` is in seconds. The
    same call goes on where it was. Raises ConfigError, StudyError, StoreError, and what ``Study.run`` does
    when it is interrupted.
    """
    _check_numbers(
        trials=(trials, 2), seeds=(seeds, 1), confirm=(confirm, 0), confirm_seeds=(confirm_seeds, 2)
    )
    chosen = open_store(store)
    place = None if data is None else Path(data)
    wish = Wish(
        name,
        several(factors, "factors"),
        {factor: texts_of(factor, each) for factor, each in (levels or {}).items()},
        [f"{factor}={within}" for factor, within in (ranges or {}).items()],
        maximize,
        minimize,
        second,
        sampler,
        prune,
        prune_after,
        seeds,
        search_seed,
        validation,
        on_evaluation,
        chosen_of(script, subject, metrics, uses, shell=shell, gpus_per_run=gpus_per_run),
        code_of(code),
        place,
        profile,
        values_of(set),
        list(map(Path, plugins)),
    )
    by = means_of(launcher, means, retry=retry, workers=workers, device=device)
    training = _training(chosen, place, by, _words_of_search(wish, trials), gpus_per_run, progress)
    asked = wish.asked(chosen, training)
    asked.search(trials, budget_s)
    anew = asked.train_best(confirm, confirm_seeds, lambda _n, _study: None)
    return replace(asked.found(anew), n_shown=max(confirm, 1))


def _check_numbers(**given: tuple[int, int]) -> None:
    """Raises ConfigError for each number that is below its least."""
    problems = [f"{name}={n}: at least {least}" for name, (n, least) in given.items() if n < least]
    if problems:
        raise ConfigError(problems)


def _training(
    store: "Store", data: Path | None, means: Means, words: Sequence[str], gpus: int, progress: Progress
) -> Training:
    display, tell = display_of(progress)
    command = shlex.join(["ablate", *words])
    return Training(store, data, devices_of(means, gpus), means, command, display, tell, gpus_per_run=gpus)


def _words_of_search(wish: Wish, trials: int) -> list[str]:
    chosen = wish.chosen
    options = {
        "--factors": ",".join(wish.factors) or None,
        "--levels": [f"{name}={','.join(levels)}" for name, levels in wish.levels.items()],
        "--range": list(wish.ranges),
        "--trials": trials,
        "--maximize": wish.maximize,
        "--minimize": wish.minimize,
        "--and": wish.second,
        "--sampler": wish.sampler,
        "--prune": wish.prune,
        "--prune-after": wish.prune_after,
        "--seeds": wish.seeds,
        "--search-seed": wish.search_seed,
        "--validation": wish.validation,
        "--on-evaluation": wish.on_evaluation,
        "--script": chosen.script,
        "--subject": chosen.module,
        "--metric": list(chosen.metric or ()),
        "--uses": list(chosen.uses or ()),
        "--shell": chosen.shell,
        "--data": wish.data,
        "--profile": wish.profile,
        "--set": [f"{name}={value}" for name, value in wish.settings.items()],
        "--plugin": list(wish.plugins),
    }
    return ["search", *([wish.name] if wish.name else []), *options_in_words(options)]
