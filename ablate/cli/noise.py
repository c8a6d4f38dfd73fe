"""``ablate noise``: how much the baseline's scores differ between seeds."""

from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import print_json, say, terminal_width
from ablate.cli.means import Means
from ablate.cli.options import (
    Printout,
    PrintoutOption,
    ReadArgument,
    StoreOption,
    StudyOption,
    chosen_study,
    open_store,
    open_study,
)
from ablate.cli.subjects import Chosen, CodeOption
from ablate.cli.train import (
    DataOption,
    FoldsOption,
    ProfileOption,
    SettingsOption,
    Training,
    end_where_left_alone,
    ends,
)
from ablate.cli.unfolded import unfolded
from ablate.ground.errors import ConfigError
from ablate.ground.wording import count

if TYPE_CHECKING:
    from ablate.api.asked import Wanted
    from ablate.record.store import Store


@unfolded
def noise(
    *,
    study: ReadArgument = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=2, max=1000, help="Seeds of the baseline; what is missing is trained.  [default: 10]"
        ),
    ] = None,
    folds: FoldsOption = None,
    chosen: Chosen,
    code: CodeOption = None,
    data: DataOption = None,
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    study_option: StudyOption = None,
    store: StoreOption = None,
    means: Means,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Show how much scores differ between seeds, and what so many seeds can tell apart.

    Without STUDY, a study of the name noise trains the baseline alone. Of a STUDY that exists it is the
    baseline's spread; only with --seeds are seeds trained that it lacks, with the study's own settings.
    """
    from ablate.api.noise import DEFAULT_SEEDS, NAME, Baseline, more_seeds
    from ablate.design.study import parse_settings

    opened = open_store(store)
    opened.require_folder()
    name = chosen_study(study, study_option)
    training = Training.by(means, opened, data, output, gpus_per_run=chosen.gpus_per_run)
    if name is None:
        changes = parse_settings(settings or [])
        asked = Baseline(seeds or DEFAULT_SEEDS, folds, chosen, code, data, profile, changes)
        _train(asked.wanted(opened), training)
        _show(opened, NAME, output)
        return
    given = {
        "--script": chosen.script,
        "--subject": chosen.module,
        "--metric": chosen.metric,
        "--uses": chosen.uses,
        "--data": data,
        "--profile": profile,
        "--set": settings,
        "--folds": folds,
    }
    if wrong := [option for option, value in given.items() if value]:
        raise ConfigError(
            f"{', '.join(wrong)}: study '{name}' has its own; leave out the study's name to measure another "
            "baseline"
        )
    if seeds is None:
        opened, name = open_study(store, study, study_option)
    else:
        opened.choose_study(name)
        _train(more_seeds(opened, name, seeds, code), training)
    _show(opened, name, output)


def _train(wanted: "Wanted", training: Training) -> None:
    """Train what is missing. Exit code 1 when a run has not finished."""
    from ablate.api.planned import Planned

    planned = Planned.of(wanted.study, training, wanted.profile, dataset=wanted.dataset)
    study, todo = planned.study, planned.todo
    if training.output is Printout.TABLE:
        folds = f" x {study.n_folds} folds" if study.n_folds else ""
        say(f"Baseline of study {study.name}: {count(len(study.seeds), 'seed')}{folds}, {len(todo)} to train")
        if planned.training.place is not None:
            say(f"  {planned.training.place}")
    if todo:
        with ends():
            said = planned.train()
        end_where_left_alone(said, planned, training.output)
    else:
        planned.record()
    ended = planned.again()
    if not ended.is_complete:
        if training.output is Printout.TABLE:
            from ablate.cli.failures import print_failures

            print_failures(ended.grid.runs, study.name, training.store)
        else:
            print_json(ended.document)
        raise typer.Exit(1)


def _show(store: "Store", study: str, output: Printout) -> None:
    from ablate.analysis.query import load_runs
    from ablate.api.noise import Spread
    from ablate.cli.damages import end_with_damages

    spread = Spread(store, study, load_runs(store, study))
    if output is Printout.JSON:
        print_json(spread.document)
    else:
        print(spread.text(terminal_width()), end="")
    end_with_damages(store, study, spread.runs)
