"""``ablate reproduce``: train a run again from its record, and say whether the numbers agree."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate.cli.console import print_json, print_table, say
from ablate.cli.options import (
    Printout,
    PrintoutOption,
    StoreOption,
    StudyArgument,
    StudyOption,
    chosen_study,
    open_store,
)
from ablate.cli.show import RunArgument
from ablate.ground.wording import count

if TYPE_CHECKING:
    from ablate.analysis.reproduced import Reproduced
    from ablate.campaign.reproducing import Prepared


def reproduce(
    run: RunArgument,
    study: StudyArgument = None,
    study_option: StudyOption = None,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="cpu|cuda:0", help="Where to train.  [default: as the run was]"),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Train it although its data or its code are others.")
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Compare the curves of the first N epochs, and stop there."),
    ] = None,
    output: PrintoutOption = Printout.TABLE,
    store: StoreOption = None,
) -> None:
    """Train a run again from its record, and say whether the numbers agree.

    What differs here is shown first. On a CPU, with nothing that differs, all is compared to the last digit;
    elsewhere the scores are to be within two standard deviations over the seeds of the condition.

    The run is only read. Exit code 1 when the numbers do not agree.
    """
    from ablate.analysis import inspect
    from ablate.campaign.reproducing import prepare
    from ablate.campaign.reproducing import reproduce as train_again

    opened = open_store(store)
    found = inspect.find_run(opened, run, chosen_study(study, study_option))
    prepared = prepare(opened, found, device)
    if output is Printout.TABLE:
        say(f"Run {inspect.title(found)}")
        _show_circumstances(prepared)
    if not anyway:
        prepared.require_meaning()
    print(f"training it again on {prepared.device} ...", file=sys.stderr, flush=True)
    done = train_again(opened, prepared, epochs=epochs)
    if output is Printout.JSON:
        print_json(_document(prepared, done))
    else:
        _show(done)
    if not done.agrees:
        raise typer.Exit(1)


def _show_circumstances(prepared: "Prepared") -> None:
    from ablate.analysis.layout import Column

    differing = prepared.differing
    if not differing:
        say("Data, code, versions, processor and threads are as they were: the same bits are expected.")
        return
    print_table(
        Column(("differs",), tuple(each.name for each in differing), text=True),
        [
            [Column(("then",), tuple(each.was for each in differing), text=True)],
            [Column(("here",), tuple(each.here for each in differing), text=True)],
        ],
    )
    say("Its last digits may be others here; scores are compared within the spread over seeds.")


def _show(done: "Reproduced") -> None:
    if done.parted is None and done.n_epochs == 0:
        say("Curves: it has none.")
    elif done.parted is None:
        say(f"Curves: the same to the last digit in {count(done.n_epochs, 'epoch')}.")
    elif (at := done.parted) is not None:
        say(
            f"Curves: they part in epoch {at.epoch}, where {at.curve} is {_text(at.now)} and was "
            f"{_text(at.was)}."
        )
    if done.scores:
        _show_scores(done)
    if done.counts:
        say(f"Counts: other numbers in {', '.join(done.counts)}.")
    if done.files:
        other = [name for name, is_same in done.files.items() if not is_same]
        says = f"other bytes in {', '.join(other)}" if other else "all have the same bytes"
        say(f"Files: {says} ({len(done.files)} compared).")
    say(_verdict(done))


def _show_scores(done: "Reproduced") -> None:
    from ablate.analysis.layout import Column
    from ablate.analysis.reproduced import SPREADS

    other = [score for score in done.scores if not score.is_same]
    if not other:
        say(f"Scores: all {len(done.scores)} are the same to the last digit.")
        return
    say(f"Scores: {len(other)} of {len(done.scores)} are others.")
    print_table(
        Column(("score",), tuple(score.name for score in other), text=True),
        [
            [Column(("then",), tuple(_text(score.was) for score in other))],
            [Column(("now",), tuple(_text(score.now) for score in other))],
            [Column((f"{SPREADS:g} SD of seeds",), tuple(_limit(score.spread) for score in other))],
        ],
    )


def _limit(spread: float | None) -> str:
    from ablate.analysis.reproduced import SPREADS

    return "not known" if spread is None else f"{SPREADS * spread:.3g}"


def _text(value: Any) -> str:
    return "-" if value is None else repr(value)


def _verdict(done: "Reproduced") -> str:
    if done.is_same:
        return "It agrees: the same to the last digit."
    if done.exact:
        return "It does not agree: the same bits were expected."
    if done.agrees:
        return "It agrees: other last digits, and every score within the spread over seeds."
    if done.scores and all(score.spread is None for score in done.scores):
        return "It is not the same, and no spread is known: the condition has one seed."
    return "It does not agree: other numbers, further apart than the spread over seeds."


def _document(prepared: "Prepared", done: "Reproduced") -> dict[str, Any]:
    return {
        "schema": "ablate.reproduce/1",
        "run_id": prepared.run.run_id,
        "study": prepared.found.study,
        "device": prepared.device,
        "circumstances": [
            {"name": each.name, "was": each.was, "here": each.here, "same": each.is_same}
            for each in prepared.circumstances
        ],
        "exact": done.exact,
        "n_epochs": done.n_epochs,
        "parted": None if done.parted is None else vars(done.parted),
        "scores": [{**vars(score), "same": score.is_same, "near": score.is_near} for score in done.scores],
        "counts": list(done.counts),
        "files": dict(done.files or {}),
        "agrees": done.agrees,
        "verdict": _verdict(done),
    }
