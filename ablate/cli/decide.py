"""``ablate decide``: train as many seeds as a study's claims need, and no more."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import print_json, print_page, say, terminal_width
from ablate.cli.means import Means
from ablate.cli.options import PluginOption, Printout, PrintoutOption, StoreOption, open_store
from ablate.cli.study import say_which
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
    ends,
)
from ablate.cli.unfolded import unfolded
from ablate.ground.durations import parse_duration
from ablate.ground.errors import ConfigError

if TYPE_CHECKING:
    from ablate.api.deciding import Deciding
    from ablate.record.decision import Look

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
    from ablate.api.asked import File
    from ablate.api.deciding import Deciding, options_of, with_interest
    from ablate.design.study import parse_settings

    means.require_waiting("decide")
    seconds = None if budget is None else parse_duration(budget, "--budget")
    options = options_of(max_seeds, _parse_looks(looks), error, anytime=anytime)
    asked = File(file, None, folds, code, data, profile, parse_settings(settings or []), plugin or [])
    opened = open_store(store)
    page = asked.page(opened)
    say_which(file)
    details = with_interest(page, interest)
    wanted = asked.study_of(page, range(options.looks[-1]))
    training = Training.by(
        means, opened, data, output, gpus_per_run=page.gpus, dry_run=dry_run, calibrate=calibrate
    )
    deciding = Deciding.begin(wanted, details, training, options, seconds)
    if not training.only_plan:
        deciding.freeze()
    _show_plan(deciding, training)
    if training.only_plan:
        return
    with ends():
        deciding.train(on_look=partial(_show_look, deciding, training))
    _end(deciding, training)


def _parse_looks(text: str | None) -> tuple[int, ...] | None:
    """``5,10,20`` as numbers. Raises ConfigError."""
    if text is None:
        return None
    numbers = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 6 for part in numbers):
        raise ConfigError(f"--looks {text}: write numbers of seeds from 2 to 1000, such as 5,10,20")
    return tuple(map(int, numbers))


# ------------------------------------------------------------------------------------- what the reader sees


def _show_plan(deciding: "Deciding", training: Training) -> None:
    """What is to be decided and how; for a plan alone also how long it takes."""
    if training.output is Printout.TABLE:
        print_page(deciding.plan_page())
        if training.only_plan:
            print("\nNothing was trained or written.")
    elif training.only_plan:
        print_json(deciding.document())


def _show_look(deciding: "Deciding", training: Training, look: "Look") -> None:
    from ablate.analysis.decisions import table

    if training.output is Printout.TABLE:
        print(f"\nLook at {look.n} seeds:\n")
        print(table(deciding.plan, look.claims, deciding.units, terminal_width()))


def _end(deciding: "Deciding", training: Training) -> None:
    """The verdicts, what failed, and exit code 1 when a look lacks what failed."""
    from ablate.analysis.decisions import terminal
    from ablate.analysis.query import load_runs
    from ablate.cli.damages import end_with_damages
    from ablate.cli.failures import print_failures

    store, name, plan = training.store, deciding.study.name, deciding.plan
    everything = load_runs(store, name)
    if training.output is Printout.JSON:
        print_json(deciding.document())
    else:
        if deciding.decision.looks:
            print(f"\nVerdicts on study {name}:\n")
            print(terminal(deciding.decision, deciding.units, terminal_width()))
        if deciding.stopped:
            print()
            say(deciding.stopped)
        of_plan = [record for record in everything if record.condition_id in plan.conditions]
        print_failures(of_plan, name, store)
    end_with_damages(store, name, everything)
    if not deciding.is_complete:
        raise typer.Exit(1)
