"""``ablate decide``: train as many seeds as a study's claims need, and no more."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.means import Means
from ablate.cli.numbers import parse_duration
from ablate.cli.options import PluginOption, Printout, PrintoutOption, StoreOption
from ablate.cli.study import open_page
from ablate.cli.subjects import CodeOption
from ablate.cli.train import (
    BudgetOption,
    CalibrateOption,
    DataOption,
    DryRunOption,
    FoldsOption,
    ProfileOption,
    SettingsOption,
    Training,
)
from ablate.cli.unfolded import unfolded
from ablate.ground.errors import ConfigError, StudyError

if TYPE_CHECKING:
    from ablate.cli.deciding import Options
    from ablate.design.claims import Claim
    from ablate.design.studyfile import StudyFile

DEFAULT_LOOKS = (5, 10, 15, 20)
DEFAULT_ERROR = 0.05


@unfolded
def decide(
    *,
    file: Annotated[
        str,
        typer.Argument(metavar="STUDY", help="A study file with claims, or its name, as for `ablate study`."),
    ],
    max_seeds: Annotated[
        int | None,
        typer.Option(
            "--max-seeds", min=2, max=1000, help="Seeds at most; the last look.  [default: 20, or as --looks]"
        ),
    ] = None,
    looks: Annotated[
        str | None,
        typer.Option(metavar="N,N", help="At how many seeds to look.  [default: 5,10,15,20]"),
    ] = None,
    error: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Of studies in which any claim may be decided wrongly."),
    ] = DEFAULT_ERROR,
    interest: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="The least difference that matters, in the metric's own unit, for claims that name none.",
        ),
    ] = None,
    anytime: Annotated[
        bool, typer.Option("--anytime", help="Look whenever seeds are there; needs more of them.")
    ] = False,
    budget: BudgetOption = None,
    folds: FoldsOption = None,
    data: DataOption = None,
    code: CodeOption = None,
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    store: StoreOption = None,
    dry_run: DryRunOption = False,
    calibrate: CalibrateOption = False,
    means: Means,
    plugin: PluginOption = None,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Train a study's claims to verdicts: look at planned numbers of seeds, stop what is decided.

    The plan of looks is frozen before the first one, with levels that keep the error rate over all looks and
    claims. Whatever is supported, refuted or too small to matter is trained no further.

    Typing the same command again goes on where it was, and trains nothing when all is decided.
    """
    from ablate.cli.deciding import Deciding
    from ablate.design.study import parse_settings

    means.require_waiting("decide")
    seconds = None if budget is None else parse_duration(budget, "--budget")
    options = _options(max_seeds, looks, error, anytime=anytime)
    page, opened = open_page(file, plugin, store, code, data)
    claims = _claims(page, interest)
    wanted = page.plan(
        profile=profile,
        settings=page.known.fields_of(parse_settings(settings or [])),
        seeds=range(options.looks[-1]),
        folds=folds,
    )
    training = Training.by(
        means, opened, data, output, gpus_per_run=page.gpus, dry_run=dry_run, calibrate=calibrate
    )
    Deciding.begin(wanted, replace(page.details, claims=claims), training, options, seconds).run()


# ----------------------------------------------------------------------------------------- what is asked


def _options(max_seeds: int | None, looks: str | None, error: float, *, anytime: bool) -> "Options":
    """Raises ConfigError with everything that is wrong."""
    from ablate.analysis.deciding import FIRST_ANYTIME_LOOK
    from ablate.analysis.sequential import LARGEST_ERROR
    from ablate.cli.deciding import Options

    problems = []
    if not 0 < error < LARGEST_ERROR:
        problems.append(f"--error {error:g}: should be above 0 and below {LARGEST_ERROR}; 0.05 is 5 %")
    chosen: tuple[int, ...] = ()
    most = DEFAULT_LOOKS[-1] if max_seeds is None else max_seeds
    if anytime and looks is not None:
        problems.append(f"--anytime looks whenever seeds are there; leave out --looks {looks}")
    elif anytime:
        chosen = tuple(range(FIRST_ANYTIME_LOOK, most + 1))
        if not chosen:
            problems.append(
                f"--max-seeds {most}: --anytime looks from {FIRST_ANYTIME_LOOK} seeds on; allow more"
            )
    elif looks is None:
        chosen = (*(n for n in DEFAULT_LOOKS if n < most), most)
    else:
        chosen = _parse_looks(looks, problems)
        if chosen and max_seeds is not None and chosen[-1] != max_seeds:
            side = "beyond" if chosen[-1] > max_seeds else "below"
            problems.append(
                f"--looks {looks} ends {side} --max-seeds {max_seeds}, which is always the last look; "
                "leave one of them out, or make them end alike"
            )
    if problems:
        raise ConfigError(problems)
    return Options(chosen, error, anytime)


def _parse_looks(text: str, problems: list[str]) -> tuple[int, ...]:
    numbers = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 2 <= int(part) <= 1000 for part in numbers):
        problems.append(f"--looks {text}: write numbers of seeds from 2 to 1000, such as 5,10,20")
        return ()
    found = tuple(map(int, numbers))
    if list(found) != sorted(set(found)):
        problems.append(f"--looks {text}: each look should be at more seeds than the one before")
        return ()
    return found


def _claims(page: "StudyFile", interest: float | None) -> "tuple[Claim, ...]":
    """The claims, with an interest where one is given. Raises StudyError, ConfigError."""
    from ablate.design.studyfile import problem_of_interest

    if not page.details.claims:
        raise StudyError(
            f"study '{page.name}' makes no claims, so there is nothing to decide; state them in its file as "
            f"[claims.C1], or train it with `ablate study`"
        )
    if interest is None:
        return page.details.claims
    lacking = [claim for claim in page.details.claims if claim.interest is None]
    metrics = page.subject.card.metrics
    problems = {
        claim.id: problem_of_interest(interest, metrics.of(claim.metric), claim.margin) for claim in lacking
    }
    if any(problems.values()):
        raise ConfigError(
            [f"--interest {interest:g}, claim {name}: {why}" for name, why in problems.items() if why]
        )
    return tuple(
        replace(claim, interest=interest) if claim in lacking else claim for claim in page.details.claims
    )
